"""The two linear models: a multinomial logit with an offset, and a ridge regression; weights by match."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.prematch.table import FloatArray, IntArray

_CLIP = 5.0  # standard deviations
_MAX_STEPS = 12
_CLOSE_ENOUGH = 1e-7  # of the mean log loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Standardises inputs as they were in training: (k,) means and deviations."""

    mean: FloatArray
    deviation: FloatArray

    def apply(self, values: FloatArray) -> FloatArray:
        """Return (n, k + 1): standardised, clipped, missing as the mean; the last column is one."""
        scaled = np.nan_to_num(np.clip((values - self.mean) / self.deviation, -_CLIP, _CLIP), nan=0.0)
        return np.concatenate([scaled, np.ones((len(values), 1))], axis=1)


def fit_scale(values: FloatArray) -> Scale:
    """Fit means and deviations over what is known; a column that is never known, or never moves, stays at nought."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    return Scale(mean=mean, deviation=np.where(deviation > 1e-9, deviation, np.inf))


def softmax(scores: FloatArray) -> FloatArray:
    """Return (..., 3) probabilities from (..., 2) log odds of home and away against the draw."""
    full = np.stack([scores[..., 0], np.zeros(scores.shape[:-1]), scores[..., 1]], axis=-1)
    powers = np.exp(full - full.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float64)


def fit_logit(
    design: FloatArray,
    outcome: IntArray,
    penalty: float,
    weight: FloatArray | None = None,
    start: FloatArray | None = None,
) -> FloatArray:
    """Fit (k, 2) weights of the log odds of home and away against the draw, by Newton.

    Args:
        design: (n, k), the last column the constant, which is not shrunk.
        outcome: (n,) 0 home, 1 draw, 2 away.
        penalty: Ridge, in units of one match's information.
        weight: (n,) of each match; 1 where not given.
        start: Weights to start from.
    """
    k = design.shape[1]
    weight = np.ones(len(design)) if weight is None else weight
    theta = np.zeros((k, 2)) if start is None else start.copy()
    ridge = np.full((k, 2), penalty)
    ridge[-1] = 1e-6
    happened = np.stack([outcome == 0, outcome == 2], axis=1)
    for _ in range(_MAX_STEPS):
        p = softmax(design @ theta)[:, [0, 2]]
        slope = design.T @ (weight[:, None] * (happened - p)) - ridge * theta
        step = np.linalg.solve(_curvature(design, p, weight) + np.diag(ridge.T.ravel()), slope.T.ravel())
        theta += step.reshape(2, k).T
        if float(slope.T.ravel() @ step) < _CLOSE_ENOUGH * weight.sum():
            break
    return theta


def fit_ridge(design: FloatArray, target: FloatArray, penalty: float, weight: FloatArray | None = None) -> FloatArray:
    """Fit (k, m) weights of (n, m) targets by least squares; the last column of `design` is not shrunk."""
    weight = np.ones(len(design)) if weight is None else weight
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 1e-6
    weighted = design * weight[:, None]
    return np.asarray(np.linalg.solve(design.T @ weighted + np.diag(ridge), weighted.T @ target), dtype=np.float64)


def resample_weeks(day: IntArray, random: np.random.Generator) -> FloatArray:
    """Return (n,): how often each match is drawn in one bootstrap over weeks."""
    _, week = np.unique(day // 7, return_inverse=True)
    weeks = int(week.max()) + 1
    drawn: NDArray[np.int64] = np.bincount(random.integers(0, weeks, weeks), minlength=weeks)
    return drawn[week].astype(np.float64)


def _curvature(design: FloatArray, p: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the (2k, 2k) information of both sides' weights."""
    own = [design.T @ (design * (weight * p[:, side] * (1 - p[:, side]))[:, None]) for side in (0, 1)]
    cross = -design.T @ (design * (weight * p[:, 0] * p[:, 1])[:, None])
    return np.block([[own[0], cross], [cross.T, own[1]]])
