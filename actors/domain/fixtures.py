"""Fixtures: who plays whom, when, who is believed for what, and which partition the match is leased."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from actors.domain.events import Identifier, Text

FixtureStatus = Literal["scheduled", "retired"]


class Team(Struct, frozen=True, kw_only=True):
    """A team as shown, and the name under which the ratings know it (None: no rating, which is not an error)."""

    name: Text
    rating_key: Text | None = None


class Lease(Struct, frozen=True, kw_only=True):
    """The partition of `feed.v1` and `forecasts.v1` that a match uses, from which offsets on."""

    partition: Annotated[int, Meta(ge=0)]
    start_offset: Annotated[int, Meta(ge=0)]  # of feed.v1
    forecasts_from: Annotated[int, Meta(ge=0)] = 0  # of forecasts.v1
    shared: bool = False


class Believed(Struct, frozen=True, kw_only=True):
    """Which provider is believed for what; None: nobody sends it."""

    events: Identifier | None = None  # goals, cards, substitutions, ball events, reviews
    clock: Identifier | None = None  # ticks and the beginning and end of periods
    odds: tuple[Identifier, ...] = ()


class Fixture(Struct, frozen=True, kw_only=True):
    """One record of `fixtures.v1` (compacted, key: match id). Times are aware UTC."""

    match_id: Identifier  # "<provider>:<id>" of the provider that named it first
    kick_off: Annotated[datetime, Meta(tz=True)]
    home: Team
    away: Team
    competition: Text = ""
    league: Text | None = None  # code of the league in the ratings, such as "E0"
    provider_ids: dict[Identifier, Identifier] = {}
    believed: Believed = Believed()
    lease: Lease | None = None
    status: FixtureStatus = "scheduled"


_decoder = msgspec.json.Decoder(Fixture)


def encode_fixture(fixture: Fixture) -> bytes:
    """Encode a fixture for `fixtures.v1`."""
    return msgspec.json.encode(fixture)


def decode_fixture(value: bytes) -> Fixture:
    """Decode a record of `fixtures.v1`; raises msgspec.DecodeError."""
    return _decoder.decode(value)
