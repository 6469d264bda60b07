"""The live suites: a row per forecast, beside the baseline, and never of what the model was trained on."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.test_fit import SHIPPED, UNTIL, fitted, write_data
from training import evaluate
from training.ablation import ablation
from training.calibration import conformal_threshold, largest_error
from training.live_anchors import result_rows
from training.live_data import load_live
from training.live_score import MINUTES, forecast
from training.network import load_model
from training.prematch.table import load_table

FIRST = SHIPPED.parent / "baseline-2017-12-01"


def options(root: Path, out: Path, **changes: str) -> list[str]:
    asked = {"model": str(SHIPPED), "suite": "live_understat", "since": UNTIL, "until": "2018-02-01", "out": str(out)}
    asked |= changes
    return [f"data.root={root}", *(f"{key}={value}" for key, value in asked.items())]


@pytest.mark.parametrize("inputs", ["full", "no_odds"])
def test_one_row_per_match_and_minute_with_intervals_around_each_probability(tmp_path: Path, inputs: str) -> None:
    root, out = write_data(tmp_path / "data", matches=100), tmp_path / "out" / "rows.parquet"
    assert evaluate.main(options(root, out, inputs=inputs)) == 0
    table = pq.read_table(out)
    rows = table.to_pylist()
    matches = {row["match_key"] for row in rows}
    assert len(rows) == len(matches) * len(MINUTES) > 0
    assert {(row["match_key"], row["minute"]) for row in rows} == {
        (key, minute) for key in matches for minute in MINUTES
    }
    for row in rows:
        assert row["p_home"] + row["p_draw"] + row["p_away"] == pytest.approx(1, abs=1e-9)
        for outcome in ("home", "draw", "away"):
            assert row[f"p_{outcome}_lo"] - 1e-9 <= row[f"p_{outcome}"] <= row[f"p_{outcome}_hi"] + 1e-9
    assert {row["model_version"] for row in rows} == {SHIPPED.name}
    report = out.with_suffix(".html").read_text()
    assert report.count("<svg") == 3
    assert f"n={len(matches)}" in report


def test_a_group_of_inputs_is_worth_nothing_to_a_model_that_does_not_use_it(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data", matches=100)
    matches = load_live(root, "understat", date(2017, 12, 1), date(2018, 12, 1))
    worth = {}
    for folder in (FIRST, SHIPPED):
        model = load_model(folder)
        worth[folder] = ablation(model, matches, forecast(model, matches), seed=1, resamples=50)
    assert all(gain.mean == 0 for gain in worth[FIRST]["shots"])
    assert any(gain.mean != 0 for gain in worth[SHIPPED]["shots"])
    assert all(gain.mean == 0 for gain in worth[SHIPPED]["red cards"])  # understat has none
    assert all(gain.mean != 0 for gain in worth[FIRST]["all prices"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"since": "2017-11-30"}, "trained until 2017-12-01"),
        ({"suite": "live_opta"}, "suite must be one of prematch, live_understat, live_wyscout"),
        ({"inputs": "pre_odds"}, "inputs of a live suite must be one of full, no_odds, past_odds"),
        ({"inputs": "past_odds", "model": str(FIRST)}, "has no prematch/, which inputs=past_odds needs"),
        ({"since": "2019-01-01", "until": "2019-02-01"}, "has no priced match"),
        ({"until": "soon"}, "until must be a date"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], named: str
) -> None:
    root = write_data(tmp_path / "data", matches=20)
    assert evaluate.main(options(root, tmp_path / "rows.parquet", **changes)) == 2
    said = capsys.readouterr().err.strip()
    assert named in said
    assert "\n" not in said


@pytest.fixture(scope="module")
def with_prematch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data root and a model with both of its parts."""
    folder = tmp_path_factory.mktemp("fit")
    root = write_data(folder / "data", matches=100)
    return root, fitted(root, folder / "model")


@pytest.mark.parametrize("known", ["no_odds", "past_odds"])
def test_without_prices_rates_come_from_the_forecast_before_kick_off(
    with_prematch: tuple[Path, Path], tmp_path: Path, known: str
) -> None:
    root, model = with_prematch
    scored = {}
    for suite in ("live_understat", "prematch"):
        out = tmp_path / f"{suite}.parquet"
        assert evaluate.main(options(root, out, suite=suite, inputs=known, model=str(model))) == 0
        rows = pq.read_table(out).to_pylist()
        scored[suite] = sorted((row["p_home"], row["p_draw"]) for row in rows if row["minute"] == 0)
    np.testing.assert_allclose(scored["live_understat"], scored["prematch"], atol=2e-3)


def test_results_are_found_by_teams_and_nearest_day_or_not_at_all(with_prematch: tuple[Path, Path]) -> None:
    root, _ = with_prematch
    matches, table = load_live(root, "understat", date(2017, 1, 1), date(2019, 1, 1)), load_table(root)
    a_day_on = replace(matches, day=matches.day + 1)
    np.testing.assert_array_equal(table.day[result_rows(matches, table)], matches.day.astype(np.int64))
    assert (np.abs(table.day[result_rows(a_day_on, table)] - a_day_on.day.astype(np.int64)) <= 1).all()
    assert (result_rows(replace(matches, day=matches.day + 4000), table) == -1).all()
    assert (result_rows(replace(matches, league=("",) * len(matches)), table) == -1).all()


def test_a_perfect_forecaster_is_below_its_own_bound_and_a_biased_one_above() -> None:
    random = np.random.default_rng(3)
    chances = random.dirichlet([3.0, 2.0, 3.0], (2, 3000))
    outcomes = (random.random((3000, 1)) > np.cumsum(chances[0], axis=1)[:, :-1]).sum(axis=1)
    found, bound = largest_error(chances[:1], outcomes, seed=1, worlds=200)
    assert found < bound
    biased = chances[:1] ** 2 / (chances[:1] ** 2).sum(axis=2, keepdims=True)
    found, bound = largest_error(biased, outcomes, seed=1, worlds=200)
    assert found > bound
    threshold = conformal_threshold(chances[0], outcomes, 0.9)
    assert (chances[0][np.arange(3000), outcomes] >= threshold).mean() == pytest.approx(0.9, abs=1e-3)


def test_comparables_are_scored_beside_the_model_and_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_data(tmp_path / "data", matches=100)
    assert evaluate.main(options(root, tmp_path / "rows.parquet")) == 0
    said = capsys.readouterr().out
    assert "comparables, 91 past matches before 2017-12-01" in said
    assert said.count("x .001, n=19: 0'") == 2
