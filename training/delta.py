"""Intervals of the result's probabilities: how far they move when the weights move as the bootstrap says they may.

The delta method on the log-odds: the slope of each by both sides' log rates, by a nudge of each rate, times the
covariance of the log rates under the weights' covariance. Only single elements are added, multiplied, divided and
rooted in tensors, so that a row's bits depend on its own numbers alone, as in `training.chain`.
Source: model notes of the project, "In play", "Intervals": the bootstrap over matches covers, the Hessian does not.
"""

import math

import numba
import numpy as np
import torch

from actors.domain.distribution import FloatArray
from actors.domain.grid import IntArray
from training.even_chain import EvenChain, Floats
from training.evidence import Evidence
from training.lanes import result_chances, sum_lanes

LEVEL = 0.9
_Z = 1.6448536269514722  # the normal's quantile at (1 + LEVEL) / 2
_NUDGE = np.float32(0.01)  # of a rate: large beside what the series cuts off, small beside its curvature
_MORE = np.float32(1 + 0.01)
_ONE, _LEAST = np.float32(1), np.float32(1e-12)  # a probability below the least is none


def intervals(
    chain: EvenChain,
    rates: FloatArray,
    lead: IntArray,
    tilt: FloatArray,
    evidence: Evidence,
    spread: Floats,
    chances: FloatArray,
) -> FloatArray:
    """Return (rows, 6): low and high of home, draw and away. Single precision does: widths need three digits.

    Args:
        rates: (2, rows) of home and away, corrections included; lead, tilt: (rows,).
        evidence: What the corrections and `left` were read from.
        spread: (NAMES, NAMES) factor of the weights' covariance, single: that is spread @ spread.T.
        chances: (3, rows) of home, draw and away.
    """
    rows, (home, away) = len(lead), rates.astype(np.float32)
    nudged = np.stack((np.concatenate((home * _MORE, home)), np.concatenate((away, away * _MORE))))
    exposure, leads = nudged * np.tile(evidence.left.astype(np.float32), 2), np.tile(lead, 2)
    moved, variance, bounds = np.empty((3, 2 * rows), np.float32), np.empty((rows, 3), np.float32), np.empty((rows, 6))
    grid = chain.grids(exposure, leads, opened=False)
    result_chances(grid, np.tile(tilt.astype(np.float32), 2), leads, moved)
    _fill_variance(chances, moved, evidence.places, evidence.values.astype(np.float32), spread, variance)
    _fill_bounds(chances, torch.from_numpy(variance).sqrt().numpy(), bounds)  # other roots round some of them otherwise
    return bounds


def _variance_of_rows(
    chances: FloatArray, moved: Floats, places: IntArray, values: Floats, spread: Floats, variance: Floats
) -> None:
    rows, names = len(places), spread.shape[1]
    moves, squares = np.empty((2, names), np.float32), np.empty((names, 3), np.float32)
    steps = np.empty((values.shape[2], names), np.float32)
    for row in range(rows):
        for side in range(2):  # how a side's log rate moves with each column of the spread
            for i in range(len(steps)):
                for name in range(names):
                    steps[i, name] = spread[places[row, side, i], name] * values[row, side, i]
            _sum(steps)
            moves[side] = steps[0]
        base = _odds_of(np.float32(chances[0, row]), np.float32(chances[1, row]), np.float32(chances[2, row]))
        by_home = _odds_of(moved[0, row], moved[1, row], moved[2, row])
        by_away = _odds_of(moved[0, rows + row], moved[1, rows + row], moved[2, rows + row])
        for result in range(3):
            home_slope = (by_home[result] / base[result] - _ONE) / _NUDGE
            away_slope = (by_away[result] / base[result] - _ONE) / _NUDGE
            for name in range(names):
                move = home_slope * moves[0, name] + away_slope * moves[1, name]
                squares[name, result] = move * move
        _sum(squares)
        variance[row] = squares[0]


def _bounds_of_rows(chances: FloatArray, deviation: Floats, bounds: FloatArray) -> None:
    for row in range(len(bounds)):
        for result in range(3):
            low, high = _interval(chances[result, row], float(deviation[row, result]))
            bounds[row, 2 * result], bounds[row, 2 * result + 1] = low, high


def _odds(home: float, draw: float, away: float) -> tuple[float, float, float]:
    """Return each of the three over the sum of the two others, whose digits 1 - chance would lose."""
    home, draw, away = max(home, _LEAST), max(draw, _LEAST), max(away, _LEAST)
    return home / (draw + away), draw / (home + away), away / (home + draw)


def around(chance: float, deviation: float) -> tuple[float, float]:
    """Return the interval that is symmetric on the log-odds.

    >>> around(0.5, 0.0), around(1.0, 0.3)
    ((0.5, 0.5), (1.0, 1.0))
    """
    odds = math.exp(_Z * deviation)
    return chance / (chance + (1 - chance) * odds), chance * odds / (chance * odds + 1 - chance)


_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_sum, _odds_of, _interval = sum_lanes, _compiled(_odds), _compiled(around)
_fill_variance, _fill_bounds = _compiled(_variance_of_rows), _compiled(_bounds_of_rows)
