"""The feed envelope: what every adapter produces and the fold consumes.

A record of `feed.v1` is one JSON object (key: match id). Its `payload` is tagged by `kind`. Clocks are (period, ms
since that period began); period 0 is before kick-off, 1-2 regular time, 3-4 extra time, 5 the shoot-out.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from actors.domain.errors import RecordRejected
from actors.domain.prior import Prior

SCHEMA = 1
OURS = "touchline"  # the provider of what we tell a match ourselves
MAX_RECORD_BYTES = 256 * 1024  # a line-up with 50 players takes 6 KB; beyond this it is no record of ours
MAX_PRICE = 10_000.0  # exchanges stop at 1,000; anything above ten times that is a broken feed
MAX_PERIOD_MS = 90 * 60_000  # a half has never lasted 90 minutes

Side = Literal["home", "away"]
Identifier = Annotated[str, Meta(min_length=1, max_length=160)]
Text = Annotated[str, Meta(max_length=200)]
MAX_COUNT = 2**53
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Goals = Annotated[int, Meta(ge=0, le=99)]


class Clock(Struct, frozen=True, order=True):
    """Match time: milliseconds since the period began."""

    period: Annotated[int, Meta(ge=0, le=5)]
    ms: Annotated[int, Meta(ge=0, le=MAX_PERIOD_MS)]


BEFORE_KICK_OFF = Clock(0, 0)


class Score(Struct, frozen=True, array_like=True):
    """Goals, home first."""

    home: Goals = 0
    away: Goals = 0


class Event(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """Base of all payloads."""


class Player(Struct, frozen=True, kw_only=True):
    """One player on a team sheet."""

    player_id: Identifier
    name: Text = ""
    role: Text = ""
    starter: bool = True


class Lineups(Event, frozen=True, kw_only=True, tag="lineups"):
    """Both team sheets."""

    home: tuple[Player, ...]
    away: tuple[Player, ...]
    home_team: Text | None = None
    away_team: Text | None = None


class KickOff(Event, frozen=True, kw_only=True, tag="kick_off"):
    """Start of the first half."""


class PeriodStart(Event, frozen=True, kw_only=True, tag="period_start"):
    """Start of the clock's period (2 to 5)."""


class PeriodEnd(Event, frozen=True, kw_only=True, tag="period_end"):
    """End of the clock's period."""


class FullTime(Event, frozen=True, kw_only=True, tag="full_time"):
    """The match is over."""


class Postponed(Event, frozen=True, kw_only=True, tag="postponed"):
    """Will not be played as scheduled."""

    reason: Text = ""


class Abandoned(Event, frozen=True, kw_only=True, tag="abandoned"):
    """Stopped before its end; a later period start or kick-off resumes it."""

    reason: Text = ""


class BallEvent(Event, frozen=True, kw_only=True, tag="ball"):
    """Anything else the provider sends about the ball; coordinates 0..100, the acting side attacks towards x=100."""

    side: Side
    action: Text  # our vocabulary: pass, duel, foul, shot, free_kick, corner, throw_in, goal_kick, save, offside, ...
    detail: Text = ""  # the provider's own name
    player_id: Identifier | None = None
    x: Percent | None = None
    y: Percent | None = None
    end_x: Percent | None = None
    end_y: Percent | None = None
    success: bool | None = None
    is_shot: bool = False
    on_target: bool | None = None
    xg: Annotated[float, Meta(ge=0, le=1)] | None = None
    tags: tuple[Text, ...] = ()


class Goal(Event, frozen=True, kw_only=True, tag="goal"):
    """A goal for `side`. `score` is what the provider says it is after it, if it says so."""

    side: Side
    player_id: Identifier | None = None
    player: Text = ""
    score: Score | None = None


class OwnGoal(Event, frozen=True, kw_only=True, tag="own_goal"):
    """A goal for `side`, put in by a player of the other side."""

    side: Side
    player_id: Identifier | None = None
    player: Text = ""
    score: Score | None = None


class PenaltyAwarded(Event, frozen=True, kw_only=True, tag="penalty_awarded"):
    """`side` will take a penalty."""

    side: Side


class PenaltyScored(Event, frozen=True, kw_only=True, tag="penalty_scored"):
    """A penalty of `side` went in: a goal in periods 1-4, a kick of the shoot-out in period 5."""

    side: Side
    player_id: Identifier | None = None
    player: Text = ""
    score: Score | None = None


class PenaltyMissed(Event, frozen=True, kw_only=True, tag="penalty_missed"):
    """A penalty of `side` did not go in."""

    side: Side
    player_id: Identifier | None = None
    player: Text = ""


class Card(Event, frozen=True, kw_only=True, tag="card"):
    """A caution, the second caution (which sends off), or a straight red."""

    side: Side
    colour: Literal["yellow", "second_yellow", "red"]
    player_id: Identifier | None = None
    player: Text = ""


class Substitution(Event, frozen=True, kw_only=True, tag="substitution"):
    """One player for another."""

    side: Side
    player_off: Identifier | None = None
    player_on: Identifier | None = None
    name_off: Text = ""
    name_on: Text = ""


class VarStart(Event, frozen=True, kw_only=True, tag="var_start"):
    """A review has begun; the envelope's event id names it."""

    about: Text = ""  # goal, penalty, red_card, mistaken_identity


class VarOver(Event, frozen=True, kw_only=True, tag="var_over"):
    """The review `review_id` (event id of its start) is over; what it changed comes as retraction or correction."""

    review_id: Identifier
    decision: Text = ""


class Odds(Event, frozen=True, kw_only=True, tag="odds"):
    """The whole book of one market as it stands. Decimal prices, one per selection, null where there is none."""

    market: Identifier  # "1x2" (home, draw, away), "over_under" (over, under), "asian_handicap", or the provider's name
    selections: tuple[Text, ...]
    prices: tuple[float | None, ...]
    line: float | None = None
    suspended: bool = False
    bookmaker: Text = ""

    def __post_init__(self) -> None:
        if len(self.selections) != len(self.prices) or not self.selections:
            raise ValueError("a market needs one price per selection")
        for price in self.prices:
            if price is not None and not 1.0 < price <= MAX_PRICE:
                raise ValueError(f"a decimal price lies above 1 and at most at {MAX_PRICE:g}, was {price}")


class Prematch(Event, frozen=True, kw_only=True, tag="prematch"):
    """What our ratings and form say of the match. The newest before kick-off counts, else the first in play."""

    prior: Prior
    numbers: dict[Identifier, float] = {}  # its inputs, by their names in the catalogue


class Tick(Event, frozen=True, kw_only=True, tag="tick"):
    """A second of play passed and the provider's connection is alive; `provider_seq` repeats the last one it sent."""


Incident = (
    Lineups
    | KickOff
    | PeriodStart
    | PeriodEnd
    | FullTime
    | Postponed
    | Abandoned
    | BallEvent
    | Goal
    | OwnGoal
    | PenaltyAwarded
    | PenaltyScored
    | PenaltyMissed
    | Card
    | Substitution
    | VarStart
    | VarOver
)


class Correction(Event, frozen=True, kw_only=True, tag="correction"):
    """The envelope's event id, in this newer version, was in truth `event` at `clock`."""

    clock: Clock
    event: Incident


class Retraction(Event, frozen=True, kw_only=True, tag="retraction"):
    """The envelope's event id, in this newer version, did not happen."""

    reason: Text = ""


class SnapshotEvent(Struct, frozen=True, kw_only=True):
    """One event as the provider has it now."""

    event_id: Identifier
    version: Count = 1
    clock: Clock
    event: Incident


class Snapshot(Event, frozen=True, kw_only=True, tag="snapshot"):
    """All that counts, as the provider has it at this `provider_seq`; ball events may be left out."""

    score: Score
    events: Annotated[tuple[SnapshotEvent, ...], Meta(max_length=500)]


Payload = Incident | Odds | Tick | Correction | Retraction | Snapshot | Prematch


class FeedRecord(Struct, frozen=True, kw_only=True):
    """One record of a match's feed. Times are aware UTC and are never used for order."""

    match_id: Identifier
    provider: Identifier
    provider_seq: Count  # the provider's own count for this match, from 1, without gaps; a tick repeats the last one
    event_id: Identifier  # the provider's; unique in (match, provider)
    version: Count = 1
    occurred_at: datetime
    received_at: datetime
    clock: Clock
    payload: Payload
    schema: int = SCHEMA

    @property
    def kind(self) -> str:
        """The payload's tag, such as `goal`."""
        return kind_of(self.payload)


class _Envelope(Struct, frozen=True, kw_only=True):
    match_id: Identifier
    provider: Identifier
    provider_seq: Count
    event_id: Identifier
    version: Count = 1
    occurred_at: Annotated[datetime, Meta(tz=True)]
    received_at: Annotated[datetime, Meta(tz=True)]
    clock: Clock
    payload: msgspec.Raw
    schema: int = SCHEMA


_envelopes = msgspec.json.Decoder(_Envelope)
_payloads: msgspec.json.Decoder[Payload] = msgspec.json.Decoder(Payload)
_encoder = msgspec.json.Encoder()


def kind_of(payload: Event) -> str:
    """Return the tag of a payload.

    >>> kind_of(Tick())
    'tick'
    """
    return str(payload.__struct_config__.tag)


def encode_record(record: FeedRecord) -> bytes:
    """Encode a record for `feed.v1`."""
    return _encoder.encode(record)


def decode_record(key: str | None, value: bytes | None) -> FeedRecord:
    """Decode and check one record of `feed.v1`.

    Raises:
        RecordRejected: It is empty, too large, no JSON, of another schema, not of its key's match, or not an event.
    """
    if not value:
        raise RecordRejected("empty", "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise RecordRejected("too_large", f"{len(value)} bytes, at most {MAX_RECORD_BYTES} are taken")
    envelope = _decode_envelope(value)
    provider, seq = envelope.provider, envelope.provider_seq
    if envelope.schema != SCHEMA:
        raise RecordRejected(
            "unknown_schema", f"schema {envelope.schema}, this code reads {SCHEMA}", None, provider, seq
        )
    if key != envelope.match_id:
        raise RecordRejected("wrong_key", f"the key is {key!r}, the record is of {envelope.match_id!r}")
    try:
        return FeedRecord(
            match_id=envelope.match_id,
            provider=provider,
            provider_seq=seq,
            event_id=envelope.event_id,
            version=envelope.version,
            occurred_at=_utc(envelope.occurred_at),
            received_at=_utc(envelope.received_at),
            clock=envelope.clock,
            payload=_payloads.decode(envelope.payload),
        )
    except _UNREADABLE as error:
        kind, _, _ = _about(value)
        raise RecordRejected("malformed_payload", str(error), kind, provider, seq) from error


_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)


def _decode_envelope(value: bytes) -> _Envelope:
    try:
        return _envelopes.decode(value)
    except _UNREADABLE as error:
        raise RecordRejected("malformed", f"not a feed envelope: {error}", *_about(value)) from error


def _about(value: bytes) -> tuple[str | None, str | None, int]:
    """Say of what kind, by whom and which number a refused record is, as far as a more lenient reader can tell."""
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None, None, 0
    payload = found.get("payload") if isinstance(found, dict) else None
    if not isinstance(payload, dict):
        return None, None, 0
    kind, provider, seq = payload.get("kind"), found.get("provider"), found.get("provider_seq")
    return (
        kind if isinstance(kind, str) else None,
        provider if isinstance(provider, str) else None,
        seq if type(seq) is int and 0 < seq <= MAX_COUNT else 0,
    )


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is UTC else time.astimezone(UTC)  # OverflowError in the first and last hours of time
