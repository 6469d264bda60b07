"""Past states like the one at hand, by what the network makes of it, and what happened next.

Compared are states of the same lead. Apart are their goals still to come, by how many standard deviations of a Poisson
count each side's expectations differ (2 sqrt of each: its variance is 1 whatever is expected), and a little the time
left. What the match has shown so far, shots and cards, is in the expectation of the state at hand. Each past match
counts once, with its nearest state; the nearer, the heavier. How often each result followed is a forecast of its own.
"""

import math
from datetime import date
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from actors.domain.distribution import FloatArray, ForecastInputs, Intervals
from actors.domain.events import Score
from actors.domain.markets import NextGoal, ThreeWay, TwoWay
from actors.domain.past import WIDEST, IntArray, PastMatch, PastStates

LEVEL = 0.9  # of the intervals, as of the model's
HALF_MINUTES = 45
NEAREST = 500  # that are asked what happened next; 400 to 600 do best on the validation season 2018/19
FEWEST = 30  # of which frequencies still say something
NAMED = 10
_TIME = 0.3  # of distance for e times the time left; up to this it costs nothing on validation, and reads better
_PRIOR = (0.45, 0.25, 0.30)  # home, draw, away of all matches; counts as one past state
_Z = 1.6448536269514722  # the normal's quantile at (1 + LEVEL) / 2

OVER: Final = "regular time is over"
TOO_FEW: Final = "too few past matches with this lead are known from before this one"
Reason = Literal["regular time is over", "too few past matches with this lead are known from before this one"]
Found = tuple[IntArray, IntArray, FloatArray]  # rows of past matches, places of their states, distances


class Present(Struct, frozen=True, kw_only=True):
    """A state to compare with. The past matches of `home` against `away` are left out: this one may be among them."""

    minute: int
    lead: int  # of home
    to_come: TwoWay  # goals of regular time that the model expects from now on
    home: str | None = None  # rating keys
    away: str | None = None


class Comparable(Struct, frozen=True, kw_only=True):
    """One past match at the minute at which it was most like the one at hand."""

    match: PastMatch
    minute: int
    score: Score  # then
    to_come: TwoWay  # goals to be expected from then on
    distance: float


class Comparables(Struct, frozen=True, kw_only=True):
    """What happened next in the `count` nearest of `searched` past matches, all from before the day `before`."""

    before: date
    searched: int
    count: int
    effective_count: float  # as many equally near ones would say as much
    minute: int
    lead: int
    to_come: TwoWay  # goals expected by the model
    result: ThreeWay  # had this match the goals that they still had
    intervals: Intervals  # of the result: Wilson's, by the effective count
    next_goal: NextGoal
    goals_to_come: TwoWay  # mean of those that came
    nearest: list[Comparable]


def present_of(inputs: ForecastInputs, expected_goals: TwoWay) -> Present:
    """Return the state of a forecast, given the goals that it expects of the whole of regular time."""
    return Present(
        minute=minute_of(inputs),
        lead=inputs.home_goals - inputs.away_goals,
        to_come=TwoWay(
            home=max(0.0, expected_goals.home - inputs.home_goals),
            away=max(0.0, expected_goals.away - inputs.away_goals),
        ),
        home=inputs.home_team,
        away=inputs.away_team,
    )


def minute_of(inputs: ForecastInputs) -> int:
    """Return the minute of play; stoppage time counts as the last minute of its half.

    >>> minute_of(ForecastInputs(period=1, clock_ms=47 * 60_000)), minute_of(ForecastInputs(period=2, clock_ms=90_000))
    (45, 46)
    """
    return HALF_MINUTES * max(0, inputs.period - 1) + min(HALF_MINUTES, inputs.clock_ms // 60_000)


def nearest(past: PastStates, present: Present, before: date) -> Found:
    """Return the nearest state of each of the NEAREST past matches from before a day, the nearest first."""
    known = int(np.searchsorted(past.days, np.datetime64(before)))
    squares = _squares(past, present, known)
    place = squares.argmin(axis=1)
    least = squares[np.arange(known), place]
    least[[row for row in past.rows.get((present.home or "", present.away or ""), ()) if row < known]] = np.inf
    rows = np.argsort(least, kind="stable")[:NEAREST]
    rows = rows[np.isfinite(least[rows])]
    return rows, place[rows], np.sqrt(least[rows])


def result_of(past: PastStates, found: Found, lead: int) -> ThreeWay:
    """Return the weighted frequencies of the results, had this match the goals that the past ones still had."""
    rows, places, _ = found
    came = past.final[rows] - past.goals[rows, places]
    sign = np.sign(lead + came[:, 0] - came[:, 1])
    mass = [float(weights(found)[sign == each].sum()) + prior for each, prior in zip((1, 0, -1), _PRIOR, strict=True)]
    home, draw, away = (each / math.fsum(mass) for each in mass)
    return ThreeWay(home=home, draw=draw, away=away)


def weights(found: Found) -> FloatArray:
    """Return (count,) weights that fall to nothing just beyond the farthest (Epanechnikov's)."""
    apart = found[2]
    return np.asarray(1 - (apart / (1.001 * apart[-1] + 1e-9)) ** 2, dtype=np.float64)


def comparables(past: PastStates, inputs: ForecastInputs, present: Present, before: date) -> Comparables | Reason:
    """Return what happened next in the past matches nearest to the inputs' state, or why there is nothing to say."""
    if inputs.is_over:
        return OVER
    found = nearest(past, present, before)
    rows, places, apart = found
    if len(rows) < FEWEST:
        return TOO_FEW
    weight = weights(found)
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    result = result_of(past, found, present.lead)
    next_home, next_away = weight @ past.next_goal[rows, places] / weight.sum()
    came = weight @ (past.final[rows] - past.goals[rows, places]) / weight.sum()
    return Comparables(
        before=min(before, past.until),
        searched=int(np.searchsorted(past.days, np.datetime64(before))),
        count=len(rows),
        effective_count=effective,
        minute=present.minute,
        lead=present.lead,
        to_come=present.to_come,
        result=result,
        intervals=Intervals(
            level=LEVEL,
            home=wilson(result.home, effective),
            draw=wilson(result.draw, effective),
            away=wilson(result.away, effective),
        ),
        next_goal=NextGoal(
            home=float(next_home), none=max(0.0, float(1 - next_home - next_away)), away=float(next_away)
        ),
        goals_to_come=TwoWay(home=float(came[0]), away=float(came[1])),
        nearest=[
            _named(past, *each)
            for each in zip(rows[:NAMED].tolist(), places[:NAMED].tolist(), apart[:NAMED].tolist(), strict=True)
        ],
    )


def wilson(share: float, count: float) -> tuple[float, float]:
    """Return the interval of a frequency at LEVEL.

    Source: Wilson (1927), J. Am. Stat. Assoc. 22(158).

    >>> [round(bound, 3) for bound in wilson(0.5, 100)], wilson(0.0, 100)[0]
    ([0.419, 0.581], 0.0)
    """
    spread = _Z**2 / count
    middle = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _squares(past: PastStates, present: Present, known: int) -> FloatArray:
    """Return (known, s) squared distances, infinite where the lead is another."""
    home, away = (2 * math.sqrt(each) for each in (present.to_come.home, present.to_come.away))
    left = np.log(past.left)
    late = _TIME * (left - np.interp(present.minute, past.minutes, left))
    squares = (past.deviations[0, :known] - home) ** 2
    squares += (past.deviations[1, :known] - away) ** 2
    squares += late**2
    squares[past.lead[:known] != max(-WIDEST, min(WIDEST, present.lead))] = np.inf
    return np.asarray(squares, dtype=np.float64)


def _named(past: PastStates, row: int, place: int, distance: float) -> Comparable:
    home, away = past.to_come[row, place].tolist()
    return Comparable(
        match=past.matches[row],
        minute=int(past.minutes[place]),
        score=Score(*past.goals[row, place].tolist()),
        to_come=TwoWay(home=home, away=away),
        distance=distance,
    )
