"""Markets of one match derived the readable way, market by market: the oracle of the vectorised derivation."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from actors.domain.distribution import FloatArray, ScoreDistribution
from actors.domain.grid import FIRST_DIFFERENCE, LATTICE, MAX_COLUMN, SIZE, TOLERANCE, IntArray, on_lattice
from actors.domain.market_values import SCORES_AHEAD
from actors.domain.markets import (
    DoubleChance,
    ExactScore,
    HandicapLine,
    Markets,
    NextGoal,
    ThreeWay,
    TotalLine,
    TwoWay,
    YesNo,
    handicap_lines,
    total_lines,
)


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
    cells = on_lattice(remaining)
    home, away, total, difference = np.split(cells @ _SUMS, _STARTS, axis=-1)
    grids = cells.reshape(remaining.shape)
    return GridSums(cells=grids, home=home, away=away, total=total, difference=difference)


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


def derive_markets(dist: ScoreDistribution) -> Markets:
    """Derive every market of regular time from one distribution of the goals to come, and the score as it stands.

    All probabilities are multiples of 2**-50 in [0, 1]; what must sum to one does so exactly. Once nothing more can
    happen every value is 0 or 1.

    Raises:
        ValueError: The distribution is none: see `grid_sums`; or the next goal does not go with it.
    """
    sums = grid_sums(dist.remaining)
    home, away = dist.score.home, dist.score.away
    result = _three_way(sums, home - away)
    listed, other = _correct_score(sums, home, away)
    return Markets(
        one_x_two=result,
        double_chance=DoubleChance(
            home_or_draw=result.home + result.draw,
            draw_or_away=result.draw + result.away,
            home_or_away=result.home + result.away,
        ),
        draw_no_bet=_draw_no_bet(result),
        totals=_totals(sums, home + away),
        both_teams_to_score=_both_teams_to_score(sums, home, away),
        correct_score=listed,
        other_score=other,
        asian_handicap=_asian_handicap(sums, home - away),
        next_goal=_next_goal(dist, float(sums.cells[0, 0])),
        clean_sheet=TwoWay(
            home=1.0 - float(sums.away[1]) if away == 0 else 0.0,
            away=1.0 - float(sums.home[1]) if home == 0 else 0.0,
        ),
        expected_goals=TwoWay(home=home + float(sums.home[1:].sum()), away=away + float(sums.away[1:].sum())),
    )


def _three_way(sums: GridSums, difference: int) -> ThreeWay:
    home, draw, away = one_x_two(sums, difference).tolist()
    return ThreeWay(home=home, draw=draw, away=away)


def _draw_no_bet(result: ThreeWay) -> TwoWay | None:
    decided = result.home + result.away
    if decided == 0:
        return None
    home = round(result.home / decided * LATTICE) / LATTICE
    return TwoWay(home=home, away=1.0 - home)


def _both_teams_to_score(sums: GridSums, home: int, away: int) -> YesNo:
    home_scores = 1.0 if home else float(sums.home[1])
    away_scores = 1.0 if away else float(sums.away[1])
    neither = 0.0 if home or away else float(sums.cells[0, 0])
    yes = home_scores + away_scores - (1.0 - neither)
    return YesNo(yes=yes, no=1.0 - yes)


def _correct_score(sums: GridSums, home: int, away: int) -> tuple[tuple[ExactScore, ...], float]:
    window = sums.cells[: SCORES_AHEAD + 1, : SCORES_AHEAD + 1]
    listed = tuple(
        ExactScore(home + more_home, away + more_away, probability)
        for more_home, row in enumerate(window.tolist())
        for more_away, probability in enumerate(row)
    )
    return listed, 1.0 - float(window.sum())


def _next_goal(dist: ScoreDistribution, none: float) -> NextGoal:
    """Home as the model has it, nobody as the grid has it, away the rest."""
    missing = 1.0 - none - dist.next_home - dist.next_away
    if not abs(missing) <= 2 * TOLERANCE or min(dist.next_home, dist.next_away) < 0:  # NaN fails too
        raise ValueError("the next goal's probabilities must be at least 0 and sum to 1 with that of no goal")
    home = min(round(dist.next_home * LATTICE) / LATTICE, 1.0 - none)
    return NextGoal(home=home, none=none, away=1.0 - none - home)


class _Lines(Struct, frozen=True):
    """Lines of a market and, for the two halves of a stake on each, the columns of P(above) and P(not below)."""

    lines: tuple[float, ...]
    above: IntArray  # (2, lines)
    not_below: IntArray  # (2, lines)


def _columns(lines: Sequence[float], present: int, first: int, last: int) -> _Lines:
    """Where outcomes `present` + k stand against each line, in a table whose columns are P(k at least `first`...)."""
    quarters = np.rint(np.array(lines) * 4).astype(np.int64)
    halves = np.stack((quarters - quarters % 2, quarters + quarters % 2))  # a quarter line is two half stakes
    above = np.clip(halves // 4 + 1 - present - first, 0, last)
    not_below = np.clip(-(-halves // 4) - present - first, 0, last)
    return _Lines(tuple(lines), above, not_below)


@lru_cache(maxsize=256)
def _total_columns(goals: int) -> _Lines:
    return _columns(total_lines(goals), goals, 0, MAX_COLUMN)


@lru_cache(maxsize=256)
def _handicap_columns(difference: int) -> _Lines:
    """The difference beats a handicap when it is above minus the line, so that is what the columns are for."""
    lines = handicap_lines(difference, difference)
    columns = _columns([-line for line in lines], difference, FIRST_DIFFERENCE, MAX_COLUMN)
    return _Lines(lines, columns.above, columns.not_below)


def _totals(sums: GridSums, goals: int) -> tuple[TotalLine, ...]:
    columns = _total_columns(goals)
    overs = sums.total[columns.above].sum(axis=0) / 2
    unders = 1.0 - sums.total[columns.not_below].sum(axis=0) / 2
    pushes = 1.0 - overs - unders
    rows = zip(columns.lines, overs.tolist(), pushes.tolist(), unders.tolist(), strict=True)
    return tuple(TotalLine(line=line, over=over, push=push, under=under) for line, over, push, under in rows)


def _asian_handicap(sums: GridSums, difference: int) -> tuple[HandicapLine, ...]:
    """Read both half stakes of each line: won when both win, half won when one wins and one is returned, and so on."""
    columns = _handicap_columns(difference)
    above, not_below = sums.difference[columns.above], sums.difference[columns.not_below]
    win, any_win = np.minimum(*above), np.maximum(*above)
    safe, not_lost = np.minimum(*not_below), np.maximum(*not_below)
    values = np.stack((win, any_win - win, safe - any_win, not_lost - safe, 1.0 - not_lost), axis=-1)
    return tuple(
        HandicapLine(line=line, win=row[0], half_win=row[1], push=row[2], half_loss=row[3], loss=row[4])
        for line, row in zip(columns.lines, values.tolist(), strict=True)
    )
