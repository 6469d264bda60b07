"""Fixtures, records, books and whole feeds for tests: say what matters, the rest is filled in."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from actors.domain.events import (
    BEFORE_KICK_OFF,
    OURS,
    BallEvent,
    Card,
    Clock,
    Correction,
    Event,
    FeedRecord,
    FullTime,
    Goal,
    KickOff,
    Lineups,
    Odds,
    PeriodEnd,
    PeriodStart,
    Player,
    Prematch,
    Retraction,
    Score,
    Side,
    Snapshot,
    SnapshotEvent,
    Substitution,
    Tick,
    encode_record,
)
from actors.domain.fixtures import Believed, Fixture, Team
from actors.domain.match import STATE_SCHEMA, MatchState, encode_state, new_match, state_hash
from actors.domain.ports import MatchSnapshot
from actors.domain.prior import Prior
from actors.machines.match import Effect, Entry, step

MATCH = "p:1"
PROVIDER = "p"
BOOKMAKER = "b"
NOW = datetime(2026, 8, 1, 15, tzinfo=UTC)
BELIEVED = Believed(events=PROVIDER, clock=PROVIDER, odds=(BOOKMAKER,))


def a_fixture(**fields: Any) -> Fixture:
    """Return a fixture whose events and clock are of `PROVIDER`, its odds of `BOOKMAKER`."""
    plain = {
        "match_id": MATCH,
        "kick_off": NOW,
        "home": Team(name="Reds", rating_key="reds"),
        "away": Team(name="Blues", rating_key="blues"),
        "competition": "League",
        "league": "E0",
        "believed": BELIEVED,
    }
    return Fixture(**{**plain, **fields})


def minute(value: float, period: int = 1) -> Clock:
    """Return the clock `value` minutes into a period."""
    return Clock(period, round(value * 60_000))


def a_record(seq: int, payload: Any, clock: Clock = BEFORE_KICK_OFF, event_id: str = "", **fields: Any) -> FeedRecord:
    """Return a record of `PROVIDER`; its event id is `e<seq>` unless said otherwise."""
    plain = {
        "match_id": MATCH,
        "provider": PROVIDER,
        "provider_seq": seq,
        "event_id": event_id or f"e{seq}",
        "occurred_at": NOW,
        "received_at": NOW,
        "clock": clock,
        "payload": payload,
    }
    return FeedRecord(**{**plain, **fields})


def a_tick(seq: int, clock: Clock, **fields: Any) -> FeedRecord:
    """Return a tick; `seq` is the last number that the provider sent."""
    return a_record(seq, Tick(), clock, f"tick:{clock.period}:{clock.ms}", **fields)


def a_book(
    seq: int,
    prices: Sequence[float | None] = (2.0, 3.5, 4.0),
    clock: Clock = BEFORE_KICK_OFF,
    provider: str = BOOKMAKER,
    event_id: str = "",
    **odds: Any,
) -> FeedRecord:
    """Return a 1X2 book of `BOOKMAKER`; `market`, `selections`, `line`, `suspended` and `bookmaker` may be given."""
    plain = {"market": "1x2", "selections": ("home", "draw", "away"), "prices": tuple(prices)}
    payload = Odds(**{**plain, **odds})
    return a_record(seq, payload, clock, event_id or f"o{seq}", provider=provider)


def totals(seq: int, line: float, over: float | None = 1.9, under: float | None = 1.95, **fields: Any) -> FeedRecord:
    """Return an over/under book of `BOOKMAKER`."""
    market = {"market": "over_under", "selections": ("over", "under"), "line": line}
    return a_book(seq, (over, under), **{**market, **fields})


def a_prior(**fields: Any) -> Prior:
    """Return what ratings say of a match."""
    plain = {"home": 0.5, "draw": 0.3, "away": 0.2, "over": 0.45, "variant": "past_odds", "model_version": "m"}
    return Prior(**{**plain, "as_of": date(2026, 7, 31), **fields})


def told_before(numbers: dict[str, float] | None = None, provider: str = OURS, **fields: Any) -> FeedRecord:
    """Return the record of a prior, and of the inputs behind it."""
    payload = Prematch(prior=a_prior(**fields), numbers=numbers or {})
    return a_record(1, payload, event_id="prematch", provider=provider)


def goal(side: Side = "home", score: tuple[int, int] | None = None, player: str | None = None) -> Goal:
    """Return a goal, with what the provider says the score is after it."""
    return Goal(side=side, score=None if score is None else Score(*score), player_id=player)


def red(side: Side = "home", player: str | None = None) -> Card:
    """Return a straight red card."""
    return Card(side=side, colour="red", player_id=player)


def lineups(starters: int = 11, bench: int = 5, **fields: Any) -> Lineups:
    """Return team sheets with players h1, h2, ... and a1, a2, ..., the bench behind the starters."""
    home, away = (
        tuple(Player(player_id=f"{letter}{n}", starter=n <= starters) for n in range(1, starters + bench + 1))
        for letter in "ha"
    )
    return Lineups(**{"home": home, "away": away, **fields})


def substitution(off: str, on: str, side: Side = "home") -> Substitution:
    """Return a substitution of one player id for another."""
    return Substitution(side=side, player_off=off, player_on=on)


def a_pass(side: Side = "home") -> BallEvent:
    """Return a ball event that changes nothing a reader sees."""
    return BallEvent(side=side, action="pass", x=50.0, y=50.0)


def a_snapshot(seq: int, score: tuple[int, int], *told: SnapshotEvent, clock: Clock, **fields: Any) -> FeedRecord:
    """Return the provider's whole account as of `seq`."""
    return a_record(seq, Snapshot(score=Score(*score), events=told), clock, f"s{seq}", **fields)


def told(event_id: str, event: Any, clock: Clock, version: int = 1) -> SnapshotEvent:
    """Return one line of a snapshot."""
    return SnapshotEvent(event_id=event_id, event=event, clock=clock, version=version)


def taken_back(seq: int, event_id: str, version: int = 2, clock: Clock = BEFORE_KICK_OFF) -> FeedRecord:
    """Return the retraction of an event."""
    return a_record(seq, Retraction(), clock, event_id, version=version)


def corrected(seq: int, event_id: str, event: Any, clock: Clock, version: int = 2) -> FeedRecord:
    """Return the correction of an event to `event` at `clock`."""
    return a_record(seq, Correction(clock=clock, event=event), clock, event_id, version=version)


def kicked_off() -> list[FeedRecord]:
    """Return line-ups and kick-off, numbers 1 and 2."""
    return [a_record(1, lineups()), a_record(2, KickOff(), Clock(1, 0))]


def numbered(*happenings: tuple[Event, Clock]) -> list[FeedRecord]:
    """Return records of these, numbered from 1."""
    return [a_record(seq, payload, clock) for seq, (payload, clock) in enumerate(happenings, start=1)]


def whole_match(*happenings: tuple[Event, Clock]) -> list[FeedRecord]:
    """Return a match of 90 minutes with what happens in it, by clock, numbered from 1."""
    whistles: list[tuple[Event, Clock]] = [
        (lineups(), BEFORE_KICK_OFF),
        (KickOff(), Clock(1, 0)),
        (PeriodEnd(), minute(46)),
        (PeriodStart(), Clock(2, 0)),
        (PeriodEnd(), minute(48, 2)),
        (FullTime(), minute(48, 2)),
    ]
    return numbered(*sorted([*whistles, *happenings], key=lambda each: each[1]))


def saved(state: MatchState) -> MatchSnapshot:
    """Return a state as its owner would save it."""
    return MatchSnapshot(
        match_id=state.match_id,
        epoch=1,
        offset=state.offset,
        state=encode_state(state),
        state_hash=state_hash(state),
        code_version=STATE_SCHEMA,
    )


def played(records: Iterable[FeedRecord], state: MatchState | None = None) -> MatchState:
    """Fold records by way of the log; `state` is where to begin, a match unread unless given."""
    return play(records, state)[0]


def play(
    records: Iterable[FeedRecord | bytes | None], state: MatchState | None = None
) -> tuple[MatchState, list[tuple[Effect, ...]]]:
    """Fold records, raw ones too, by way of the log; return the state and the effects of each."""
    state = new_match(a_fixture()) if state is None else state
    effects = []
    for offset, record in enumerate(records, start=state.offset + 1):
        value = encode_record(record) if isinstance(record, FeedRecord) else record
        state, done = step(state, Entry(offset=offset, key=state.match_id, value=value))
        effects.append(done)
    return state, effects


def changed(record: FeedRecord, **fields: Any) -> bytes:
    """Return a record's bytes with some of its fields replaced, by the names in JSON; `payload__x` goes one deeper."""
    raw: dict[str, Any] = msgspec.json.decode(encode_record(record))
    for name, value in fields.items():
        *path, last = name.split("__")
        inner = raw
        for part in path:
            inner = inner[part]
        inner[last] = value
    return msgspec.json.encode(raw)
