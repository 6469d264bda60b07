"""A retraining from end to end on a small slice of data, with a system that is not there."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from actors.domain.errors import SetupError
from conf.run import load, setting
from conf.schema import Config
from tests.unit.test_fit import fitted, write_data
from training import retrain as command
from training.decisions import FOLDER, last_decision
from training.model_file import PREMATCH_FOLDER, VOCABULARY
from training.options import FitConfig
from training.prematch.extended import extend
from training.prematch.live import Match
from training.retraining import Fit, retrain
from training.window import Window, window_of

AFTER = datetime(2017, 12, 1, 15, tzinfo=UTC)
AS_OF = date(2017, 11, 9)  # of 70 matches, one a day from 1 September on


class NoSystem:
    """Has a live model, and takes any other."""

    def __init__(self, live: Path, is_willing: bool = True, *finished: Match) -> None:
        self._live, self._is_willing, self._finished = live, is_willing, finished
        self.asked = list[Path]()
        self.root = Path()

    def champion(self, folder: Path) -> None:
        folder.symlink_to(self._live)

    def history(self, folder: Path, before: date) -> str:
        return f"added {extend(self.root, folder, self._finished)}"

    def swap(self, folder: Path) -> tuple[bool, str]:
        self.asked.append(folder)
        return self._is_willing, "said"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("retraining") / "data")


@pytest.fixture(scope="module")
def champion(root: Path) -> Path:
    return fitted(root, root.parent / "champion", until="2017-10-01")


def fit_in_process(config: FitConfig, report: Callable[[str], None]) -> Path:
    return fitted(Path(config.data.root), Path(config.out), config.until)


def no_fit(config: FitConfig, report: Callable[[str], None]) -> Path:
    raise SetupError("understat has no priced match: nothing to fit on")


def run(
    tmp_path: Path, root: Path, system: NoSystem, *overrides: str, fit: Fit = fit_in_process, as_of: date = AS_OF
) -> list[str]:
    """Retrain; return what was reported."""
    said = list[str]()
    system.root = root
    retrain(configured(tmp_path, root, *overrides), as_of, system, fit, said.append)
    return said


def configured(tmp_path: Path, root: Path, *overrides: str) -> Config:
    small = ["retrain.holdout_matches=20", "retrain.least_matches=10"]
    return load([setting("data.root", root), setting("data.folder", tmp_path), *small, *overrides])


def test_the_newest_matches_are_held_out_and_every_phase_is_judged(tmp_path: Path, root: Path, champion: Path) -> None:
    system = NoSystem(champion)
    run(tmp_path, root, system)
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None and decision.verdict is not None, decision
    assert decision.window == Window(
        since=date(2017, 10, 20), until=AS_OF, matches={"prematch": 20, "live_understat": 20}
    )
    assert (decision.champion, decision.champion_trained_until) == ("champion", date(2017, 10, 1))
    phases = [(phase.suite, phase.phase, phase.matches) for phase in decision.verdict.phases]
    assert phases == [("prematch", known, 20) for known in ("no_odds", "past_odds", "pre_odds")] + [
        ("live_understat", f"{minute}'", 20) for minute in (0, 15, 30, 45, 60, 75, 85)
    ]
    assert (decision.outcome == "accepted") == decision.verdict.is_accepted == bool(system.asked)
    assert decision.ended_at is not None
    assert (tmp_path / FOLDER / str(decision.candidate) / "manifest.json").is_file()


@pytest.mark.parametrize("is_willing", [True, False])
def test_an_accepted_candidate_is_swapped_in_and_the_decision_says_what_came_of_it(
    tmp_path: Path, root: Path, champion: Path, monkeypatch: pytest.MonkeyPatch, is_willing: bool
) -> None:
    let_through(monkeypatch)
    system = NoSystem(champion, is_willing)
    run(tmp_path, root, system)
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None
    assert (decision.outcome, decision.is_served, decision.swap) == ("accepted", is_willing, "said")
    assert [path.name for path in system.asked] == [decision.candidate]


def let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the gate see a candidate that knew the results."""
    from training import retraining

    honest = retraining.held_out

    def clairvoyant(*words: object) -> list[retraining.HeldOut]:
        phases = honest(*words)  # type: ignore[arg-type]
        return [replace(phase, candidate=0.7 * np.eye(3)[phase.outcome] + 0.1) for phase in phases]

    monkeypatch.setattr(retraining, "held_out", clairvoyant)


def test_an_accepted_candidate_is_not_swapped_where_that_is_not_wanted(
    tmp_path: Path, root: Path, champion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_through(monkeypatch)
    system = NoSystem(champion)
    run(tmp_path, root, system, "retrain.swap=false")
    assert system.asked == []


def test_where_the_files_end_a_retraining_learns_from_the_log_alone(tmp_path: Path, root: Path) -> None:
    knows_all = fitted(root, tmp_path / "knows-all", until="2017-11-10")
    finished = [
        Match(
            league="E0",
            kick_off=AFTER + timedelta(days=n),
            home="Newcomers",
            away=f"Team {'ABCDEFGH'[n % 8]}",
            goals=(n % 3, 1),
        )
        for n in range(30)
    ]
    run(tmp_path, root, NoSystem(knows_all, True, *finished), as_of=date(2018, 1, 1))
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None and decision.window is not None, decision
    assert decision.window == Window(since=date(2017, 12, 11), until=date(2018, 1, 1), matches={"prematch": 20})
    assert "not compared, for there is no match since 2017-11-10: live_understat" in decision.reasons
    rated = (tmp_path / FOLDER / str(decision.candidate) / VOCABULARY).read_text()
    assert "Newcomers" in rated
    assert "Newcomers" not in (knows_all / VOCABULARY).read_text()


def test_a_fit_that_was_killed_goes_on_in_the_history_it_had(tmp_path: Path, root: Path, champion: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(config: FitConfig, report: Callable[[str], None]) -> Path:
        raise Killed

    with pytest.raises(Killed):
        run(tmp_path, root, NoSystem(champion), fit=killed)
    new = Match(league="E0", kick_off=AFTER, home="Team A", away="Newcomers", goals=(2, 1))
    run(tmp_path, root, NoSystem(champion, True, new), fit=no_fit)
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None
    assert decision.history == f"{tmp_path / FOLDER / 'history'}: as it was"
    run(tmp_path, root, NoSystem(champion, True, new), fit=no_fit)  # the last one ended: history is what is known now
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None and decision.history == "added 1"


def test_a_fit_that_fails_leaves_the_champion_and_says_why(tmp_path: Path, root: Path, champion: Path) -> None:
    system = NoSystem(champion)
    run(tmp_path, root, system, fit=no_fit)
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None
    assert (decision.outcome, system.asked) == ("failed", [])
    assert decision.reasons == ("understat has no priced match: nothing to fit on",)


def test_a_champion_that_knows_nearly_all_leaves_too_little_to_judge_by(
    tmp_path: Path, root: Path, champion: Path
) -> None:
    later = fitted(root, tmp_path / "later", until="2017-11-05")
    run(tmp_path, root, NoSystem(later), fit=no_fit)
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None
    assert decision.outcome == "too little data"
    assert decision.reasons == (
        "with 2017-11-05 <= date < 2017-11-09 prematch has 4 and live_understat has 4 matches; at least 10 are needed",
    )


def test_a_champion_without_a_forecast_before_kick_off_is_compared_in_play(
    tmp_path: Path, root: Path, champion: Path
) -> None:
    bare = shutil.copytree(champion, tmp_path / "bare", ignore=shutil.ignore_patterns(PREMATCH_FOLDER))
    run(tmp_path, root, NoSystem(bare))
    decision = last_decision(tmp_path / FOLDER)
    assert decision is not None and decision.verdict is not None
    assert {phase.suite for phase in decision.verdict.phases} == {"live_understat"}
    assert decision.reasons[-1] == "not compared, for the champion does not forecast it: prematch"


def test_a_candidate_that_was_fitted_before_a_kill_is_not_fitted_again(
    tmp_path: Path, root: Path, champion: Path
) -> None:
    run(tmp_path, root, NoSystem(champion))
    first = last_decision(tmp_path / FOLDER)
    run(tmp_path, root, NoSystem(champion), fit=no_fit)
    again = last_decision(tmp_path / FOLDER)
    assert first is not None and again is not None
    assert (again.outcome, again.candidate, again.verdict) == (first.outcome, first.candidate, first.verdict)


def test_the_window_never_begins_before_what_the_champion_knows() -> None:
    days = np.arange("2020-01-01", "2020-02-01", dtype="datetime64[D]")
    jan, feb = date(2020, 1, 1), date(2020, 2, 1)
    assert window_of({"a": days, "b": days[::2]}, jan, feb, 10).since == date(2020, 1, 13)
    assert window_of({"a": days[-5:]}, date(2020, 1, 27), feb, 10).matches == {"a": 5}
    assert window_of({"a": days[:0]}, date(2020, 3, 1), feb, 10) == Window(since=feb, until=feb, matches={"a": 0})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["when=tomorrow"], "when must be a date"),
        (["retrain.sweep=1"], "retrain.sweep: there is no such key"),
        (["wen=now"], "wen: there is no such key"),
    ],
)
def test_a_mistyped_option_is_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str], named: str) -> None:
    assert command.main(words) == 2
    assert named in capsys.readouterr().err


def test_two_never_run_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with command.only_one(tmp_path / FOLDER):
        assert command.main(["when=now", setting("data.folder", tmp_path)]) == 2
    assert "a retraining is under way there" in capsys.readouterr().err


def test_now_is_the_day_that_is_not_over() -> None:
    assert command.as_of_date("now", datetime(2026, 3, 10, 23, 59, tzinfo=UTC)) == date(2026, 3, 10)
