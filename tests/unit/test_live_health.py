"""Scores of live matches agree with draws from known chances, and say so where there are too few."""

import numpy as np
import pytest

from training.live_health import FEWEST, Scored, calibration_slope, score_phases


def drawn(n: int, seed: int, power: float = 1.0) -> list[Scored]:
    """Results drawn from chances to a power: the chances are then too sure where it is below 1."""
    draw = np.random.default_rng(seed)
    chances = draw.dirichlet([2.0, 1.2, 1.6], n)
    true = chances**power / (chances**power).sum(axis=1, keepdims=True)
    return [
        ((home, draws, away), int(draw.choice(3, p=of)))
        for (home, draws, away), of in zip(chances.tolist(), true, strict=True)
    ]


def slope_of(rows: list[Scored]) -> float:
    found = calibration_slope(np.array([row for row, _ in rows]), np.array([outcome for _, outcome in rows]))
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    return found.value


@pytest.mark.parametrize("power", [0.5, 1.0, 1.6])
def test_the_slope_finds_the_power_that_results_were_drawn_with(power: float) -> None:
    assert slope_of(drawn(6_000, 1, power)) == pytest.approx(power, abs=0.08)


def test_the_interval_of_the_slope_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        rows = drawn(150, seed)
        found = calibration_slope(np.array([row for row, _ in rows]), np.array([outcome for _, outcome in rows]))
        assert found.low is not None and found.high is not None
        held += found.low <= 1.0 <= found.high
    assert 182 <= held <= 198


def test_where_every_favourite_won_the_slope_is_bounded() -> None:
    assert slope_of([((0.6, 0.3, 0.1), 0)] * 40) == 20.0


def test_forecasts_that_are_right_are_no_worse_calibrated_than_chance_makes_them() -> None:
    [right] = score_phases({15: drawn(800, 3)})
    [too_sure] = score_phases({15: drawn(800, 3, power=0.2)})
    assert right.calibration_error < right.calibration_error_by_chance
    assert too_sure.calibration_error > too_sure.calibration_error_by_chance
    assert right.matches == 800
    assert right.log_loss.low is not None and right.log_loss.low < right.log_loss.value


def test_minutes_come_in_order_and_empty_ones_are_left_out() -> None:
    found = score_phases({85: drawn(3, 1), 0: drawn(2, 2), 30: []})
    assert [(each.minute, each.matches) for each in found] == [(0, 2), (85, 3)]


def test_too_few_matches_have_scores_and_no_intervals() -> None:
    [few] = score_phases({0: drawn(FEWEST - 1, 1)})
    assert (few.log_loss.low, few.rps.high, few.slope) == (None, None, None)
    [enough] = score_phases({0: drawn(FEWEST, 1)})
    assert enough.slope is not None
