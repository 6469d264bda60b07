"""Moving averages of what surprised the market about a team, match by match; a day's matches count from the next on."""

import math

import numba
import numpy as np

from training.prematch.table import FloatArray, IntArray, ResultTable

DECAYS = (0.7, 0.85, 0.95)  # a match


def moving_averages(table: ResultTable, surprises: FloatArray) -> FloatArray:
    """Return (n, 2, len(DECAYS), k): home's and away's averages before the match's day, 0 where nothing was seen.

    Args:
        surprises: (n, k) as home sees them; away sees minus them. NaN: not known, leaves the average as it is.
    """
    averages = np.zeros((len(table), 2, len(DECAYS), surprises.shape[1]))
    _fill(table.day, table.home, table.away, surprises, len(table.team_names), np.array(DECAYS), averages)
    return averages


def _fill_days(
    day: IntArray,
    home: IntArray,
    away: IntArray,
    surprises: FloatArray,
    teams: int,
    decays: FloatArray,
    averages: FloatArray,
) -> None:
    held = np.zeros((teams, len(decays), surprises.shape[1]))
    start = 0
    while start < len(day):
        end = start
        while end < len(day) and day[end] == day[start]:
            averages[end, 0], averages[end, 1] = held[home[end]], held[away[end]]
            end += 1
        for m in range(start, end):
            for k in range(surprises.shape[1]):
                if not math.isnan(surprises[m, k]):
                    for d in range(len(decays)):
                        kept = decays[d]
                        held[home[m], d, k] += (1 - kept) * (surprises[m, k] - held[home[m], d, k])
                        held[away[m], d, k] += (1 - kept) * (-surprises[m, k] - held[away[m], d, k])
        start = end


_fill = numba.njit(cache=True)(_fill_days)
