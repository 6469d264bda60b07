"""Scores forecasts of live matches once their results are in, minute by minute."""

from collections.abc import Mapping, Sequence

import numpy as np

from actors.domain.health import Estimate, PhaseComparison, PhaseHealth
from training.calibration import largest_error
from training.metrics import PROBABILITY_FLOOR, FloatArray, IntArray, log_loss, paired_bootstrap
from training.metrics import ranked_probability_score as rps

Scored = tuple[tuple[float, float, float], int]  # chances of home, draw, away, and the index of what happened
FEWEST = 20  # matches: an interval of fewer would be a guess
_SEED, _RESAMPLES = 0, 500
_STEPS, _MOST_SLOPE, _FLATTEST = 30, 20.0, 1e-9


def score_phases(by_minute: Mapping[int, Sequence[Scored]]) -> tuple[PhaseHealth, ...]:
    """Return the scores of each minute that has any; one forecast a match, so that rows are independent."""
    return tuple(_score(minute, rows) for minute, rows in sorted(by_minute.items()) if rows)


def _score(minute: int, rows: Sequence[Scored]) -> PhaseHealth:
    chances, outcomes = _arrays(rows)
    error, by_chance = largest_error(chances[None], outcomes, _SEED)
    return PhaseHealth(
        minute=minute,
        matches=len(rows),
        log_loss=estimate(log_loss(chances, outcomes)),
        rps=estimate(rps(chances, outcomes)),
        calibration_error=error,
        calibration_error_by_chance=by_chance,
        slope=calibration_slope(chances, outcomes) if len(rows) >= FEWEST else None,
    )


def compare_phases(
    served: Mapping[int, Sequence[Scored]], candidate: Mapping[int, Sequence[Scored]]
) -> tuple[PhaseComparison, ...]:
    """Compare a candidate with what was served, row by row of the same matches."""
    return tuple(_compare(minute, rows, candidate[minute]) for minute, rows in sorted(served.items()) if rows)


def _compare(minute: int, served: Sequence[Scored], candidate: Sequence[Scored]) -> PhaseComparison:
    (before, outcomes), (after, _) = _arrays(served), _arrays(candidate)
    return PhaseComparison(
        minute=minute,
        matches=len(served),
        log_loss=estimate(log_loss(after, outcomes) - log_loss(before, outcomes)),
        rps=estimate(rps(after, outcomes) - rps(before, outcomes)),
    )


def _arrays(rows: Sequence[Scored]) -> tuple[FloatArray, IntArray]:
    return np.array([row for row, _ in rows]), np.array([outcome for _, outcome in rows])


def estimate(scores: FloatArray) -> Estimate:
    """Return the mean of (n,) scores of independent matches and its bootstrap interval."""
    if len(scores) < FEWEST:
        return Estimate(value=float(scores.mean()), low=None, high=None)
    found = paired_bootstrap(scores, _SEED, _RESAMPLES)
    return Estimate(value=found.mean, low=found.low, high=found.high)


def calibration_slope(chances: FloatArray, outcomes: IntArray) -> Estimate:
    """Return the power that makes (n, k) chances fit (n,) outcomes best: 1 where they are right, below 1 too sure.

    Source: Cox (1958), Biometrika 45(3/4), for more than two classes; maximum likelihood by Newton's method, the
    interval from the information. It is bounded, where all favourites won there is no maximum.
    """
    logs = np.log(np.maximum(chances, PROBABILITY_FLOOR))
    happened = logs[np.arange(len(outcomes)), outcomes]
    slope, information = 1.0, 0.0
    for _ in range(_STEPS):
        weights = np.exp(slope * logs)
        weights /= weights.sum(axis=1, keepdims=True)
        means = (weights * logs).sum(axis=1)
        information = max(float((weights * logs**2).sum() - (means**2).sum()), _FLATTEST)
        step = float((happened - means).sum()) / information
        slope = min(max(slope + min(max(step, -1.0), 1.0), -_MOST_SLOPE), _MOST_SLOPE)
    half = 1.96 / float(np.sqrt(information))
    return Estimate(value=slope, low=slope - half, high=slope + half)
