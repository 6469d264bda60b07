"""What a match has shown so far, as inputs of the correction of each side's log rate: one code path, fitted and served.

Every input but the cards is 0 at kick-off, where the market has said all there is. The last two have no weight: they
only say how sure the level of the rates is while nothing has been seen yet.
Source: model notes of the project, "In play", steps 6 and 7; constants from there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import numba
import numpy as np

from actors.domain.distribution import FloatArray, ForecastInputs
from actors.domain.grid import IntArray
from training.chain import LEADS
from training.clock import ClockShares, place_of

LEAGUES = ("E0", "SP1", "F1", "D1", "I1", "RUS")
NAMES = (
    *("shots_own", "shots_opponent", "goals_own", "goals_opponent"),
    *("gone", "gone_home", "gone_rate_own", "gone_rate_opponent"),
    *(f"gone_{league}" for league in LEAGUES),
    *(f"gone_lead_{lead:+d}" for lead in range(-2, 3)),
    *(f"gone_squared_lead_{lead:+d}" for lead in range(-2, 3)),
    *("reds_own", "reds_opponent", "level", "level_home"),
)
LEARNT = NAMES.index("reds_own")  # the weights before it are fitted on rows, the rest apart
MIDDLE_LOG_RATE = 0.3
_LEAGUE, _LEAD, _SQUARED, _REDS = (
    NAMES.index(name) for name in ("gone_E0", "gone_lead_-2", "gone_squared_lead_-2", "reds_own")
)
_SHOTS_PRIOR, _GOALS_PRIOR = 15.0, 4.0
_MOST_REDS = 5  # with a sixth a side has too few players, and the match is abandoned
_WIDEST = LEADS // 2
_WIDTH = 15  # inputs of a side that are not 0
_NO_COURSE = (99, 0, 0)  # a goal that is still to come
_LEAGUE_PLACES = {league: place for place, league in enumerate(LEAGUES)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Inputs of home and away: `values` of the NAMES at `places`, both (rows, 2, 15); the others are 0."""

    places: IntArray
    values: FloatArray
    left: FloatArray  # (rows,) share of the match's goals that is still to come


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLevels:
    """What shots to expect of each side, home first."""

    level: Sequence[Sequence[float]]  # (2, 3): log shots a match, its slopes by the log rates, own and opponent's
    effect: Sequence[Sequence[float]]  # (2, LEADS): factor by goal difference of home
    scale: Mapping[str, float]  # by provider: what it calls shots, against the one that the rest was fitted on


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReader:
    """Turns inputs into evidence: a pure function of its fields and its arguments, row by row."""

    clock: ClockShares
    effect: Sequence[Sequence[float]]  # (2, LEADS): factor on hazards by goal difference of home
    shots: ShotLevels

    def read(self, rows: Sequence[ForecastInputs], rates: FloatArray) -> Evidence:
        """Return the evidence of rows, given (2, rows) rates of home and away before kick-off."""
        numbers = np.fromiter(chain.from_iterable(map(_numbers, rows)), np.int64, len(rows) * 6).reshape(-1, 6)
        count = len(rows)
        evidence = Evidence(np.empty((count, 2, _WIDTH), np.int64), np.empty((count, 2, _WIDTH)), np.empty(count))
        clock = (np.array(self.clock.blocks), np.array(self.clock.tails), self.clock.constants)
        effects = (np.array(self.effect), np.array(self.shots.level), np.array(self.shots.effect))
        leagues = np.array([_LEAGUE_PLACES.get(row.league or "", -1) for row in rows])
        told = (numbers, self._shots(rows), leagues, *_goals(rows))
        _fill_evidence(*told, rates, clock, effects, (evidence.places, evidence.values, evidence.left))
        return evidence

    def _shots(self, rows: Sequence[ForecastInputs]) -> FloatArray:
        """Return (rows, 2) shots as the provider of the fit counts them; -1 where they are not known."""
        shots = np.full((len(rows), 2), -1.0)
        for i, row in enumerate(rows):
            if row.home_shots is not None and row.away_shots is not None:
                scale = self.shots.scale.get(row.shots_by or "", 1.0)
                shots[i] = row.home_shots / scale, row.away_shots / scale
        return shots


def dots(evidence: Evidence, weights: FloatArray) -> FloatArray:
    """Return (2, rows) sums of each side's values weighted, rounded once."""
    sums = np.empty((2, len(evidence.values)))
    _fill_dots(evidence.places, evidence.values, weights, sums)
    return sums


def _goals(rows: Sequence[ForecastInputs]) -> tuple[IntArray, IntArray]:
    """Return (rows + 1,) where each row's goals begin, and (goals, 3) period, clock and 1 if it was home's.

    Rows whose goals' times are not known have one goal that no course of a match has.
    """
    told, starts = list[tuple[int, int, int]](), [0]
    for row in rows:
        if row.goals is None:
            told.append(_NO_COURSE)
        else:
            told.extend((goal.period, goal.clock_ms, goal.side == "home") for goal in row.goals)
        starts.append(len(told))
    return np.array(starts), np.array(told, dtype=np.int64).reshape(-1, 3)


def _read_rows(
    numbers: IntArray,
    shots: FloatArray,
    leagues: IntArray,
    starts: IntArray,
    goals: IntArray,
    rates: FloatArray,
    clock: tuple[FloatArray, FloatArray, tuple[float, float, float, float, float]],
    effects: tuple[FloatArray, FloatArray, FloatArray],
    filled: tuple[IntArray, FloatArray, FloatArray],
) -> None:
    """Fill places, values and what is left; `numbers` are period, clock, goals and reds of home and away."""
    effect, level, shot_effect = effects
    places, values, left_of = filled
    logs, surprise, shot_surprise = np.empty(2), np.empty(2), np.empty(2)
    shares, leads = np.empty(len(goals) + 1), np.empty(len(goals) + 1, np.int64)  # of one row: never more than all
    for row in range(len(numbers)):
        period, clock_ms = numbers[row, 0], numbers[row, 1]
        left = _left(period, clock_ms, clock)
        left_of[row], gone = left, 1 - left
        logs[0], logs[1] = math.log(rates[0, row]) - MIDDLE_LOG_RATE, math.log(rates[1, row]) - MIDDLE_LOG_RATE
        steps = _walk(numbers[row], goals[starts[row] : starts[row + 1]], left, clock, shares, leads)
        for side in range(2):
            surprise[side], shot_surprise[side] = 0.0, 0.0
            if steps:
                expected = rates[side, row] * _along(shares[:steps], leads[:steps], effect[side])
                surprise[side] = _surprise(_GOALS_PRIOR, numbers[row, 2 + side], expected)
            if steps and shots[row, 0] >= 0:
                log = level[side, 0] + level[side, 1] * logs[side] + level[side, 2] * logs[1 - side]
                expected = math.exp(log) * _along(shares[:steps], leads[:steps], shot_effect[side])
                shot_surprise[side] = _surprise(_SHOTS_PRIOR, shots[row, side], expected)
        for side in range(2):
            _fill_side(
                side,
                gone,
                numbers[row],
                leagues[row],
                logs,
                surprise,
                shot_surprise,
                places[row, side],
                values[row, side],
            )


def _walk_goals(
    numbers: IntArray,
    goals: IntArray,
    left_now: float,
    clock: tuple[FloatArray, FloatArray, tuple[float, float, float, float, float]],
    shares: FloatArray,
    leads: IntArray,
) -> int:
    """Fill in how the score came about: shares of the match's goals, and how far home was ahead while each passed.

    Return how many there are; none where the goals told are not those of the score.
    """
    home, lead, left = goals[:, 2].sum(), 0, 1.0
    if home != numbers[2] or len(goals) - home != numbers[3]:
        return 0
    for step in range(len(goals)):
        period, clock_ms = goals[step, 0], goals[step, 1]
        if period > numbers[0] or (period == numbers[0] and clock_ms > numbers[1]):
            return 0
        then = _left(period, clock_ms, clock)
        shares[step], leads[step] = left - then, lead
        lead, left = lead + (1 if goals[step, 2] else -1), then
    shares[len(goals)], leads[len(goals)] = left - left_now, lead
    return len(goals) + 1


def _share_left(
    period: int, clock_ms: int, clock: tuple[FloatArray, FloatArray, tuple[float, float, float, float, float]]
) -> float:
    blocks, tails, constants = clock
    block, left = _place_of(period, clock_ms, *constants)
    return blocks[block] * left + tails[block]  # type: ignore[no-any-return]


def _along_path(shares: FloatArray, leads: IntArray, effect: FloatArray) -> float:
    if len(shares) == 1:  # no goal yet
        return shares[0] * effect[_WIDEST]  # type: ignore[no-any-return]
    parts = np.empty(len(shares))
    for i in range(len(shares)):
        parts[i] = shares[i] * effect[min(max(leads[i], -_WIDEST), _WIDEST) + _WIDEST]
    return _sum_exactly(parts)


def _log_ratio(prior: float, seen: float, expected: float) -> float:
    """Return the log ratio of what was seen to what was expected, both shrunk by `prior`."""
    return math.log((prior + seen) / (prior + max(expected, 0.0)))


def _fill_one_side(
    side: int,
    gone: float,
    numbers: IntArray,
    league: int,
    logs: FloatArray,
    goals: FloatArray,
    shots: FloatArray,
    places: IntArray,
    values: FloatArray,
) -> None:
    own, other, sign = side, 1 - side, 1.0 - 2.0 * side
    state = min(max((numbers[2] - numbers[3]) * (1 - 2 * side), -2), 2) + 2
    places[:8], places[8:11] = np.arange(8), (_LEAGUE + max(league, 0), _LEAD + state, _SQUARED + state)
    places[11:] = np.arange(_REDS, _REDS + 4)
    values[:4] = shots[own], shots[other], goals[own], goals[other]
    values[4:8] = gone, gone * sign, gone * logs[own], gone * logs[other]
    values[8:11] = 0.0 if league < 0 else gone, gone, gone * gone
    values[11], values[12] = min(numbers[4 + own], _MOST_REDS), min(numbers[4 + other], _MOST_REDS)
    values[13], values[14] = 1 - gone, (1 - gone) * sign


def _weigh(places: IntArray, values: FloatArray, weights: FloatArray, sums: FloatArray) -> None:
    parts = np.empty(_WIDTH)
    for row in range(len(values)):
        for side in range(2):
            for i in range(_WIDTH):
                parts[i] = values[row, side, i] * weights[places[row, side, i]]
            sums[side, row] = _sum_exactly(parts)


def _exact_sum(values: FloatArray) -> float:
    """Return the sum, rounded once, as `math.fsum` does; `values` are finite.

    Source: Shewchuk (1997), Discrete Comput. Geom. 18: partial sums that do not overlap, then half-even rounding.
    """
    partials, count = np.empty(len(values) + 1), 0
    for value in values:
        x, kept = value, 0
        for i in range(count):
            y = partials[i]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)
            if low != 0.0:
                partials[kept] = low
                kept += 1
            x = high
        count = kept
        if x != 0.0:
            partials[kept] = x
            count = kept + 1
    if count == 0:
        return 0.0
    count -= 1
    high, low = partials[count], 0.0
    while count > 0 and low == 0.0:
        count -= 1
        x, y = high, partials[count]
        high = x + y
        low = y - (high - x)
    if count > 0 and ((low < 0.0 and partials[count - 1] < 0.0) or (low > 0.0 and partials[count - 1] > 0.0)):
        y = low * 2.0
        x = high + y
        if y == x - high:
            high = x
    return high  # type: ignore[no-any-return]


_numbers = attrgetter("period", "clock_ms", "home_goals", "away_goals", "home_reds", "away_reds")
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_place_of, _sum_exactly, _surprise, _fill_side = map(_compiled, (place_of, _exact_sum, _log_ratio, _fill_one_side))
_left, _along = map(_compiled, (_share_left, _along_path))
_walk = _compiled(_walk_goals)
_fill_evidence, _fill_dots = map(_compiled, (_read_rows, _weigh))
