"""Whether the bootstrap's intervals hold the truth as often as they say, in worlds whose truth is known.

A world has the evidence of real matches and goals drawn block by block from known hazards, so that the rows of one
match are as dependent as they are in truth. What the fit would find in endless worlds is the truth that its intervals
must hold: they are about how well the weights are known, not about whether the model is right.
"""

import numpy as np

from training.fit_corrections import bootstrap_covariance
from training.metrics import FloatArray, IntArray
from training.poisson import poisson_ridge

_Z = 1.6448536269514722  # nominal 90 %


def simulated_coverage(
    design: FloatArray, hazards: FloatArray, weights: FloatArray, precision: FloatArray, worlds: int, seed: int
) -> FloatArray:
    """Return (rows,): in what share of the worlds the interval of the log rate held the truth.

    Args:
        design: (rows, sides of n matches, k) evidence, rows in order of time; the first half of sides is home's.
        hazards: (rows, sides) goals expected between a row and the next, without corrections.
        weights: (k,) of the world. precision: (k, k) of the fit's prior.
    """
    random = np.random.default_rng(seed)
    rows, sides, k = design.shape
    flat, offset = design.reshape(-1, k), to_come(hazards).reshape(-1)
    match = np.tile(np.arange(sides) % (sides // 2), rows)
    means = hazards * np.exp(design @ weights)
    truth = flat @ poisson_ridge(flat, to_come(means).reshape(-1), offset, weights, precision)
    held = np.zeros(rows)
    for world in range(worlds):
        goals = to_come(random.poisson(means)).reshape(-1)
        fitted = poisson_ridge(flat, goals, offset, np.zeros(k), precision)
        mean = offset * np.exp(flat @ fitted)
        covariance = bootstrap_covariance(flat, goals, mean, match, precision, world)
        deviation = np.sqrt(np.einsum("ri,ij,rj->r", flat, covariance, flat))
        inside = np.abs(flat @ fitted - truth) <= _Z * deviation
        held += inside.reshape(rows, sides).mean(axis=1)
    return np.asarray(held / worlds, dtype=np.float64)


def to_come(values: FloatArray | IntArray) -> FloatArray:
    """Return the sums from each row to the last, (rows, sides)."""
    return np.asarray(np.cumsum(values[::-1], axis=0)[::-1], dtype=np.float64)
