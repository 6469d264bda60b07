"""Poisson regression with a normal prior."""

import numpy as np

from training.metrics import FloatArray, IntArray

_STEPS = 25
_GOOD_ENOUGH = 1e-10


def poisson_ridge(
    design: FloatArray, counts: FloatArray | IntArray, expected: FloatArray, middle: FloatArray, precision: FloatArray
) -> FloatArray:
    """Return theta that maximises Poisson(counts; expected exp(design theta)) under a normal prior, by Newton.

    Args:
        design: (rows, k); counts, expected: (rows,).
        middle, precision: (k,) and (k, k) of the prior.

    >>> one = np.ones((2, 1))
    >>> poisson_ridge(one, np.array([3, 1]), np.array([1.0, 1.0]), np.zeros(1), np.zeros((1, 1))).round(4)
    array([0.6931])
    """
    theta = middle.copy()
    for _ in range(_STEPS):
        mean = expected * np.exp(design @ theta)
        slope = design.T @ (counts - mean) - precision @ (theta - middle)
        step = np.linalg.solve(curvature(design, mean, precision), slope)
        theta = theta + step
        if np.abs(step).max() < _GOOD_ENOUGH:
            break
    return theta


def curvature(design: FloatArray, mean: FloatArray, precision: FloatArray) -> FloatArray:
    """Return minus the second derivative of the log posterior, (k, k), where the fitted means are `mean` (rows,)."""
    return np.asarray(design.T @ (design * mean[:, None]) + precision, dtype=np.float64)
