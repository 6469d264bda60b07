"""What filters do not hold of two teams before a match: form, table, rest, streak, head to head, referee.

One compiled pass in the order of days; what happened on a day counts from the next day on.
"""

import math

import numba
import numpy as np

from training.prematch.table import FloatArray, IntArray, ResultTable

_DECAYS = np.array([0.75, 0.9])  # of the moving averages, a match
_START = np.array([0.0, 0.0, 1.37, 0.26, 2.6])  # of the averages below: means over all leagues
_AVERAGES = ("goal_residual", "comp_residual", "points", "draws", "total")
_TEAM = (
    *(f"{name}_{decay}" for decay in ("fast", "slow") for name in _AVERAGES),
    "venue_residual",
    "points_a_match",
    "goal_difference_a_match",
    "rank",
    "gap_to_top",
    "gap_to_third_last",
    "season_played",
    "rest_days",
    "rest_days_third",
    "streak",
    "reds_last",
)
NAMES = (*(f"home_{name}" for name in _TEAM), *(f"away_{name}" for name in _TEAM), "head_to_head", "referee_home")
_PER_TEAM = len(_TEAM)
_MOST_DAYS = 60.0  # rest beyond it is a break like any other
_REFEREE_MATCHES = 60.0  # shrinks a referee's home residual
_MEETING_DECAY = 0.7  # of earlier meetings' residual
_SEASON_MATCHES = 38.0  # a scale only: how many matches there will be is not known
_MOST_TEAMS = 96  # of a league's season


def form_inputs(table: ResultTable, goal_residual: FloatArray, comp_residual: FloatArray) -> FloatArray:
    """Return (n, len(NAMES)) of what was known before each match's day; NaN where nothing was.

    Args:
        goal_residual: (n,) goal difference minus what the filter on goals expected of it; NaN if not played.
        comp_residual: (n,) likewise of the filter on goals and shots.
    """
    low, high = np.minimum(table.home, table.away), np.maximum(table.home, table.away)
    _, pair = np.unique(low * (len(table.team_names) + 1) + high, return_inverse=True)
    inputs = np.full((len(table), len(NAMES)), np.nan)
    sizes = (len(table.team_names), len(table.league_names), int(table.referee.max(initial=-1)) + 1)
    _fill(
        *(table.league, table.season, table.day, table.home, table.away, table.referee),
        *(table.goals, table.reds, goal_residual, comp_residual, pair.astype(np.int64)),
        *sizes,
        inputs,
    )
    return inputs


def _standing(i: int, members: IntArray, season: FloatArray, out: FloatArray) -> None:
    """Write points and goal difference a match, rank, gaps to the top and to the third last, of those who have played.

    `season` is (teams, 3): matches, points, goal difference.
    """
    played = season[i, 0]
    if played == 0:
        return
    mine, better, best = season[i, 1] / played, 0, 0.0
    low = np.full(3, np.inf)
    for other in members:
        if season[other, 0] == 0:
            continue
        theirs = season[other, 1] / season[other, 0]
        best = max(best, theirs)
        better += theirs > mine
        if theirs < low[2]:
            low[2] = theirs
            low.sort()
    out[0], out[1], out[2] = mine, season[i, 2] / played, (better + 1) / len(members)
    out[3] = best - mine
    out[4] = mine - low[2] if low[2] < np.inf else np.nan


def _look(
    i: int,
    at_home: int,
    today: int,
    members: IntArray,
    averages: FloatArray,
    venue: FloatArray,
    season: FloatArray,
    last: IntArray,
    misc: FloatArray,
    out: FloatArray,
) -> None:
    """Write the inputs of one team."""
    if last[i, 0] < 0:
        return
    for d in range(2):
        for k in range(5):
            out[d * 5 + k] = averages[i, d, k]
    out[10] = venue[i, at_home]
    _rank(i, members, season, out[11:16])
    out[16] = min(season[i, 0] / _SEASON_MATCHES, 1.2)
    out[17] = min(today - last[i, 0], _MOST_DAYS)
    out[18] = min(today - last[i, 2], 2 * _MOST_DAYS) if last[i, 2] >= 0 else np.nan
    out[19], out[20] = misc[i, 0], misc[i, 1]


def _follow(
    i: int,
    at_home: int,
    today: int,
    scored: float,
    conceded: float,
    reds: float,
    residual: float,
    comp: float,
    averages: FloatArray,
    venue: FloatArray,
    season: FloatArray,
    last: IntArray,
    misc: FloatArray,
) -> None:
    """Add one team's match to what is known of it."""
    lead = scored - conceded
    points = 3.0 if lead > 0 else (1.0 if lead == 0 else 0.0)
    seen = (residual, comp, points, 1.0 if lead == 0 else 0.0, scored + conceded)
    for d in range(2):
        for k in range(5):
            averages[i, d, k] += (1 - _DECAYS[d]) * (seen[k] - averages[i, d, k])
    venue[i, at_home] += 0.1 * (residual - venue[i, at_home])
    season[i, 0] += 1
    season[i, 1] += points
    season[i, 2] += lead
    last[i, 2], last[i, 1], last[i, 0] = last[i, 1], last[i, 0], today
    sign = 1.0 if lead > 0 else (-1.0 if lead < 0 else 0.0)
    misc[i, 0] = misc[i, 0] + sign if misc[i, 0] * sign > 0 else sign
    misc[i, 1] = 0.0 if math.isnan(reds) else reds


def _fill_days(
    league: IntArray,
    season_of: IntArray,
    day: IntArray,
    home: IntArray,
    away: IntArray,
    referee: IntArray,
    goals: FloatArray,
    reds: FloatArray,
    residual: FloatArray,
    comp: FloatArray,
    pair: IntArray,
    teams: int,
    leagues: int,
    referees: int,
    inputs: FloatArray,
) -> None:
    averages = np.empty((teams, 2, 5))
    averages[:, :] = _START
    venue, season, misc = np.zeros((teams, 2)), np.zeros((teams, 3)), np.zeros((teams, 2))
    last, entered = np.full((teams, 3), -1), np.full((teams, 2), -1)
    members, sizes = np.zeros((leagues, _MOST_TEAMS), np.int64), np.zeros(leagues, np.int64)
    current = np.full(leagues, -1)
    meetings, met = np.zeros(pair.max() + 1 if len(pair) else 0), np.zeros(pair.max() + 1 if len(pair) else 0)
    whistled = np.zeros((referees, 2))
    start = 0
    while start < len(day):
        today, end = day[start], start
        while end < len(day) and day[end] == today:
            end += 1
        for m in range(start, end):
            code = league[m]
            if season_of[m] > current[code]:
                current[code], sizes[code] = season_of[m], 0
            for i in (home[m], away[m]):
                if entered[i, 0] != code or entered[i, 1] < season_of[m]:
                    entered[i, 0], entered[i, 1] = code, season_of[m]
                    season[i] = 0.0
                    if sizes[code] < _MOST_TEAMS:
                        members[code, sizes[code]] = i
                        sizes[code] += 1
        for m in range(start, end):
            i, j, here = home[m], away[m], members[league[m], : sizes[league[m]]]
            _inputs(i, 0, today, here, averages, venue, season, last, misc, inputs[m, :_PER_TEAM])
            _inputs(j, 1, today, here, averages, venue, season, last, misc, inputs[m, _PER_TEAM : 2 * _PER_TEAM])
            if met[pair[m]] > 0:
                inputs[m, 2 * _PER_TEAM] = meetings[pair[m]] if i < j else -meetings[pair[m]]
            if referee[m] >= 0:
                inputs[m, 2 * _PER_TEAM + 1] = whistled[referee[m], 0] / (whistled[referee[m], 1] + _REFEREE_MATCHES)
        for m in range(start, end):
            if math.isnan(residual[m]):
                continue
            i, j, other = home[m], away[m], 0.0 if math.isnan(comp[m]) else comp[m]
            _add(
                i,
                0,
                today,
                goals[m, 0],
                goals[m, 1],
                reds[m, 0],
                residual[m],
                other,
                averages,
                venue,
                season,
                last,
                misc,
            )
            _add(
                j,
                1,
                today,
                goals[m, 1],
                goals[m, 0],
                reds[m, 1],
                -residual[m],
                -other,
                averages,
                venue,
                season,
                last,
                misc,
            )
            signed = residual[m] if i < j else -residual[m]
            meetings[pair[m]] += (1 - _MEETING_DECAY) * (signed - meetings[pair[m]])
            met[pair[m]] += 1
            if referee[m] >= 0:
                whistled[referee[m], 0] += residual[m]
                whistled[referee[m], 1] += 1
        start = end


_rank = numba.njit(cache=True)(_standing)
_inputs = numba.njit(cache=True)(_look)
_add = numba.njit(cache=True)(_follow)
_fill = numba.njit(cache=True)(_fill_days)
