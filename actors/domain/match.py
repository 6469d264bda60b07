"""The state of one match: a pure function of its feed."""

import hashlib
from datetime import datetime
from typing import Any
from zlib import crc32

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.errors import SnapshotUnreadable
from actors.domain.event_set import EventSet, StoredEvent
from actors.domain.events import BEFORE_KICK_OFF, BallEvent, Clock, FeedRecord, Odds, Prematch, Score
from actors.domain.fixtures import Believed, Fixture, Team
from actors.domain.summary import SCORING, Summary

STATE_SCHEMA = 2  # a snapshot of another schema is not read: the match is folded again from the log
_CHECKSUM_BYTES = 4

Numbers = tuple[tuple[int, int], ...]  # runs of numbers, first and last included, in order


class Sequence(Struct, frozen=True, kw_only=True):
    """How completely one provider's records have come."""

    last: int = 0  # the highest number known to have been sent
    missing: Numbers = ()  # up to it, still awaited
    waived: Numbers = ()  # never came, and a snapshot taken later has made that harmless
    snapshot: int = 0  # of the newest snapshot: it says what holds of all that was sent before
    lost_through: int = 0  # something up to this number is lost: only a snapshot taken there or later heals it
    restarted: bool = False  # the provider began to count anew: only its next snapshot says what holds
    first: str = ""  # the event id of record 1: another record 1 is the beginning of another count

    @property
    def is_lost(self) -> bool:
        """Whether only a snapshot helps."""
        return self.lost_through > 0 or self.restarted

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing and not self.is_lost


class Book(Struct, frozen=True, kw_only=True):
    """The prices of one market as a provider last sent them."""

    provider: str
    bookmaker: str
    selections: tuple[str, ...]
    prices: tuple[float | None, ...]
    line: float | None
    suspended: bool
    in_play: bool
    seq: int
    clock: Clock
    offset: int
    occurred_at: datetime

    @property
    def can_anchor(self) -> bool:
        """Whether it is a whole price from before kick-off at which one could have bet."""
        return not self.in_play and not self.suspended and all(self.prices)


def book_key(odds: Odds) -> str:
    """Return the name under which a market's book is kept."""
    return odds.market if odds.line is None else f"{odds.market} {odds.line:g}"


def book_of(record: FeedRecord, odds: Odds, offset: int) -> Book:
    """Return the book that a record of prices at this feed offset tells of."""
    return Book(
        provider=record.provider,
        bookmaker=odds.bookmaker,
        selections=odds.selections,
        prices=odds.prices,
        line=odds.line,
        suspended=odds.suspended,
        in_play=record.clock.period > 0,
        seq=record.provider_seq,
        clock=record.clock,
        offset=offset,
        occurred_at=record.occurred_at,
    )


class Stated(Struct, frozen=True, kw_only=True):
    """The score as the provider itself stated it (regular and extra time)."""

    seq: int
    score: Score


class MatchState(Struct, frozen=True, kw_only=True):
    """Everything folded so far. Times in it are the provider's and decide nothing."""

    match_id: str
    home: Team
    away: Team
    competition: str
    league: str | None
    believed: Believed
    offset: int = -1  # of the last record folded
    events: EventSet = msgspec.field(default_factory=EventSet.empty)
    summary: Summary = Summary()
    sequences: dict[str, Sequence] = {}
    clock: Clock = BEFORE_KICK_OFF
    ticked: Clock = BEFORE_KICK_OFF  # of the last tick, as the provider counted
    ticked_seq: int = 0
    heard: Clock = BEFORE_KICK_OFF  # the highest of an event: the clock of a match whose provider sends no ticks
    whistled: Clock = BEFORE_KICK_OFF  # of the last whistle that counted
    reached: int = 0  # the highest period in which something decisive happened
    books: dict[str, Book] = {}
    anchors: dict[str, Book] = {}  # the last book of each market before kick-off
    openings: dict[str, Book] = {}  # the first that anybody could have bet at
    prematch: Prematch | None = None  # what ratings and form said before kick-off
    stated: Stated | None = None
    scored_seq: int = 0  # of the last record that changed what is or was a goal
    rejected: dict[str, int] = {}
    schema: int = STATE_SCHEMA


def new_match(fixture: Fixture) -> MatchState:
    """Return the state of a match of which nothing has been read."""
    return MatchState(
        match_id=fixture.match_id,
        home=fixture.home,
        away=fixture.away,
        competition=fixture.competition,
        league=fixture.league,
        believed=fixture.believed,
    )


def encode_state(state: MatchState) -> bytes:
    """Encode a state for a snapshot: a checksum, since `state_hash` leaves out what no feed says, and the state."""
    encoded = msgspec.msgpack.encode(state, enc_hook=_encode_hook)
    return crc32(encoded).to_bytes(_CHECKSUM_BYTES, "big") + encoded


def decode_state(match_id: str, value: bytes) -> MatchState:
    """Decode a snapshot's state.

    Raises:
        SnapshotUnreadable: It is damaged, of another match, or of another schema.
    """
    checksum, encoded = value[:_CHECKSUM_BYTES], value[_CHECKSUM_BYTES:]
    if int.from_bytes(checksum, "big") != crc32(encoded):
        raise SnapshotUnreadable(match_id, "its checksum is not that of its content")
    try:
        state = msgspec.msgpack.decode(encoded, type=MatchState, dec_hook=_decode_hook)
    except (msgspec.DecodeError, ValueError) as error:
        raise SnapshotUnreadable(match_id, str(error)) from error
    if state.schema != STATE_SCHEMA or state.match_id != match_id:
        raise SnapshotUnreadable(match_id, f"schema {state.schema} of {state.match_id}, this code reads {STATE_SCHEMA}")
    return state


def state_hash(state: MatchState) -> str:
    """Return the hash of what the feed said; neither offsets nor wall times are part of it."""
    covered = (
        state.match_id,
        list(state.events),
        sorted(state.sequences.items()),
        state.clock,
        (state.ticked, state.ticked_seq, state.heard),
        sorted((key, _timeless(book)) for key, book in state.books.items()),
        sorted((key, _timeless(book)) for key, book in state.anchors.items()),
        sorted((key, _timeless(book)) for key, book in state.openings.items()),
        state.stated,
        sorted(state.rejected.items()),
        *([state.prematch] if state.prematch else []),  # snapshots from before there was any stand
    )
    return hashlib.sha256(msgspec.msgpack.encode(covered, enc_hook=_encode_hook)).hexdigest()


def forecast_inputs(state: MatchState) -> ForecastInputs:
    """Return what the model sees of a match."""
    period, ms = _play_clock(state)
    regular, off = state.summary.regular, state.summary.off_pitch
    anchor_1x2, anchor_over_under = anchor_prices(state.anchors)
    shots, goals = seen_of(state)
    return ForecastInputs(
        league=state.league,
        home_team=state.home.rating_key,
        away_team=state.away.rating_key,
        period=period,
        clock_ms=ms,
        home_goals=regular.home,
        away_goals=regular.away,
        home_reds=off.home,
        away_reds=off.away,
        anchor_1x2=anchor_1x2,
        anchor_over_under=anchor_over_under,
        home_shots=shots.home if shots else None,
        away_shots=shots.away if shots else None,
        shots_by=state.believed.events if shots else None,
        goals=goals,
        prior=state.prematch.prior if state.prematch else UNSET,
    )


def seen_of(state: MatchState) -> tuple[Score | None, tuple[GoalAt, ...]]:
    """Return the shots of regular time and the goals that a forecast rests on, beside score, cards and prices."""
    return _shots(state), _goals(state)


def _shots(state: MatchState) -> Score | None:
    """Return the shots of regular time; None where the provider has sent none, which most never do."""
    sides = [
        shot.payload.side
        for shot in state.events.shots
        if shot.clock.period <= 2 and isinstance(shot.payload, BallEvent)
    ]
    return Score(sides.count("home"), sides.count("away")) if sides else None


def _goals(state: MatchState) -> tuple[GoalAt, ...]:
    return tuple(
        GoalAt(event.clock.period, event.clock.ms, event.payload.side)
        for event in state.events.decisive
        if isinstance(event.payload, SCORING) and event.clock.period <= 2
    )


Prices = tuple[float, float, float]


def anchor_prices(anchors: dict[str, Book]) -> tuple[Prices | None, Prices | None]:
    """Return (home, draw, away) and (line, over, under), None where nobody quoted them before kick-off."""
    return _three_prices(anchors.get("1x2")), _over_under(anchors)


def _play_clock(state: MatchState) -> tuple[int, int]:
    """Return (period, ms): (0, 0) before kick-off, a break is the start of what follows, (3, 0) when 90' are over."""
    summary = state.summary
    if summary.period == 0 and summary.phase in ("scheduled", "postponed"):
        return 0, 0
    if summary.phase == "finished" or summary.period >= 3 or state.clock.period >= 3:
        return 3, 0
    if summary.phase == "break":
        return summary.period + 1, 0
    return state.clock.period, state.clock.ms


def _three_prices(book: Book | None) -> Prices | None:
    if book is None or len(book.prices) != 3 or book.prices[0] is None:
        return None
    home, draw, away = book.prices
    return (home, draw, away) if home and draw and away else None


def _over_under(anchors: dict[str, Book]) -> Prices | None:
    """Return line, over and under of the book nearest to 2.5 goals."""
    books = [book for key, book in anchors.items() if key.startswith("over_under") and book.line is not None]
    for book in sorted(books, key=lambda book: (abs((book.line or 0) - 2.5), book.line)):
        if len(book.prices) == 2 and book.prices[0] and book.prices[1]:
            return book.line or 0.0, book.prices[0], book.prices[1]
    return None


def _timeless(book: Book) -> tuple[Any, ...]:
    return msgspec.structs.astuple(replace(book, offset=0, occurred_at=_EPOCH))


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _encode_hook(value: Any) -> Any:
    if isinstance(value, EventSet):
        return list(value)
    raise TypeError(f"no encoding for {type(value)}")


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is EventSet:
        return EventSet.of(msgspec.convert(value, list[StoredEvent]))
    raise TypeError(f"no decoding for {kind}")
