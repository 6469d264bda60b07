"""The value of having the ball in a zone: the chance of a goal before the possession ends (expected threat).

Source: Singh (2018), "Introducing Expected Threat (xT)", after Rudd (2011): V = p(shot) p(goal | shot) + p(move) T V,
solved by iteration over a grid; the values are fitted by `training.fit_quantities`.
"""

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.features.columns import IntArray
from actors.domain.features.fitted import fitted

COLUMNS, ROWS = 12, 8  # along the length and the width


def zone(x: FloatArray, y: FloatArray) -> IntArray:
    """Return each place's zone, column * ROWS + row; NaN is taken to be 0.

    >>> zone(np.array([0.0, 100.0]), np.array([0.0, 100.0])).tolist()
    [0, 95]
    """
    column = np.minimum(np.nan_to_num(x) * COLUMNS / 100, COLUMNS - 1).astype(np.int64)
    row = np.minimum(np.nan_to_num(y) * ROWS / 100, ROWS - 1).astype(np.int64)
    return column * ROWS + row


def value_gained(x: FloatArray, y: FloatArray, end_x: FloatArray, end_y: FloatArray) -> FloatArray:
    """Return by how much moving the ball from one place to another raises the value; NaN if a place is unknown."""
    values = np.array(fitted().zone_value).ravel()
    gained = values[zone(end_x, end_y)] - values[zone(x, y)]
    return np.where(np.isnan(x + y + end_x + end_y), np.nan, gained)
