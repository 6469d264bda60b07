"""The forecast before kick-off: blind to the future, repeatable, sure of what it says, and scored as told."""

from datetime import date
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from actors.domain.errors import ModelRejected, SetupError
from tests.unit.prematch_data import write_results
from training import evaluate
from training.anchored import stack_targets
from training.anchors import solve
from training.chain import BLOCKS, LEADS, ScoreChain
from training.metrics import paired_bootstrap, ranked_probability_score
from training.model_file import WEIGHTS
from training.options import EvaluateConfig, parse
from training.prematch.inputs import prematch_inputs
from training.prematch.model import forecast
from training.prematch.odds import fair_power
from training.prematch.store import read_prematch
from training.prematch.table import MAIN_LEAGUES, load_table
from training.stages import STAGES, Progress, Work
from training.write_models import Origin, manifest_of, write_prematch

UNTIL, END = "2020-08-01", "2021-08-01"


def fitted(root: Path, out: Path) -> Path:
    """Fit the part before kick-off alone."""
    work = Work(root=root, until=date.fromisoformat(UNTIL), seed=0, report=lambda line: None)
    stages = [stage for name, stage in STAGES.items() if name.startswith("before kick-off")]
    progress = reduce(lambda progress, stage: stage(work, progress), stages, Progress.start(work.seed))
    write_prematch(out, work, progress, manifest_of(Origin(version="some", code_commit=None, data={}), work, progress))
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(root, tmp_path_factory.mktemp("models"))


def scored(root: Path, model: Path, *extra: str) -> list[str]:
    arguments = [f"data.root={root}", f"model={model}", "suite=prematch", f"since={UNTIL}", f"until={END}", *extra]
    return evaluate.evaluate(parse(EvaluateConfig, arguments))


@pytest.mark.parametrize("cut", [date(2018, 8, 20), date(2020, 9, 1)])
def test_what_comes_from_a_day_on_changes_no_input_up_to_it(root: Path, tmp_path: Path, cut: date) -> None:
    before = (cut - date(1970, 1, 1)).days
    true, noisy = (load_table(data) for data in (root, write_results(tmp_path, noise_from=cut)))
    rows, noisy_rows = true.day < before, noisy.day < before
    one, other = prematch_inputs(true).rows(rows), prematch_inputs(noisy).rows(noisy_rows)
    for group in ("play", "past_prices", "price"):
        np.testing.assert_array_equal(getattr(one, group).values, getattr(other, group).values)


def test_results_and_prices_of_a_day_change_no_input_of_that_day(root: Path) -> None:
    table = load_table(root)
    day = table.day[len(table) // 2]
    random = np.random.default_rng(3)
    changed = {}
    for name in ("goals", "half_time", "shots", "on_target", "corners", "reds", "close", "close_total"):
        values = getattr(table, name).copy()
        later = table.day >= day
        values[later] = random.integers(2, 9, values[later].shape)
        changed[name] = values
    fields = {name: getattr(table, name) for name in table.__dataclass_fields__}
    one, other = prematch_inputs(table), prematch_inputs(type(table)(**(fields | changed)))
    rows = table.day <= day
    for group in ("play", "past_prices", "price"):
        names = getattr(one, group).names
        np.testing.assert_array_equal(
            getattr(one, group).values[rows], getattr(other, group).values[rows], err_msg=str(names)
        )


def test_the_same_seed_gives_the_same_weights_whatever_comes_later(root: Path, model: Path, tmp_path: Path) -> None:
    noisy = write_results(tmp_path / "noisy", noise_from=date.fromisoformat(UNTIL))
    again = fitted(noisy, tmp_path / "models")
    assert (again / WEIGHTS).read_bytes() == (model / WEIGHTS).read_bytes()


@pytest.mark.parametrize("known", ["full", "no_odds", "past_odds", "pre_odds", "close_odds"])
def test_every_match_of_the_span_has_one_forecast_that_adds_up(
    root: Path, model: Path, tmp_path: Path, known: str
) -> None:
    out = tmp_path / "forecasts.parquet"
    lines = scored(root, model, f"inputs={known}", f"out={out}")
    rows = pq.read_table(out).to_pydict()
    outcome = np.stack([rows[f"p_{name}"] for name in ("home", "draw", "away")], axis=1)
    assert len(set(rows["match_key"])) == 120
    assert rows["match_key"][0].startswith("E0|2020-08-05|")
    assert set(rows["minute"]) == {0}
    assert set(rows["model_version"]) == {"some"}
    np.testing.assert_allclose(outcome.sum(axis=1), 1, atol=1e-12)
    for name in ("home", "draw", "away"):
        low, p, high = (np.array(rows[f"p_{name}{end}"]) for end in ("_lo", "", "_hi"))
        assert ((low > 0) & (low <= p) & (p <= high) & (high < 1)).all()
    assert np.isfinite(np.stack([rows["goals_home"], rows["goals_away"], rows["p_over25"]])).all()
    assert any("22 main leagues: n=120" in line for line in lines)


def test_the_chain_repeats_the_forecast(root: Path, model: Path) -> None:
    table = load_table(root)
    inputs = prematch_inputs(table)
    answer = forecast(read_prematch(model)[1], table, inputs, "no_odds")
    flat = ScoreChain(torch.ones((2, BLOCKS, LEADS), dtype=torch.float64))
    shares = torch.full((BLOCKS,), 1 / BLOCKS, dtype=torch.float64)
    solved = solve(flat, shares, stack_targets(answer.chain_targets()[-8:]))
    assert float(solved.residual.max()) < 1e-9
    np.testing.assert_allclose(solved.rates.numpy().T, np.exp(answer.log_rates[-8:]), rtol=0.2)


@pytest.mark.needs_data
def test_the_close_scores_as_the_protocol_says(data_root: Path) -> None:
    table = load_table(data_root)
    pre, close, outcome = fair_power(table.pre), fair_power(table.close), table.outcome()
    rows = table.in_leagues(MAIN_LEAGUES) & np.isin(table.season, [2022, 2023]) & np.isfinite(pre + close).all(axis=1)
    assert rows.sum() == 15212
    scores = [ranked_probability_score(p[rows], outcome[rows]).mean() for p in (pre, close)]
    np.testing.assert_allclose(scores, [0.20206, 0.20109], atol=6e-6)


def test_a_span_that_begins_before_the_model_ends_is_refused(root: Path, model: Path) -> None:
    with pytest.raises(SetupError, match="trained until 2020-08-01"):
        scored(root, model, "since=2020-07-31")


def test_a_model_with_other_bytes_is_rejected(root: Path, model: Path, tmp_path: Path) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-1] + b"x")
    with pytest.raises(ModelRejected, match="expected sha256"):
        read_prematch(tmp_path)


@pytest.mark.parametrize("wrong", ["suite=live", "inputs=everything", "until=2020-01-01", "since=yesterday"])
def test_a_wrong_option_is_one_sentence(root: Path, model: Path, wrong: str) -> None:
    with pytest.raises(SetupError, match=wrong.split("=")[0]):
        scored(root, model, wrong)


def test_weeks_drawn_whole_give_wider_intervals_where_weeks_differ() -> None:
    week = np.repeat(np.arange(40), 25)
    differences = np.random.default_rng(1).normal(0, 1, 40)[week]
    by_week, by_match = (paired_bootstrap(differences, 0, groups=groups) for groups in (week, None))
    assert by_week.high - by_week.low > 3 * (by_match.high - by_match.low)
