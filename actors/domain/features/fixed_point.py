"""Sums that do not depend on the order of what is summed: real quantities as whole millionths, held in float64.

A float64 adds whole numbers below 2**53 without rounding, so however the rows of a match lie in memory, whatever
arrived late and whichever way a matrix product is blocked, the sum has the same bits.
"""

import numpy as np

from actors.domain.distribution import FloatArray

SCALE = 1e6


def to_fixed(values: FloatArray) -> FloatArray:
    """Return whole millionths; NaN counts for nothing.

    >>> to_fixed(np.array([0.25, np.nan]))
    array([250000.,      0.])
    """
    return np.rint(np.nan_to_num(values) * SCALE)
