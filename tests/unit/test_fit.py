"""Fitting and scoring: repeatable, going on where it was ended, blind to the future, plain about missing data."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.domain.distribution import ForecastInputs
from actors.domain.drift import INPUTS, REFERENCE, Reference, drift
from actors.domain.errors import ModelRejected, SetupError
from conf.run import load
from training import evaluate, fit
from training.checkpoint import load_progress, save_progress
from training.live_data import data_hashes, load_live
from training.live_score import MINUTES, SPLITS, baseline, forecast, inputs_at, score
from training.metrics import paired_bootstrap
from training.model_file import PREMATCH_FOLDER, VOCABULARY, WEIGHTS, read_model
from training.network import load_model
from training.options import EvaluateConfig, parse
from training.prematch.store import read_prematch
from training.ratings import RatingFilter, Result
from training.stages import STAGES, Progress, Work, run_stages
from training.write_models import Origin, write_models

SHIPPED = Path(__file__).resolve().parents[2] / "training" / "models" / "touchline-2017-12-01"
TEAMS = [f"Team {letter}" for letter in "ABCDEFGH"]
FIRST = datetime(2017, 9, 1, 15)
UNTIL = "2017-12-01"
PUBLISHED = {  # the protocol's baselines on the development test: matches, RPS and log loss at MINUTES
    "understat": (
        1961,
        [0.20034, 0.19302, 0.17884, 0.15665, 0.12695, 0.08893, 0.05169],
        [0.98119, 0.95536, 0.90654, 0.82413, 0.71002, 0.54742, 0.36035],
    ),
    "wyscout": (
        372,
        [0.19045, 0.18272, 0.17447, 0.14975, 0.13317, 0.09117, 0.05309],
        [0.95525, 0.92584, 0.89874, 0.80947, 0.74105, 0.55791, 0.36246],
    ),
}


def write_data(root: Path, matches: int = 60, tail: Callable[[np.random.Generator], float] | None = None) -> Path:
    """Write a small `data.root`: one match a day from FIRST on; what is dated from UNTIL on depends on `tail`."""
    draw = np.random.default_rng(7)
    later = np.random.default_rng(11)
    sheets, minutes, results = [], [], []
    for number in range(matches + 10):
        kick_off = FIRST + timedelta(days=number)
        home, away = (TEAMS[i] for i in draw.choice(len(TEAMS), 2, replace=False))
        strength = draw.uniform(0.7, 1.5) if kick_off.date().isoformat() < UNTIL or tail is None else tail(later)
        odds = [2.6 / strength + 0.3, 3.4, 2.6 * strength + 0.3]
        goal_minutes = [np.sort(draw.integers(0, 95, draw.poisson(mean))) for mean in (1.6 * strength, 1.2)]
        red_minute = int(draw.integers(20, 80)) if number % 5 == 0 else 99
        final = [len(at) for at in goal_minutes]
        base = {"match_id": number, "kickoff_utc": kick_off, "home_ft": final[0], "away_ft": final[1]}
        base |= {"competition": "ENG-Premier League", "odds_home_name": home, "odds_away_name": away}
        base |= dict(zip(("odds_close_h", "odds_close_d", "odds_close_a"), odds, strict=True))
        total = (float("nan"), float("nan")) if number % 7 == 0 else (1.8, 2.1 + 0.1 * strength)
        base |= {"odds_close_o25": total[0], "odds_close_u25": total[1], "goals_complete": True}
        sheets.append(base | {"awarded_or_partial": False, "h1_len_s": 2760 + number, "h2_len_s": 2820 + 3 * number})
        outcome = 1 - int(np.sign(final[0] - final[1]))
        for minute in range(91):
            goals = [int((at < minute).sum()) for at in goal_minutes]
            reds = {"home_reds": int(red_minute < minute), "away_reds": 0}
            row = {"match_id": number, "minute": minute, "home_goals": goals[0], "away_goals": goals[1]}
            row |= {"home_shots": goals[0] + minute // 7, "away_shots": goals[1] + minute // 11}
            minutes.append(row | reds | {"res90": outcome})
        result = {"league": "E0", "country": "England", "tier": 1, "season_start": 2017, "date": kick_off.date()}
        result |= {"home": home, "away": away, "fthg": final[0], "ftag": final[1], "pre_o25": 1.8, "pre_u25": 2.0}
        for kind, move in (("pre", 1.0), ("close", 1.02)):
            result |= {f"{kind}_{side}": price * move for side, price in zip("hda", odds, strict=True)}
        results.append(result | {"close_o25": 1.8, "close_u25": 2.1 + 0.1 * strength})
    shots = [
        {"match_id": sheet["match_id"], "half": 1, "side": i % 2, "result": "Goal"}
        for sheet in sheets
        for i in (0, 1, 2)
    ]
    for suite in ("understat", "wyscout"):
        (root / suite).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(sheets), root / suite / "matches.parquet")
        pq.write_table(pa.Table.from_pylist(minutes), root / suite / "minute_state.parquet")
    pq.write_table(pa.Table.from_pylist(shots), root / "understat" / "shots.parquet")
    (root / "results").mkdir()
    pq.write_table(pa.Table.from_pylist(results), root / "results" / "matches.parquet")
    return root


def work_on(root: Path, until: str = UNTIL) -> Work:
    return Work(root=root, until=date.fromisoformat(until), seed=0, report=lambda line: None)


def fitted(root: Path, out: Path, until: str = UNTIL) -> Path:
    work = work_on(root, until)
    progress = run_stages(work, Progress.start(work.seed), lambda progress: None)
    write_models(out, Origin(version=out.name, code_commit=None, data=data_hashes(root)), work, progress)
    return out


def weights_of(folder: Path) -> list[bytes]:
    return [(part / name).read_bytes() for part in (folder, folder / PREMATCH_FOLDER) for name in (WEIGHTS, VOCABULARY)]


def test_the_same_data_and_seed_give_the_same_weights_and_a_model_that_serves(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    one, two = fitted(root, tmp_path / "one"), fitted(root, tmp_path / "two")
    assert weights_of(one) == weights_of(two)
    forecaster = load_model(one)
    assert forecaster.model_version == "one"
    assert forecaster.manifest.trained_until == UNTIL
    (prediction,) = forecaster.predict([ForecastInputs(league="E0", home_team="Team A", away_team="Team B")])
    assert prediction.basis == "ratings"
    manifest, _, _ = read_prematch(one / PREMATCH_FOLDER)
    assert (manifest.model_version, manifest.trained_until) == ("one", UNTIL)


def test_a_fit_leaves_how_its_inputs_were_and_live_ones_like_them_are_no_drift(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data")
    out = fitted(root, tmp_path / "out")
    reference = msgspec.json.decode((out / REFERENCE).read_bytes(), type=Reference)
    assert [each.name for each in reference.inputs] == list(INPUTS)
    matches = work_on(root).matches
    by_minute = {minute: inputs_at(matches, minute) for minute in MINUTES}
    live = [{minute: rows[number] for minute, rows in by_minute.items()} for number in range(len(matches))]
    found = [drift(each, live) for each in reference.inputs]
    moved = [each.input for each in found if each.psi > 0.01]
    assert moved == ["home_reds"]  # known of other matches than these, which never have any


def test_a_model_whose_reference_is_another_file_is_refused(tmp_path: Path) -> None:
    out = fitted(write_data(tmp_path / "data", matches=20), tmp_path / "out")
    (out / REFERENCE).write_bytes(b'{"inputs": []}')
    with pytest.raises(ModelRejected, match=r"reference\.json: expected sha256"):
        load_model(out)


def test_what_is_dated_from_until_on_changes_no_weight(tmp_path: Path) -> None:
    calm = write_data(tmp_path / "calm", matches=92)
    wild = write_data(tmp_path / "wild", matches=92, tail=lambda draw: float(draw.uniform(0.3, 3.0)))
    assert data_hashes(calm) != data_hashes(wild)
    assert weights_of(fitted(calm, tmp_path / "one")) == weights_of(fitted(wild, tmp_path / "two"))


def test_a_run_that_was_ended_after_any_stage_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    root, kept = write_data(tmp_path / "data", matches=20), list[Path]()

    def keep(progress: Progress) -> None:
        kept.append(tmp_path / f"stage {len(kept)}")
        kept[-1].mkdir()
        save_progress(progress, kept[-1])

    whole = run_stages(work_on(root), Progress.start(0), keep)
    assert len(kept) == len(STAGES)
    for folder in kept:
        begun, done = load_progress(folder), list[str]()
        again = run_stages(work_on(root), begun, lambda progress, done=done: done.append(progress.done[-1]))
        assert [*begun.done, *done] == list(STAGES)
        assert again.random == whole.random
        assert again.vocabulary == whole.vocabulary
        assert {name: array.tobytes() for name, array in again.arrays.items()} == {
            name: array.tobytes() for name, array in whole.arrays.items()
        }


def test_every_stage_says_that_it_begins(tmp_path: Path) -> None:
    root, said = write_data(tmp_path / "data", matches=20), list[str]()
    work = Work(root=root, until=date.fromisoformat(UNTIL), seed=0, report=said.append)
    run_stages(work, Progress.start(0), lambda progress: None)
    assert [line for line in said if line[1:2] == "/"] == [f"{n}/8 {name}" for n, name in enumerate(STAGES, start=1)]


def no_folder(root: Path) -> Path:
    return root / "nowhere"


def no_file(root: Path) -> Path:
    (root / "understat" / "minute_state.parquet").unlink()
    return root


def cut_short(root: Path) -> Path:
    path = root / "wyscout" / "matches.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    return root


def not_parquet(root: Path) -> Path:
    (root / "results" / "matches.parquet").write_text("league,home,away\n")
    return root


def no_column(root: Path) -> Path:
    path = root / "understat" / "matches.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["odds_close_h"]), path)
    return root


def lost_minutes(root: Path) -> Path:
    path = root / "understat" / "minute_state.parquet"
    pq.write_table(pq.read_table(path).slice(0, 500), path)
    return root


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (no_folder, "data.root: no folder"),
        (no_file, "minute_state.parquet: no such file"),
        (cut_short, "wyscout/matches.parquet: cannot be read as Parquet"),
        (not_parquet, "results/matches.parquet: cannot be read as Parquet"),
        (no_column, "has no column odds_close_h"),
        (lost_minutes, "has not its 91 minutes"),
    ],
)
def test_bad_data_is_one_sentence(tmp_path: Path, damage: Callable[[Path], Path], named: str) -> None:
    root = damage(write_data(tmp_path / "data", matches=20))
    with pytest.raises(SetupError, match=named) as found:
        fitted(root, tmp_path / "out")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_cut_short_is_found_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = cut_short(write_data(tmp_path / "data", matches=20))
    assert fit.main([f"data.root={root}", f"out={tmp_path / 'out'}", f"until={UNTIL}"]) == 2
    assert "wyscout/matches.parquet: cannot be read as Parquet" in capsys.readouterr().err.strip().split("\n")[-1]


def test_a_model_is_never_put_in_the_place_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit.main([f"data.root={tmp_path}", f"out={SHIPPED}"]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["data.rot=x"], "rot"),
        (["untl=2017-12-01"], "untl"),
        (["until=yesterday", "out=x"], "until must be a date"),
        (["seed=many"], "seed"),
        (["--wide"], "expected key=value"),
        (["+wide=1", "out=x"], "+wide=1: expected key=value"),
        (["out=a(b"], "out=a(b: expected key=value"),
        (["until=2017-12-01"], "out"),
    ],
)
def test_a_mistyped_option_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert fit.main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert named in said
    assert "\n" not in said


def test_options_are_those_of_the_command_whatever_else_was_composed_before() -> None:
    load([])  # makes the groups of conf/ known, of which `model` is one
    asked = parse(EvaluateConfig, ["model=here", "suite=prematch", "since=2018-01-01", "until=2018-02-01"])
    assert (asked.model, asked.inputs, asked.data.root) == ("here", "full", "../shared/data")


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fit.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith("Fits a model") and "until: '2017-12-01'" in said and "out: ???" in said


def test_scoring_refuses_matches_that_the_model_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_data(tmp_path / "data")
    folder = fitted(root, tmp_path / "later", until="2018-02-01")
    asked = ["suite=live_wyscout", "since=2018-01-01", "until=2018-03-01", f"out={tmp_path / 'rows.parquet'}"]
    assert evaluate.main([f"data.root={root}", f"model={folder}", *asked]) == 2
    assert "trained until 2018-02-01" in capsys.readouterr().err


def result(day: int, home: str, away: str, goals: tuple[int, int]) -> Result:
    return Result(
        league="E0",
        country="England",
        tier=1,
        season=2017,
        day=day,
        home=home,
        away=away,
        home_goals=goals[0],
        away_goals=goals[1],
    )


def test_the_rating_filter_learns_who_scores(tmp_path: Path) -> None:
    rating_filter = RatingFilter()
    played = [result(day, "Strong", "Weak", (4, 0)) for day in range(0, 70, 7)]
    played += [result(day, "Weak", "Strong", (0, 3)) for day in range(71, 141, 7)]
    rates = [(home, away) for _, home, away in rating_filter.run(played)]
    assert rates[0][0] < rates[9][0]  # Strong at home, before its first match and its tenth
    strong, weak = rating_filter.rated(days=1000)
    assert strong.attack > weak.attack
    assert strong.defence > weak.defence
    assert list(rating_filter.run([replace(result(1000, "New", "Newer", (1, 1)), season=2019)]))
    assert [team.team for team in rating_filter.rated(days=730)] == ["New", "Newer"]


def test_a_few_matches_of_a_later_season_neither_move_a_leagues_mean_nor_lose_the_other_teams() -> None:
    pairs = [(strong, weak) for strong in "AB" for weak in "CDEF"] * 4
    season = [result(day, strong, weak, (4, 0)) for day, (strong, weak) in enumerate(pairs)]
    one = replace(result(400, "A", "B", (1, 1)), season=2018)
    before, after = RatingFilter(), RatingFilter()
    for rating_filter, results in ((before, season), (after, [*season, one])):
        assert list(rating_filter.run(results))
    was, now = ({team.team: team for team in each.rated(days=730)} for each in (before, after))
    assert now.keys() == was.keys() == {*"ABCDEF"}
    assert now["A"].attack == pytest.approx(was["A"].attack, abs=0.1)
    assert was["A"].attack > 0.2  # which it would not be as one of two of a mean of nought


def test_what_a_day_is_told_is_what_was_known_before_it() -> None:
    quiet = [result(0, "A", "B", (0, 0)), result(0, "C", "D", (1, 0))]
    loud = [result(0, "A", "B", (9, 0)), result(0, "C", "D", (1, 0))]
    first, second = (list(RatingFilter().run(day)) for day in (quiet, loud))
    assert [rates for _, *rates in first] == [rates for _, *rates in second]


@pytest.mark.needs_data
@pytest.mark.parametrize("suite", ["understat", "wyscout"])
def test_the_protocols_baseline_comes_out_and_the_shipped_model_is_no_worse(data_root: Path, suite: str) -> None:
    n, rps, log_loss = PUBLISHED[suite]
    matches = load_live(data_root, suite, *SPLITS[suite, "test"])
    theirs = score(baseline(matches), matches)
    assert len(matches) == n
    assert theirs.rps.mean(axis=1) == pytest.approx(rps, abs=2e-5)
    assert theirs.log_loss.mean(axis=1) == pytest.approx(log_loss, abs=6e-5)
    ours = score(forecast(load_model(SHIPPED), matches).chances, matches)
    for minute, gain in zip(MINUTES, ours.rps - theirs.rps, strict=True):
        assert paired_bootstrap(gain, seed=0).low <= 0, f"worse than the baseline at {minute}'"


def test_the_shipped_model_used_nothing_from_december_2017_on() -> None:
    manifest = read_model(SHIPPED).manifest
    starts = [start for (_, split), (start, _) in SPLITS.items() if split == "test"]
    assert date.fromisoformat(manifest.trained_until) <= min(starts)
    assert manifest.metrics["fitted_matches"] > 6000
