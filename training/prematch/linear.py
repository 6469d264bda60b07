"""The two linear models: a multinomial logit and a ridge regression; each with bootstrap members beside its weights."""

from dataclasses import dataclass

import numpy as np

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


def fit_logit(design: FloatArray, outcome: IntArray, penalty: float) -> FloatArray:
    """Fit (k, 2) weights of the log odds of home and away against the draw, by Newton.

    Args:
        design: (n, k), the last column the constant, which is not shrunk.
        outcome: (n,) 0 home, 1 draw, 2 away.
        penalty: Ridge, in units of one match's information.
    """
    k = design.shape[1]
    theta = np.zeros((k, 2))
    ridge = _ridge(k, penalty)[:, None]
    for _ in range(_MAX_STEPS):
        p, miss = _misses(design, outcome, theta)
        slope = design.T @ miss - ridge * theta
        step = np.linalg.solve(_curvature(design, p, penalty), slope.T.ravel())
        theta += step.reshape(2, k).T
        if float(slope.T.ravel() @ step) < _CLOSE_ENOUGH * len(design):
            break
    return theta


def logit_members(
    design: FloatArray, outcome: IntArray, penalty: float, theta: FloatArray, drawn: FloatArray
) -> FloatArray:
    """Return (members, k, 2): the weights after one Newton step from `theta` on each resample, curvature kept.

    Args:
        drawn: (members, n) how often each match is drawn.
    Source: the one-step bootstrap, Davison and Hinkley (1997), section 7.2.
    """
    k = design.shape[1]
    p, miss = _misses(design, outcome, theta)
    shrunk = _ridge(k, penalty)[:, None] * theta
    slopes = np.stack([design.T @ (weight[:, None] * miss) - shrunk for weight in drawn])
    steps = np.linalg.solve(_curvature(design, p, penalty), slopes.transpose(0, 2, 1).reshape(len(drawn), -1).T)
    return np.asarray(theta + steps.T.reshape(-1, 2, k).transpose(0, 2, 1), dtype=np.float64)


def fit_ridge(design: FloatArray, target: FloatArray, penalty: float) -> FloatArray:
    """Fit (k, m) weights of (n, m) targets by least squares; the last column of `design` is not shrunk."""
    information = design.T @ design + np.diag(_ridge(design.shape[1], penalty))
    return np.asarray(np.linalg.solve(information, design.T @ target), dtype=np.float64)


def ridge_members(
    design: FloatArray, target: FloatArray, penalty: float, theta: FloatArray, drawn: FloatArray
) -> FloatArray:
    """Return (members, k, m): as `logit_members`, of `fit_ridge`."""
    ridge = _ridge(design.shape[1], penalty)
    miss = target - design @ theta
    slopes = np.stack([design.T @ (weight[:, None] * miss) - ridge[:, None] * theta for weight in drawn])
    information = design.T @ design + np.diag(ridge)
    return np.asarray(theta + np.linalg.solve(information, slopes), dtype=np.float64)


def resample_weeks(day: IntArray, members: int, random: np.random.Generator) -> FloatArray:
    """Return (members, n): how often each match is drawn in bootstraps over weeks."""
    _, week = np.unique(day // 7, return_inverse=True)
    weeks = int(week.max()) + 1
    drawn = [np.bincount(random.integers(0, weeks, weeks), minlength=weeks)[week] for _ in range(members)]
    return np.stack(drawn).astype(np.float64)


def _ridge(k: int, penalty: float) -> FloatArray:
    ridge = np.full(k, penalty)
    ridge[-1] = 1e-6
    return ridge


def _misses(design: FloatArray, outcome: IntArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return P(home) and P(away), (n, 2), and how far what happened is from them."""
    p = softmax(design @ theta)[:, [0, 2]]
    return p, np.stack([outcome == 0, outcome == 2], axis=1) - p


def _curvature(design: FloatArray, p: FloatArray, penalty: float) -> FloatArray:
    """Return the (2k, 2k) information of both sides' weights, shrinkage included."""
    own = [design.T @ (design * (p[:, side] * (1 - p[:, side]))[:, None]) for side in (0, 1)]
    cross = -design.T @ (design * (p[:, 0] * p[:, 1])[:, None])
    return np.block([[own[0], cross], [cross.T, own[1]]]) + np.diag(np.tile(_ridge(design.shape[1], penalty), 2))
