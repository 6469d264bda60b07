"""Compiled loops over many matches at once, which give each match the bits that it has alone.

Matches lie in lanes side by side, so that one instruction serves several; within a lane numbers are added, multiplied
and divided one by one in an order that is fixed, as `training.chain` demands. Nothing here is compiled with fast math:
no sum is reordered, no product fused. Numbers are of the type of the arrays given, double or single.
"""

import numba
import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.grid import IntArray
from training.chain import GOALS, LEADS

LANES = 8
_CELLS = GOALS * GOALS
_KEYS, _LEVEL = 2 * GOALS - 1, GOALS - 1
_PADDED = GOALS + 1
_WIDEST = LEADS // 2


def _fill_series(
    effect: FloatArray,
    exposure: FloatArray,
    lead: IntArray,
    most: FloatArray,
    terms: IntArray,
    reciprocals: FloatArray,
    opened: bool,
    grid: FloatArray,
) -> None:
    """Fill (GOALS, GOALS, rows) with the chain's series, away across in reverse; see `training.even_chain`.

    Args:
        effect: (2, LEADS); exposure: (2, rows); lead, most, terms: (rows,).
        reciprocals: 1 / k, of the type of the others.
        opened: Whether behind the grid's rows there are as many for the paths that home opens.
    """
    rows, kind = len(lead), exposure.dtype
    shape, padded = (GOALS, GOALS * LANES), (_PADDED, _PADDED * LANES)
    stay, home, away = np.empty(shape, kind), np.empty(shape, kind), np.empty(shape, kind)
    total, first_total = np.empty(shape, kind), np.empty(shape, kind)
    held, now = np.empty(padded, kind), np.empty(padded, kind)
    first_held, first_now = np.empty(padded, kind), np.empty(padded, kind)
    order = np.argsort(terms, kind="mergesort")
    start = 0
    while start < rows:
        needed, count = terms[order[start]], 1
        while count < LANES and start + count < rows and terms[order[start + count]] == needed:
            count += 1
        at = order[start : start + count]
        _load_hazards(effect, exposure, lead, most, at, stay, home, away)
        for each in (total, first_total, held, now, first_held, first_now):
            each[:] = 0
        total[0, :LANES] = 1
        held[1, LANES : 2 * LANES] = 1
        for k in range(1, needed + 1):
            if opened:  # home's paths leave the goalless cell of the whole grid; they never have no goal of home's
                first_held[1, LANES : 2 * LANES] = held[1, LANES : 2 * LANES]
                _move(first_held, first_now, first_total, stay, home, away, 1, k, reciprocals[k])
                first_held, first_now = first_now, first_held
            _move(held, now, total, stay, home, away, 0, k, reciprocals[k])
            held, now = now, held
        _store(total, at, 0, grid)
        if opened:
            _store(first_total, at, rows, grid)
        start += count


def _load_hazards(
    effect: FloatArray,
    exposure: FloatArray,
    lead: IntArray,
    most: FloatArray,
    at: IntArray,
    stay: FloatArray,
    home: FloatArray,
    away: FloatArray,
) -> None:
    """Put into each cell what stays in it and what each side brings into it; lanes beyond the last row repeat it."""
    for lane in range(LANES):
        row = at[min(lane, len(at) - 1)]
        by_home, by_away = np.empty(_KEYS, home.dtype), np.empty(_KEYS, home.dtype)
        for key in range(_KEYS):
            state = min(max(lead[row] + key - _LEVEL, -_WIDEST), _WIDEST) + _WIDEST
            by_home[key] = effect[0, state] * exposure[0, row]
            by_away[key] = effect[1, state] * exposure[1, row]
        for i in range(GOALS):
            for j in range(GOALS):
                key, place, value = i - j + _LEVEL, j * LANES + lane, most[row]
                if i < GOALS - 1:  # no goal leaves the grid
                    value = value - by_home[key]
                if j < GOALS - 1:
                    value = value - by_away[key]
                stay[i, place] = value
                home[i, place] = by_home[max(key - 1, 0)]
                away[i, place] = by_away[min(key + 1, _KEYS - 1)]


def _move(
    held: FloatArray,
    now: FloatArray,
    total: FloatArray,
    stay: FloatArray,
    home: FloatArray,
    away: FloatArray,
    first: int,
    k: int,
    reciprocal: float,
) -> None:
    """Make the series' term k of its term k - 1, from home's goal `first` on, and add it to the total.

    Terms have a row and a column of noughts before those of the grid. Cells that k goals cannot reach stay 0.
    """
    for i in range(first, min(k, GOALS - 1) + 1):
        width = (min(k - i, GOALS - 1) + 1) * LANES
        here, below, moved = held[i + 1], held[i], now[i + 1]
        staying, by_home, by_away, whole = stay[i], home[i], away[i], total[i]
        for x in range(width):
            value = staying[x] * here[x + LANES]
            value = value + by_home[x] * below[x + LANES]
            value = value + by_away[x] * here[x]
            value = value * reciprocal
            moved[x + LANES] = value
            whole[x] = whole[x] + value


def _store(total: FloatArray, at: IntArray, behind: int, grid: FloatArray) -> None:
    for i in range(GOALS):
        for j in range(GOALS):
            for lane in range(len(at)):
                grid[i, GOALS - 1 - j, behind + at[lane]] = total[i, j * LANES + lane]


def _sum_lanes(values: FloatArray) -> None:
    """Add up the first axis pairwise into its first entry, as `training.chain.tree_sum` does; the others are spoilt."""
    left = len(values)
    while left > 1:
        half = left // 2
        for i in range(half):
            for lane in range(values.shape[1]):
                values[i, lane] = values[i, lane] + values[half + i, lane]
        if left % 2:
            values[half] = values[2 * half]
        left = half + left % 2


def _read_grids(
    grid: FloatArray, tilt: FloatArray, lead: IntArray, remaining: FloatArray, first: FloatArray, chances: FloatArray
) -> None:
    """Read what is asked of grids that have the paths which home opens behind them.

    The tilt multiplies every final draw, in the grid and on the paths that each side opens: it stays one constant
    reweighting of the same matches, so that forecasts of one match are coherent over time.

    Args:
        grid: (GOALS, GOALS, 2 * rows) unnormalised, away across in reverse.
        remaining: Filled with (rows, GOALS, GOALS), away across in order.
        first: Filled with (2, rows): P(next goal is home's), P(away's).
        chances: Filled with (3, rows) of home, draw and away.
    """
    rows = len(lead)
    whole = np.empty((_CELLS, LANES), grid.dtype)
    opened, other, mass = np.empty_like(whole), np.empty_like(whole), np.empty_like(whole)
    for start in range(0, rows, LANES):
        count = min(LANES, rows - start)
        for cell in range(_CELLS):
            i, column = divmod(cell, GOALS)
            for lane in range(LANES):
                row = start + min(lane, count - 1)
                one, two = grid[i, column, row], grid[i, column, rows + row]
                if i - (GOALS - 1 - column) + lead[row] == 0:
                    one, two = one * tilt[row], two * tilt[row]
                rest = one - two
                whole[cell, lane], opened[cell, lane], mass[cell, lane] = one, two, one
                other[cell, lane] = 0 if rest < 0 or cell == GOALS - 1 else rest  # the goalless cell is nobody's
        _sum(mass)
        _sum(opened)
        _sum(other)
        for lane in range(count):
            row = start + lane
            first[0, row], first[1, row] = opened[0, lane] / mass[0, lane], other[0, lane] / mass[0, lane]
        for cell in range(_CELLS):
            i, column = divmod(cell, GOALS)
            for lane in range(LANES):
                whole[cell, lane] = whole[cell, lane] / mass[0, lane]
            for lane in range(count):
                remaining[start + lane, i, GOALS - 1 - column] = whole[cell, lane]
        _share_results(whole, lead, start, count, chances)


def _result_chances(grid: FloatArray, tilt: FloatArray, lead: IntArray, chances: FloatArray) -> None:
    """Fill `chances` (3, rows) of home, draw and away with those of unnormalised grids, tilted first."""
    rows = len(lead)
    whole = np.empty((_CELLS, LANES), grid.dtype)
    for start in range(0, rows, LANES):
        count = min(LANES, rows - start)
        for cell in range(_CELLS):
            i, column = divmod(cell, GOALS)
            for lane in range(LANES):
                row = start + min(lane, count - 1)
                value = grid[i, column, row]
                whole[cell, lane] = value * tilt[row] if i - (GOALS - 1 - column) + lead[row] == 0 else value
        _share_results(whole, lead, start, count, chances)


def _share_results(whole: FloatArray, lead: IntArray, start: int, count: int, chances: FloatArray) -> None:
    """Fill `chances` of the rows from `start` on with the shares of (cells, lanes) that end in each result."""
    part = np.empty((3, _CELLS, LANES), whole.dtype)
    part[:] = 0
    for cell in range(_CELLS):
        i, column = divmod(cell, GOALS)
        for lane in range(LANES):
            final = i - (GOALS - 1 - column) + lead[start + min(lane, count - 1)]
            part[0 if final > 0 else 1 if final == 0 else 2, cell, lane] = whole[cell, lane]
    for result in range(3):
        _sum(part[result])
    for lane in range(count):
        total = (part[0, 0, lane] + part[1, 0, lane]) + part[2, 0, lane]
        for result in range(3):
            chances[result, start + lane] = part[result, 0, lane] / total


_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")  # no checks for division by nought
_load_hazards, _move, _store = map(_compiled, (_load_hazards, _move, _store))
sum_lanes = _sum = _compiled(_sum_lanes)
_share_results = _compiled(_share_results)
fill_series, read_grids, result_chances = map(_compiled, (_fill_series, _read_grids, _result_chances))
