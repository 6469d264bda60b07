"""Exact sums over the goals still to come.

Cells are put on a lattice of multiples of 2**-49 that sum to one exactly. Sums of lattice values up to 16 are exact in
float64, in whatever order and with whatever instructions they are added: so the markets read from them agree with each
other to the last bit, none leaves [0, 1], and a batch of grids gives the same bits as each grid alone.
"""

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from actors.domain.distribution import MAX_REMAINING, FloatArray

IntArray = NDArray[np.int64]
LATTICE = 2.0**49
TOLERANCE = 1e-6  # how far a distribution may be from summing to one; the largest cell takes the difference
SIZE = MAX_REMAINING + 1
MAX_COLUMN = 2 * SIZE - 1  # last column of `total` and `difference`: certainly not reached
FIRST_DIFFERENCE = -MAX_REMAINING  # what the first column of `difference` stands for


class GridSums(Struct, frozen=True, kw_only=True):
    """Exact sums over the goals to come, from which every market is read; leading axes are those of the grids.

    `cells` is (..., 11, 11). The others hold P(at least): `home` and `away` 0..11 goals of that side in (..., 12),
    `total` 0..21 goals of both in (..., 22), `difference` home minus away of -10..11 in (..., 22).
    """

    cells: FloatArray
    home: FloatArray
    away: FloatArray
    total: FloatArray
    difference: FloatArray


def _sum_matrix() -> FloatArray:
    """Return the 0/1 matrix (121, 68) that takes cells to the four tables of `GridSums`, side by side."""
    home, away = (axis.ravel()[:, None] for axis in np.indices((SIZE, SIZE)))
    side, both = np.arange(SIZE + 1), np.arange(2 * SIZE)
    tables = (home >= side, away >= side, home + away >= both, home - away >= both + FIRST_DIFFERENCE)
    return np.concatenate(tables, axis=1).astype(np.float64)


_SUMS = _sum_matrix()
_STARTS = (SIZE + 1, 2 * SIZE + 2, 4 * SIZE + 2)


def grid_sums(remaining: FloatArray) -> GridSums:
    """Put grids of goals to come on the lattice and add them up.

    Args:
        remaining: (..., 11, 11) probabilities, home goals down, away across; each grid sums to 1.
    Raises:
        ValueError: A grid has another shape, a negative or undefined cell, or does not sum to 1 within 1e-6.
    """
    cells = _on_lattice(remaining)
    home, away, total, difference = np.split(cells @ _SUMS, _STARTS, axis=-1)
    grids = cells.reshape(remaining.shape)
    return GridSums(cells=grids, home=home, away=away, total=total, difference=difference)


def _on_lattice(remaining: FloatArray) -> FloatArray:
    if remaining.shape[-2:] != (SIZE, SIZE):
        raise ValueError(f"a grid of remaining goals must be {SIZE} x {SIZE}, was {remaining.shape}")
    flat = remaining.reshape(*remaining.shape[:-2], SIZE * SIZE)
    steps = np.rint(flat * LATTICE) + 0.0  # + 0.0: no negative zeros
    missing = LATTICE - steps.sum(axis=-1, keepdims=True)  # exact: integers below 2**53
    if not (np.abs(missing) <= TOLERANCE * LATTICE).all() or not (steps >= 0).all():  # NaN fails too
        raise ValueError("the probabilities of remaining goals must be at least 0 and sum to 1")
    largest = steps.argmax(axis=-1)[..., None]
    np.put_along_axis(steps, largest, np.take_along_axis(steps, largest, axis=-1) + missing, axis=-1)
    return np.asarray(steps / LATTICE)


def one_x_two(sums: GridSums, difference: int | IntArray) -> FloatArray:
    """Return (..., 3) probabilities of home, draw, away, given the present `difference` (home minus away)."""
    home = _at_least(sums.difference, 1 - np.asarray(difference), FIRST_DIFFERENCE)
    home_or_draw = _at_least(sums.difference, -np.asarray(difference), FIRST_DIFFERENCE)
    return np.stack((home, home_or_draw - home, 1.0 - home_or_draw), axis=-1)


def over(sums: GridSums, goals: int | IntArray, line: float) -> FloatArray:
    """Return (...) probabilities that more goals than a half or whole `line` fall, given the `goals` so far."""
    return _at_least(sums.total, math.floor(line) + 1 - np.asarray(goals), 0)


def _at_least(table: FloatArray, wanted: IntArray, first: int) -> FloatArray:
    """Read P(at least `wanted`) from a table whose first column is P(at least `first`)."""
    column = np.clip(wanted - first, 0, table.shape[-1] - 1)
    column = np.broadcast_to(column, table.shape[:-1])
    return np.take_along_axis(table, column[..., None], axis=-1)[..., 0]
