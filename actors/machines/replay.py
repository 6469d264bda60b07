"""A recorded match becomes a live feed: ticks for each second of play, and with a seed what real feeds do to events.

Pure: the same feed and plan give the same schedule. The noise is that of the provider who tells the events; it changes
neither score nor cards nor substitutions once everything has come. The steps, in this order:

1. corrections and goals taken back join what the provider sends (`replay_noise`);
2. gaps: records are lost, and the snapshot that heals the gap comes a few seconds later; then all are numbered;
3. the way to us: delay keeps the order, reordering and duplicates stay within a few places;
4. ticks, which repeat the number that the clock's provider has reached, lost records included: that shows a gap.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar, cast

from msgspec import structs

from actors.domain.events import (
    Abandoned,
    FeedRecord,
    FullTime,
    KickOff,
    PeriodEnd,
    PeriodStart,
    Postponed,
    Tick,
)
from actors.domain.fixtures import Fixture
from actors.machines import replay_noise as noise
from actors.machines.replay_noise import NO_NOISE, ReplayPlan, moved
from actors.machines.simulated_odds import SIMULATED, Pair, Span, simulate_odds

__all__ = ["NO_NOISE", "ReplayPlan", "Timed", "announced", "rename", "schedule"]

TICK_MS = 1_000


class Timed(Protocol):
    """A record and when the feed sends it, in real ms since the feed began: a msgspec Struct."""

    @property
    def at_ms(self) -> int: ...
    @property
    def record(self) -> FeedRecord: ...


T = TypeVar("T", bound=Timed)
T_co = TypeVar("T_co", bound=Timed, covariant=True)


class Feed(Protocol[T_co]):
    """A whole match in order of `at_ms`, without ticks: a msgspec Struct."""

    @property
    def fixture(self) -> Fixture: ...
    @property
    def records(self) -> tuple[T_co, ...]: ...


F = TypeVar("F", bound=Feed[Any])
V = TypeVar("V")


def schedule(feed: Feed[T], plan: ReplayPlan = NO_NOISE) -> list[T]:
    """Return all that is sent, ticks included, in order of `at_ms`."""
    if not feed.records:
        return []
    believed, template = feed.fixture.believed, feed.records[0]
    sent: list[Pair] = [(timed.at_ms, timed.record) for timed in feed.records]
    clocked = spans(sent, believed.clock)
    lost: list[Pair] = []
    if plan.simulated_odds:
        simulated = simulate_odds(feed.fixture, sent, clocked, random.Random(plan.seed))
        sent = merged(sent, [(at_ms, moved(record, sent[0], at_ms)) for at_ms, record in simulated])
    if believed.events is not None:
        sent, lost = noise.disturb(sent, spans(sent, believed.events), believed.events, plan)
    ticks = _ticks(feed.fixture, sent, lost, clocked)
    return [_with(template, at_ms=at_ms, record=record) for at_ms, record in merged(sent, ticks)]


def announced(fixture: Fixture, plan: ReplayPlan) -> Fixture:
    """Return the fixture to announce for a plan: simulated odds must be believed to be shown."""
    believed = fixture.believed
    if not plan.simulated_odds or SIMULATED in believed.odds:
        return fixture
    return structs.replace(fixture, believed=structs.replace(believed, odds=(*believed.odds, SIMULATED)))


def rename(feed: F, match_id: str, kick_off: datetime) -> F:
    """Return the feed as that of a new fixture with another id and kick-off, and no lease yet."""
    later = kick_off - feed.fixture.kick_off
    fixture = structs.replace(feed.fixture, match_id=match_id, kick_off=kick_off, lease=None)
    records = tuple(_with(t, record=_renamed(t.record, match_id, later)) for t in feed.records)
    return _with(feed, fixture=fixture, records=records)


def spans(records: Iterable[Pair], provider: str | None) -> list[Span]:
    """Return when each period runs, as `provider` tells it; one that nobody ended runs to the last record."""
    found: list[Span] = []
    begun: tuple[int, int] | None = None  # period, at_ms
    at_ms = 0
    for at_ms, record in records:
        if record.provider != provider:
            continue
        if begun is not None and isinstance(record.payload, PeriodEnd | FullTime | Abandoned | Postponed):
            found.append(Span(*begun, at_ms))
            begun = None
        elif isinstance(record.payload, KickOff | PeriodStart):
            begun = record.clock.period, at_ms - record.clock.ms
    if begun is not None:
        found.append(Span(*begun, at_ms))
    return found


def merged(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """Merge by time; at the same instant, `first` comes first."""
    return sorted((*first, *second), key=lambda pair: pair[0])


def _ticks(fixture: Fixture, arriving: Sequence[Pair], lost: Sequence[Pair], clocked: Iterable[Span]) -> list[Pair]:
    """Return a tick for each full second of play, numbered as far as the provider has come by then."""
    provider = fixture.believed.clock
    if provider is None:
        return []
    told = [pair for pair in merged(arriving, lost) if pair[1].provider == provider]
    ticks: list[Pair] = []
    reached, position = 0, 0
    for span in clocked:
        for at_ms in range(span.start_ms + TICK_MS, span.end_ms, TICK_MS):
            while position < len(told) and told[position][0] <= at_ms:
                reached = max(reached, told[position][1].provider_seq)
                position += 1
            ticks.append((at_ms, _tick(arriving[0], provider, reached, span, at_ms)))
    return ticks


def _tick(first: Pair, provider: str, reached: int, span: Span, at_ms: int) -> FeedRecord:
    clock = span.clock(at_ms)
    return structs.replace(
        moved(first[1], first, at_ms),
        provider=provider,
        provider_seq=reached,
        event_id=f"tick:{clock.period}:{clock.ms // TICK_MS}",
        version=1,
        clock=clock,
        payload=Tick(),
    )


def _with(value: V, **changes: object) -> V:
    """Replace fields of a Struct that is known here by its Protocol only."""
    return cast(V, structs.replace(cast(Any, value), **changes))


def _renamed(record: FeedRecord, match_id: str, later: timedelta) -> FeedRecord:
    return structs.replace(
        record, match_id=match_id, occurred_at=record.occurred_at + later, received_at=record.received_at + later
    )
