"""Proper scores, accuracy, and how sure a difference between two forecasters is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
PROBABILITY_FLOOR = 1e-7  # model notes, "In play", step 4: one impossible outcome must not decide a comparison
_CHUNK = 200  # resamples drawn at a time, which bounds memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and the interval around it."""

    mean: float
    low: float
    high: float

    def thousandths(self) -> str:
        """Write it as tables of differences do.

        >>> Interval(mean=-0.001, low=-0.0022, high=0.0001).thousandths()
        '-1.00 [-2.20,+0.10]'
        """
        return f"{self.mean * 1e3:+.2f} [{self.low * 1e3:+.2f},{self.high * 1e3:+.2f}]"


def ranked_probability_score(forecasts: FloatArray, outcomes: IntArray) -> FloatArray:
    """Score ordered forecasts, from 0 (sure and right) to 1 (sure and as wrong as can be).

    Args:
        forecasts: (n, k) probabilities; rows sum to 1, columns ordered home, draw, away.
        outcomes: (n,) index of the column that happened.
    Returns:
        (n,) scores: squared gaps between cumulative forecast and outcome, summed, over k - 1.
    Raises:
        ValueError: A row does not sum to 1 within 1e-9, or an outcome is out of range.
    Source: Epstein (1969), J. Appl. Meteorol. 8(6); for football, Constantinou and Fenton (2012), JQAS 8(1).

    >>> ranked_probability_score(np.array([[1.0, 0.0, 0.0]]), np.array([2]))
    array([1.])
    """
    _check(forecasts, outcomes)
    columns = forecasts.shape[1]
    happened = outcomes[:, None] <= np.arange(columns)
    gaps = np.cumsum(forecasts, axis=1) - happened
    return np.asarray((gaps[:, :-1] ** 2).sum(axis=1) / (columns - 1), dtype=np.float64)


def log_loss(forecasts: FloatArray, outcomes: IntArray) -> FloatArray:
    """Return (n,) minus log of what was given to the outcome, floored at PROBABILITY_FLOOR; arguments as above.

    >>> log_loss(np.array([[0.5, 0.25, 0.25]]), np.array([0])).round(4)
    array([0.6931])
    """
    _check(forecasts, outcomes)
    given = forecasts[np.arange(len(outcomes)), outcomes]
    return np.asarray(-np.log(np.maximum(given, PROBABILITY_FLOOR)), dtype=np.float64)


def accuracy(forecasts: FloatArray, outcomes: IntArray) -> FloatArray:
    """Return (n,) ones where the most likely outcome happened, else zeros; ties go to the first column.

    >>> accuracy(np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]), np.array([0, 1]))
    array([1., 0.])
    """
    _check(forecasts, outcomes)
    return np.asarray(forecasts.argmax(axis=1) == outcomes, dtype=np.float64)


def paired_bootstrap(
    differences: FloatArray, seed: int, resamples: int = 2000, level: float = 0.95, groups: IntArray | None = None
) -> Interval:
    """Return the mean of differences between two forecasters on the same matches, with a percentile interval.

    Args:
        differences: (n,) one per match: matches are independent, the minutes of one match are not.
        seed: Of the resampling; the same seed gives the same interval.
        groups: (n,) what is drawn as a whole, such as weeks; each match by itself where not given.
    Raises:
        ValueError: There are no differences.
    Source: Efron (1979), Ann. Stat. 7(1).
    """
    if not len(differences):
        raise ValueError("needs at least one difference, received none")
    random = np.random.default_rng(seed)
    if groups is not None:
        draws = resampled_sums(np.stack([differences, np.ones(len(differences))], axis=1), groups, seed, resamples)
        low, high = np.quantile(draws[:, 0] / draws[:, 1], [(1 - level) / 2, (1 + level) / 2])
        return Interval(mean=float(differences.mean()), low=float(low), high=float(high))
    n = len(differences)
    sizes = [min(_CHUNK, resamples - start) for start in range(0, resamples, _CHUNK)]
    means = np.concatenate([differences[random.integers(0, n, (size, n))].mean(axis=1) for size in sizes])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(differences.mean()), low=float(low), high=float(high))


def resampled_sums(values: FloatArray, groups: IntArray, seed: int, resamples: int = 2000) -> FloatArray:
    """Draw whole groups with replacement; return (resamples, k) sums of (n, k) values: ratios of them are statistics.

    Source: Davison and Hinkley (1997), Bootstrap Methods and their Application, section 3.8.
    """
    _, place = np.unique(groups, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, values.shape[1]))
    np.add.at(sums, place, values)
    random = np.random.default_rng(seed)
    return np.stack([sums[random.integers(0, len(sums), len(sums))].sum(axis=0) for _ in range(resamples)])


def _check(forecasts: FloatArray, outcomes: IntArray) -> None:
    if forecasts.ndim != 2 or outcomes.shape != forecasts.shape[:1]:
        raise ValueError(f"expected (n, k) forecasts and (n,) outcomes, received {forecasts.shape}, {outcomes.shape}")
    worst = float(np.abs(forecasts.sum(axis=1) - 1).max(initial=0))
    if not worst <= 1e-9:
        raise ValueError(f"rows must sum to 1, one is {worst:.3g} away")
    if len(outcomes) and not (outcomes.min() >= 0 and outcomes.max() < forecasts.shape[1]):
        raise ValueError(f"outcomes must be 0..{forecasts.shape[1] - 1}, were {outcomes.min()}..{outcomes.max()}")
