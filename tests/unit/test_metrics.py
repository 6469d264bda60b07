"""Scores agree with other people's arithmetic, and refuse what is no forecast."""

import numpy as np
import penaltyblog
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.metrics import PROBABILITY_FLOOR, accuracy, log_loss, paired_bootstrap, ranked_probability_score

SHARES = st.lists(st.floats(0.01, 1), min_size=3, max_size=3)


def forecasts_of(shares: list[list[float]]) -> np.ndarray:
    table = np.array(shares)
    return table / table.sum(axis=1, keepdims=True)


@given(st.lists(st.tuples(SHARES, st.integers(0, 2)), min_size=1, max_size=8))
def test_rps_and_log_loss_equal_those_of_penaltyblog(rows: list[tuple[list[float], int]]) -> None:
    forecasts, outcomes = forecasts_of([shares for shares, _ in rows]), np.array([outcome for _, outcome in rows])
    oracle = penaltyblog.metrics.rps_array(forecasts, outcomes)
    assert ranked_probability_score(forecasts, outcomes) == pytest.approx(oracle, abs=1e-12)
    ignorance = penaltyblog.metrics.ignorance_score(forecasts, outcomes)  # the same in bits, averaged
    assert log_loss(forecasts, outcomes).mean() / np.log(2) == pytest.approx(ignorance, abs=1e-9)


def test_an_impossible_outcome_costs_the_floor_and_no_more() -> None:
    assert log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([2])) == pytest.approx(-np.log(PROBABILITY_FLOOR))


def test_accuracy_is_the_share_of_right_favourites() -> None:
    assert accuracy(np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]]), np.array([0, 1])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("forecasts", "outcomes"),
    [([[0.5, 0.3, 0.3]], [0]), ([[0.5, 0.3, 0.2]], [3]), ([[np.nan, 0.5, 0.5]], [0]), ([[0.5, 0.3, 0.2]], [0, 1])],
)
def test_what_is_no_forecast_of_these_outcomes_is_refused(forecasts: list[list[float]], outcomes: list[int]) -> None:
    for metric in (ranked_probability_score, log_loss, accuracy):
        with pytest.raises(ValueError, match=r"must|expected"):
            metric(np.array(forecasts), np.array(outcomes))


def test_the_bootstrap_interval_is_the_normal_one_where_there_are_many_matches() -> None:
    differences = np.random.default_rng(3).normal(0.2, 1.0, 4000)
    interval = paired_bootstrap(differences, seed=1)
    half_width = 1.96 * differences.std() / np.sqrt(len(differences))
    assert interval.mean == pytest.approx(differences.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(half_width, rel=0.1)
    assert interval == paired_bootstrap(differences, seed=1) != paired_bootstrap(differences, seed=2)


def test_a_bootstrap_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap(np.array([]), seed=1)
