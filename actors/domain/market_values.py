"""The values that markets are made of, for many matches at once: one row each, whatever their scores.

A row holds, among others, P(at least), P(below) and P(exactly) of every number of goals of both sides and of every
goal difference to come: a line of a market picks its values from there by the score. Nearly all are sums of the grid's
cells, or of halves of them, and so exact in whatever order they are added: see `grid`.
"""

import numpy as np
from msgspec import Struct

from actors.domain.distribution import Distributions, FloatArray
from actors.domain.grid import FIRST_DIFFERENCE, LATTICE, MAX_COLUMN, SIZE, TOLERANCE, IntArray, on_lattice

SCORES_AHEAD = 5  # correct score: up to so many more goals of each side
_COLUMNS = MAX_COLUMN + 1
_WINDOW = SCORES_AHEAD + 1


class Ladder(Struct, frozen=True):
    """Where a row holds P(at least k), P(below k) and P(exactly k) of a count that is to come."""

    start: int
    first: int  # the lowest k that can be

    def at_least(self, k: int) -> int:
        """Return the place of P(at least k)."""
        return self._place(0, k, ONE, ZERO)

    def below(self, k: int) -> int:
        """Return the place of P(below k)."""
        return self._place(1, k, ZERO, ONE)

    def exactly(self, k: int) -> int:
        """Return the place of P(exactly k)."""
        return self.start + 2 * _COLUMNS + k - self.first if 0 <= k - self.first < MAX_COLUMN else ZERO

    def _place(self, table: int, k: int, surely: int, never: int) -> int:
        column = k - self.first
        if column <= 0:
            return surely
        return self.start + table * _COLUMNS + column if column < MAX_COLUMN else never


class TotalLadder(Ladder, frozen=True):
    """That of the goals of both sides, and what half stakes on k and on k + 1 have together."""

    def half_exactly(self, k: int) -> int:
        """Return the place of half of P(exactly k)."""
        return self.exactly(k) + _COLUMNS if self.exactly(k) != ZERO else ZERO

    def half_at_least(self, k: int) -> int:
        """Return the place of the mean of P(at least k) and P(at least k + 1)."""
        return self.exactly(k) + 2 * _COLUMNS if self.exactly(k) != ZERO else self.at_least(k)

    def half_below(self, k: int) -> int:
        """Return the place of the mean of P(below k) and P(below k + 1)."""
        return self.exactly(k) + 3 * _COLUMNS if self.exactly(k) != ZERO else self.below(k)


ZERO, ONE = 0, 1
TOTAL = TotalLadder(2, 0)
DIFFERENCE = Ladder(TOTAL.start + 6 * _COLUMNS, FIRST_DIFFERENCE)
NO_GOAL = DIFFERENCE.start + 3 * _COLUMNS
OTHER_SCORE = NO_GOAL + _WINDOW * _WINDOW
(
    HOME_SCORES,  # in what is still to come
    AWAY_SCORES,
    BOTH_SCORE,
    HOME_BLANK,
    AWAY_BLANK,
    NOT_BOTH_SCORE,
    HOME_EXPECTED,  # goals of the whole of regular time
    AWAY_EXPECTED,
    DECIDED,  # no draw; from here on no sums of cells
    HOME_UNLESS_DRAW,
    AWAY_UNLESS_DRAW,
    NEXT_HOME,
    NEXT_AWAY,
    WIDTH,  # of a row
) = range(OTHER_SCORE + 1, OTHER_SCORE + 15)


def cell(home: int, away: int) -> int:
    """Return the place of P(exactly so many more goals of each side), each up to SCORES_AHEAD."""
    return NO_GOAL + _WINDOW * home + away


def _share_matrix() -> FloatArray:
    """Return (121, DECIDED): how much of each cell counts for each value."""
    home, away = (axis.ravel()[:, None] for axis in np.indices((SIZE, SIZE)))
    total, k = home + away, np.arange(_COLUMNS)
    difference, listed = home - away - FIRST_DIFFERENCE, (home < _WINDOW) & (away < _WINDOW)
    halves = (total == k, (total >= k) * 1 + (total > k), (total < k) * 1 + (total <= k))
    scores = np.hstack((home > 0, away > 0, (home > 0) & (away > 0)))
    return np.hstack(
        (
            np.zeros_like(home),
            np.ones_like(home),
            *(total >= k, total < k, total == k, *(half / 2 for half in halves)),
            *(difference >= k, difference < k, difference == k),
            np.eye(SIZE * SIZE)[:, listed[:, 0]],
            *(~listed, scores, ~scores, home, away),
        )
    )


_SHARES = _share_matrix()


def market_values(rows: Distributions) -> FloatArray:
    """Return (rows, WIDTH) values; all but the expected goals are multiples of 2**-50 in [0, 1].

    Raises:
        ValueError: A distribution is none: see `on_lattice`; or its next goal does not go with it.
    """
    values = np.empty((len(rows.remaining), WIDTH))
    values[:, :DECIDED] = on_lattice(rows.remaining) @ _SHARES
    values[:, HOME_EXPECTED] += rows.home_goals
    values[:, AWAY_EXPECTED] += rows.away_goals
    _fill_draw_no_bet(values, rows.home_goals - rows.away_goals)
    _fill_next_goal(values, rows)
    return values


def _fill_draw_no_bet(values: FloatArray, difference: IntArray) -> None:
    """Rounded to the lattice; where a draw is certain it is not defined, and home's share is left 0."""
    at, level = np.arange(len(values)), -difference - FIRST_DIFFERENCE
    home, home_or_draw = (
        values[at, DIFFERENCE.start + np.minimum(np.maximum(k, 0), MAX_COLUMN)] for k in (level + 1, level)
    )
    decided = 1.0 - (home_or_draw - home)
    share = np.rint(home / np.where(decided > 0, decided, 1.0) * LATTICE) / LATTICE
    values[:, DECIDED], values[:, HOME_UNLESS_DRAW], values[:, AWAY_UNLESS_DRAW] = decided, share, 1.0 - share


def _fill_next_goal(values: FloatArray, rows: Distributions) -> None:
    """Home as the model has it, nobody as the grid has it, away the rest."""
    some = 1.0 - values[:, NO_GOAL]
    missing = some - rows.next_home - rows.next_away
    if not (np.abs(missing) <= 2 * TOLERANCE).all() or (np.minimum(rows.next_home, rows.next_away) < 0).any():
        raise ValueError("the next goal's probabilities must be at least 0 and sum to 1 with that of no goal")
    home = np.minimum(np.rint(rows.next_home * LATTICE) / LATTICE, some) + 0.0  # + 0.0: no negative zeros
    values[:, NEXT_HOME], values[:, NEXT_AWAY] = home, some - home
