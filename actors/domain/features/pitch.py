"""Places on the pitch: percent of its length and width, the acting side attacks towards x = 100."""

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.features.columns import BoolArray

LENGTH_M, WIDTH_M = 105.0, 68.0
GOAL_WIDTH_M = 7.32
BOX_X, BOX_Y = 100 * (1 - 16.5 / LENGTH_M), 100 * 40.32 / WIDTH_M / 2  # percent; half the width
FINAL_THIRD, MIDDLE_THIRD = 200 / 3, 100 / 3


def goal_distance_m(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return metres to the centre of the goal attacked.

    >>> round(float(goal_distance_m(np.array(100 - 1100 / 105), np.array(50.0))), 6)
    11.0
    """
    return np.hypot((100 - x) * LENGTH_M / 100, (y - 50) * WIDTH_M / 100)


def goal_angle(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the angle under which the posts are seen; radians, pi on the goal line between them.

    >>> round(float(goal_angle(np.array(100 - 366 / 105), np.array(50.0))), 6) == round(np.pi / 2, 6)
    True
    """
    ahead, beside = (100 - x) * LENGTH_M / 100, (y - 50) * WIDTH_M / 100
    half = GOAL_WIDTH_M / 2
    return np.arctan2(GOAL_WIDTH_M * ahead, ahead**2 + beside**2 - half**2)


def in_box(x: FloatArray, y: FloatArray) -> BoolArray:
    """Say which places lie in the penalty area attacked; NaN lies nowhere."""
    return (x >= BOX_X) & (np.abs(y - 50) <= BOX_Y)
