"""Runs a rating filter over a whole results table: compiled, in the order of days, blind to the day itself.

The rating of a day is the state before it: first every match of the day is looked up, then all of them are learnt
from. Teams enter a season at their first match of it, and a league's ratings are centred when its season starts, so
that nothing depends on who will play later. The arithmetic of one match is that of `actors.domain.ratings`.
"""

import math
from dataclasses import dataclass, fields

import numba
import numpy as np

from actors.domain import ratings
from actors.domain.ratings import NEVER, Signal
from training.prematch.table import FloatArray, IntArray, ResultTable

COLUMNS = ("log_home", "log_away", "attack_home", "defence_home", "attack_away", "defence_away", "variance", "home")
_UP, _DOWN, _NEW, _STAYED = 0, 1, 2, -1  # how a team came into a league
_NEWCOMER = np.array([-0.15, 0.15, -0.15])  # prior of those
_LEVEL_VARIANCE, _HOME_VARIANCE = 0.02, 0.01
_HOME_START = 0.25


@dataclass(frozen=True, slots=True)
class FilterState:
    """What a filter knows after the matches it has seen; grows with the names of the table, and is never edited."""

    team: FloatArray  # (teams, 6) attack, defence, home advantage and their variances
    team_info: IntArray  # (teams, 5) league, tier, season, last day, how it came
    carried: FloatArray  # (teams, 2) what a newcomer brought from its old league
    league: FloatArray  # (leagues, 4) mu, home and their variances
    league_info: IntArray  # (leagues, 3) season, last day, first season
    newcomers: FloatArray  # (leagues, 3, 3) sums of attack and defence, and number, by how they came

    def copy(self) -> "FilterState":
        """Return a state that shares nothing with this one."""
        return FilterState(*(getattr(self, field.name).copy() for field in fields(self)))


def empty_state() -> FilterState:
    """Return the state before any match."""
    return FilterState(
        np.zeros((0, 6)),
        np.zeros((0, 5), np.int64),
        np.zeros((0, 2)),
        np.zeros((0, 4)),
        np.zeros((0, 3), np.int64),
        np.zeros((0, 3, 3)),
    )


def run(
    signal: Signal, table: ResultTable, counts: FloatArray, second: FloatArray, state: FilterState | None = None
) -> tuple[FilterState, FloatArray]:
    """Run one filter over a table, from `state` on where there is one.

    Args:
        counts: (n, 2) what the signal observes of home and away; NaN where it is not known, or not played yet.
        second: (n, 2) the count beside a Gaussian signal, NaN where there is none.
        state: After earlier matches of the same signal; its codes of teams and leagues must be those of the table.
    Returns:
        The state after the table, and (n, len(COLUMNS)) of what was known before each match's day.
    """
    grown = _grown(state or empty_state(), signal, len(table.team_names), len(table.league_names))
    known = np.zeros((len(table), len(COLUMNS)))
    arrays = (table.league, table.tier, table.season, table.day, table.home, table.away)
    _run(_constants(signal), *arrays, counts, second, *(getattr(grown, f.name) for f in fields(grown)), known)
    return grown, known


def _constants(signal: Signal) -> tuple[float, ...]:
    return tuple(float(getattr(signal, name)) for name in Signal.__struct_fields__ if name != "name")


def _grown(state: FilterState, signal: Signal, teams: int, leagues: int) -> FilterState:
    """Return a copy with room for all teams and leagues."""
    new_teams, new_leagues = teams - len(state.team), leagues - len(state.league)
    team_info = np.tile(np.array([-1, 0, NEVER, NEVER, _STAYED]), (new_teams, 1))
    league = np.tile(np.array([signal.level, _HOME_START, _LEVEL_VARIANCE, _HOME_VARIANCE]), (new_leagues, 1))
    return FilterState(
        np.concatenate([state.team, np.zeros((new_teams, 6))]),
        np.concatenate([state.team_info, team_info]),
        np.concatenate([state.carried, np.zeros((new_teams, 2))]),
        np.concatenate([state.league, league]),
        np.concatenate([state.league_info, np.full((new_leagues, 3), NEVER)]),
        np.concatenate([state.newcomers, np.zeros((new_leagues, 3, 3))]),
    )


def _settle(team: FloatArray, info: IntArray, carried: FloatArray, newcomers: FloatArray, rows: IntArray) -> None:
    """Learn from newcomers' first seasons how newcomers fare, each once."""
    for i in rows:
        came = info[i, 4]
        if came != _STAYED:
            newcomers[info[i, 0], came, 0] += team[i, 0] - carried[i, 0]
            newcomers[info[i, 0], came, 1] += team[i, 1] - carried[i, 1]
            newcomers[info[i, 0], came, 2] += 1
            info[i, 4] = _STAYED


def _start_season(code: int, team: FloatArray, info: IntArray, carried: FloatArray, newcomers: FloatArray) -> None:
    """Close a league's last season: newcomers have shown themselves, and the teams' mean becomes nought."""
    rows = np.flatnonzero(info[:, 0] == code)
    if not len(rows):
        return
    attack, defence = team[rows, 0].mean(), team[rows, 1].mean()
    for i in rows:
        team[i, 0] -= attack
        team[i, 1] -= defence
    _settle_rows(team, info, carried, newcomers, rows)


def _enter(
    signal: tuple[float, ...],
    i: int,
    code: int,
    tier: int,
    season: int,
    founder: bool,
    team: FloatArray,
    info: IntArray,
    carried: FloatArray,
    newcomers: FloatArray,
) -> None:
    """Carry a team over the summer, into another league if it has changed it."""
    carry, summer, first, moved, prior, carry_moved, home_first = (
        signal[2], signal[3], signal[4], signal[5], signal[8], signal[9], signal[12]
    )  # fmt: skip
    if info[i, 0] == code:
        came = _STAYED
        added, kept = summer, carry
    elif info[i, 0] < 0:
        came, kept = _NEW, 0.0
        added = first
        team[i, 5] = home_first
    else:
        _settle_rows(team, info, carried, newcomers, np.array([i]))
        came = _UP if tier < info[i, 1] else (_DOWN if tier > info[i, 1] else _NEW)
        added, kept = summer + moved, carry_moved
    if founder:  # in a league's first season on record everybody is new, so nobody is
        came = _STAYED
    for k in range(2):
        team[i, k] *= kept
        carried[i, k] = team[i, k]
        if came != _STAYED:
            shown = newcomers[code, came]
            team[i, k] += (prior * _NEWCOMER[came] + shown[k]) / (prior + shown[2])
        team[i, 3 + k] = kept * kept * team[i, 3 + k] + added
    info[i, 0], info[i, 1], info[i, 2], info[i, 4] = code, tier, season, came


def _age(signal: tuple[float, ...], i: int, day: int, team: FloatArray, info: IntArray) -> None:
    if info[i, 3] != NEVER:
        growth = signal[1] * (day - info[i, 3])
        team[i, 3] += growth
        team[i, 4] += growth
    info[i, 3] = day


def _observe(
    signal: tuple[float, ...],
    dispersion: float,
    cap: float,
    gaussian: bool,
    logs: FloatArray,
    count: FloatArray,
    i: int,
    j: int,
    team: FloatArray,
) -> tuple[float, float, float, float]:
    """Teach both teams one match; return each side's error and weight."""
    own, error = _observation(count[0], logs[0], cap, gaussian)
    other, miss = _observation(count[1], logs[1], cap, gaussian)
    team[i, 0], team[i, 3], team[j, 1], team[j, 4], team[i, 2], team[i, 5] = _learn(
        team[i, 0], team[i, 3], team[j, 1], team[j, 4], team[i, 2], team[i, 5], 1.0, error, own, dispersion
    )
    team[j, 0], team[j, 3], team[i, 1], team[i, 4], team[i, 2], team[i, 5] = _learn(
        team[j, 0], team[j, 3], team[i, 1], team[i, 4], team[i, 2], team[i, 5], -1.0, miss, other, dispersion
    )
    return error, miss, own, other


def _log_rates(mu: float, home: float, i: int, j: int, team: FloatArray) -> tuple[float, float]:
    return (
        _log_rate(mu, 0.5 * home, team[i, 2], team[i, 0], team[j, 1]),
        _log_rate(mu, -0.5 * home, -team[i, 2], team[j, 0], team[i, 1]),
    )


def _run_days(
    signal: tuple[float, ...],
    league: IntArray,
    tier: IntArray,
    season: IntArray,
    day: IntArray,
    home: IntArray,
    away: IntArray,
    counts: FloatArray,
    second: FloatArray,
    team: FloatArray,
    info: IntArray,
    carried: FloatArray,
    levels: FloatArray,
    level_info: IntArray,
    newcomers: FloatArray,
    known: FloatArray,
) -> None:
    n = len(day)
    sums = np.zeros((len(levels), 4))  # of the day: error and weight for mu, for home
    logs = np.zeros(2)
    start = 0
    while start < n:
        today, end = day[start], start
        while end < n and day[end] == today:
            end += 1
        for m in range(start, end):
            code = league[m]
            if season[m] > level_info[code, 0]:
                _start(code, team, info, carried, newcomers)
                if level_info[code, 0] == NEVER:
                    level_info[code, 2] = season[m]
                level_info[code, 0] = season[m]
            for i in (home[m], away[m]):
                if info[i, 0] != code or info[i, 2] < season[m]:
                    founder = season[m] == level_info[code, 2]
                    _arrive(signal, i, code, tier[m], season[m], founder, team, info, carried, newcomers)
        for m in range(start, end):
            i, j = home[m], away[m]
            _grow(signal, i, today, team, info)
            _grow(signal, j, today, team, info)
            mu, advantage = levels[league[m], 0], levels[league[m], 1]
            known[m, 0], known[m, 1] = _logs(mu, advantage, i, j, team)
            known[m, 2], known[m, 3], known[m, 4], known[m, 5] = team[i, 0], team[i, 1], team[j, 0], team[j, 1]
            known[m, 6] = team[i, 3] + team[i, 4] + team[j, 3] + team[j, 4]
            known[m, 7] = advantage
        for m in range(start, end):
            i, j, code = home[m], away[m], league[m]
            if not (math.isnan(counts[m, 0]) or math.isnan(counts[m, 1])):
                logs[0], logs[1] = known[m, 0], known[m, 1]
                error, miss, own, other = _see(
                    signal, signal[0], signal[11], signal[13] > 0, logs, counts[m], i, j, team
                )
                sums[code, 0] += error + miss
                sums[code, 1] += own + other
                sums[code, 2] += 0.5 * (error - miss)
                sums[code, 3] += 0.25 * (own + other)
            if not (math.isnan(second[m, 0]) or math.isnan(second[m, 1])):
                logs[0], logs[1] = _logs(levels[code, 0], levels[code, 1], i, j, team)
                _see(signal, signal[14], signal[11], False, logs, second[m], i, j, team)
        for m in range(start, end):
            code = league[m]
            if sums[code, 1] > 0:
                since = today - level_info[code, 1] if level_info[code, 1] != NEVER else 0
                level_info[code, 1] = today
                for k in range(2):
                    variance = levels[code, 2 + k] + signal[6 + k] * since
                    levels[code, k], levels[code, 2 + k] = _learn_level(
                        levels[code, k], variance, sums[code, 2 * k], sums[code, 2 * k + 1], signal[0]
                    )
                sums[code] = 0.0
        start = end


_log_rate = numba.njit(cache=True)(ratings.log_rate)
_observation = numba.njit(cache=True)(ratings.observation)
_learn = numba.njit(cache=True)(ratings.learn)
_learn_level = numba.njit(cache=True)(ratings.learn_level)
_settle_rows = numba.njit(cache=True)(_settle)
_start = numba.njit(cache=True)(_start_season)
_arrive = numba.njit(cache=True)(_enter)
_grow = numba.njit(cache=True)(_age)
_see = numba.njit(cache=True)(_observe)
_logs = numba.njit(cache=True)(_log_rates)
_run = numba.njit(cache=True)(_run_days)
