"""The lattice on which sums over the goals still to come are exact.

Cells are put on a lattice of multiples of 2**-49 that sum to one exactly. Sums of lattice values up to 16 are exact in
float64, in whatever order and with whatever instructions they are added: so the markets read from them agree with each
other to the last bit, none leaves [0, 1], and a batch of grids gives the same bits as each grid alone.
"""

import numpy as np
from numpy.typing import NDArray

from actors.domain.distribution import MAX_REMAINING, FloatArray

IntArray = NDArray[np.int64]
LATTICE = 2.0**49
TOLERANCE = 1e-6  # how far a distribution may be from summing to one; the largest cell takes the difference
SIZE = MAX_REMAINING + 1
MAX_COLUMN = 2 * SIZE - 1  # more goals of both, or a higher difference by as many from the lowest, there cannot be
FIRST_DIFFERENCE = -MAX_REMAINING  # the lowest goal difference to come


def on_lattice(remaining: FloatArray) -> FloatArray:
    """Put grids of goals to come on the lattice.

    Args:
        remaining: (..., 11, 11) probabilities, home goals down, away across; each grid sums to 1.
    Returns:
        (..., 121) cells that sum to 1 exactly; the largest takes the difference.
    Raises:
        ValueError: A grid has another shape, a negative or undefined cell, or does not sum to 1 within 1e-6.
    """
    if remaining.shape[-2:] != (SIZE, SIZE):
        raise ValueError(f"a grid of remaining goals must be {SIZE} x {SIZE}, was {remaining.shape}")
    steps = np.rint(remaining.reshape(-1, SIZE * SIZE) * LATTICE) + 0.0  # + 0.0: no negative zeros
    missing = LATTICE - steps.sum(axis=1)  # exact: integers below 2**53
    if not (np.abs(missing) <= TOLERANCE * LATTICE).all() or not (steps >= 0).all():  # NaN fails too
        raise ValueError("the probabilities of remaining goals must be at least 0 and sum to 1")
    steps[np.arange(len(steps)), steps.argmax(axis=1)] += missing
    return (steps / LATTICE).reshape(*remaining.shape[:-2], SIZE * SIZE)
