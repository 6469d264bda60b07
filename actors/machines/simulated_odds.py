"""A made-up book for matches without one: a seeded random walk in the log of both teams' scoring rates.

It is for showing and for testing, never for judging a forecast: the provider says `simulated`, and so does the page.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct, structs

from actors.domain.events import Clock, FeedRecord, Goal, Odds, OwnGoal, PenaltyScored, Side
from actors.domain.fixtures import Fixture

Pair = tuple[int, FeedRecord]  # at_ms, record

SIMULATED = "simulated"
OVERROUND = 0.05
LINE = 2.5
STEP_MS = (10_000, 30_000)  # between two prices in play
SUSPENDED_MS = (30_000, 60_000)  # around a goal
VOLATILITY = 0.03  # standard deviation of a step in the log of a rate
MAX_GOALS = 10  # still to come; the rest of the distribution is below 1e-4 at these rates
HALF_MS = 45 * 60_000


class Span(Struct, frozen=True):
    """A period as it lies on the feed's time line."""

    period: int
    start_ms: int
    end_ms: int

    def clock(self, at_ms: int) -> Clock:
        """Return the match clock at a moment of this period."""
        return Clock(self.period, at_ms - self.start_ms)


def simulate_odds(fixture: Fixture, records: Sequence[Pair], spans: Iterable[Span], rng: random.Random) -> list[Pair]:
    """Return books of 1x2 and of 2.5 goals from before kick-off to the end of regular time, suspended around goals."""
    rates = [rng.uniform(1.1, 1.8), rng.uniform(0.8, 1.5)]
    goals = [(at_ms, _side(record)) for at_ms, record in records if _is_goal(record)]
    template = records[0][1]
    told: list[Pair] = []

    def tell(at_ms: int, clock: Clock, suspended: bool = False) -> None:
        score = [sum(1 for when, side in goals if when <= at_ms and side == of) for of in ("home", "away")]
        for odds in _books(rates, score, _share_left(clock), suspended):
            told.append((at_ms, _record(fixture, template, at_ms, clock, odds, len(told) + 1)))

    tell(0, Clock(0, 0))
    for span in spans:
        if span.period > 2:
            break
        reopens_ms = span.start_ms
        for at_ms, is_goal in _moments(span, [when for when, _ in goals], rng):
            if is_goal:
                reopens_ms = at_ms + rng.randrange(*SUSPENDED_MS)
            elif at_ms >= reopens_ms:
                rates[:] = [rate * math.exp(rng.gauss(0, VOLATILITY)) for rate in rates]
            tell(at_ms, span.clock(at_ms), suspended=at_ms < reopens_ms or at_ms == span.end_ms)
    return told


def _moments(span: Span, goals: Sequence[int], rng: random.Random) -> Iterator[tuple[int, bool]]:
    """Yield when the book is told in a period, and whether a goal is the reason."""
    due = span.start_ms
    ours = [goal for goal in goals if span.start_ms <= goal <= span.end_ms]
    while due < span.end_ms:
        following = due + rng.randrange(*STEP_MS)
        yield due, due in ours
        for goal in ours:
            if due < goal < following:
                yield goal, True
        due = following
    yield span.end_ms, False


def _share_left(clock: Clock) -> float:
    if clock.period == 0:
        return 1.0
    played = (clock.period - 1) * HALF_MS + min(clock.ms, HALF_MS)
    return max(1 - played / (2 * HALF_MS), 0.02)  # stoppage time


def _books(rates: Sequence[float], score: Sequence[int], share: float, suspended: bool) -> Iterator[Odds]:
    home, away = (_poisson(rate * share) for rate in rates)
    grid = [(score[0] + i, score[1] + j, p * q) for i, p in enumerate(home) for j, q in enumerate(away)]
    one_x_two = [
        math.fsum(p for h, a, p in grid if h > a),
        math.fsum(p for h, a, p in grid if h == a),
        math.fsum(p for h, a, p in grid if h < a),
    ]
    over = math.fsum(p for h, a, p in grid if h + a > LINE)
    yield _odds("1x2", None, ("home", "draw", "away"), one_x_two, suspended)
    yield _odds("over_under", LINE, ("over", "under"), [over, 1 - over], suspended)


def _poisson(mean: float) -> list[float]:
    return [math.exp(-mean) * mean**goals / math.factorial(goals) for goals in range(MAX_GOALS + 1)]


def _odds(market: str, line: float | None, names: tuple[str, ...], chances: list[float], suspended: bool) -> Odds:
    prices = tuple(_price(chance) for chance in chances)
    return Odds(market=market, line=line, selections=names, prices=prices, suspended=suspended, bookmaker=SIMULATED)


def _price(chance: float) -> float:
    """Return a decimal price with the overround in it, within what an exchange quotes."""
    return round(min(max(1 / (max(chance, 1e-6) * (1 + OVERROUND)), 1.01), 1000.0), 2)


def _is_goal(record: FeedRecord) -> bool:
    return isinstance(record.payload, Goal | OwnGoal | PenaltyScored) and record.clock.period in (1, 2)


def _side(record: FeedRecord) -> Side:
    payload = record.payload
    assert isinstance(payload, Goal | OwnGoal | PenaltyScored)
    return payload.side


def _record(fixture: Fixture, like: FeedRecord, at_ms: int, clock: Clock, odds: Odds, number: int) -> FeedRecord:
    return structs.replace(
        like,
        match_id=fixture.match_id,
        provider=SIMULATED,
        provider_seq=number,
        event_id=f"{odds.market}:{number}",
        version=1,
        clock=clock,
        payload=odds,
    )
