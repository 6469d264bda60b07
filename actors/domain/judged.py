"""The forecasts of a match that are judged: those in force at seven minutes, and the result they are judged by.

One for each minute, since neighbouring forecasts of a match say nearly the same: counted each, a match that ticks more
often would count for more, and every interval would be too narrow.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs
from actors.domain.events import BEFORE_KICK_OFF, Clock
from actors.domain.forecast import Status
from actors.domain.markets import ThreeWay

RESULTS = ("home", "draw", "away")  # in the order of the chances
_MINUTE_MS = 60_000
CLOCKS: Mapping[Clock, int] = MappingProxyType(  # at which forecasts are judged: the minute that each is called
    {
        Clock(1, 0): 0,
        Clock(1, 15 * _MINUTE_MS): 15,
        Clock(1, 30 * _MINUTE_MS): 30,
        Clock(2, 0): 45,
        Clock(2, 15 * _MINUTE_MS): 60,
        Clock(2, 30 * _MINUTE_MS): 75,
        Clock(2, 40 * _MINUTE_MS): 85,
    }
)


class Judged(Struct, frozen=True, kw_only=True):
    """The forecast that was in force at a minute."""

    minute: int
    model_version: str
    chances: tuple[float, float, float]  # home, draw, away
    inputs: ForecastInputs


class _AsOf(Struct, frozen=True):
    clock: Clock


class _Markets(Struct, frozen=True):
    one_x_two: ThreeWay


class _Row(Struct, frozen=True):
    """What of a published forecast is looked at; thousands a match are read, so nothing else is decoded."""

    as_of: _AsOf
    status: Status
    model_version: str
    inputs: Raw
    markets: _Markets
    settled: dict[str, str] | None = None


class Followed(Struct, frozen=True, kw_only=True):
    """What the forecasts of one match have come to so far, read by seq."""

    seq: int = -1  # of the last one read
    reached: Clock = BEFORE_KICK_OFF
    judged: tuple[Judged, ...] = ()  # by minute
    result: int | None = None  # index of RESULTS as last settled; None while it is open
    last: _Row | None = None


_decoder, _inputs = msgspec.json.Decoder(_Row), msgspec.json.Decoder(ForecastInputs)


def observe(followed: Followed, seq: int, forecast: bytes) -> Followed:
    """Read the next published forecast of a match, as it was logged.

    The one in force at a minute is the last that is not later. Where that one's inputs could not be trusted (GAP), the
    minute is left out: what it says of the feed it does not say of the model.

    Raises:
        msgspec.DecodeError: It is no forecast.
    """
    row = _decoder.decode(forecast)
    clock = max(followed.reached, row.as_of.clock)
    passed = [minute for at, minute in CLOCKS.items() if followed.reached <= at < clock]
    settled = (row.settled or {}).get("1x2")
    return Followed(
        seq=seq,
        reached=clock,
        judged=followed.judged + _in_force(followed.last, passed),
        result=None if settled is None else RESULTS.index(settled),
        last=row,
    )


def skip(followed: Followed, seq: int) -> Followed:
    """Pass over a row that cannot be read."""
    return replace(followed, seq=seq)


def _in_force(last: _Row | None, minutes: list[int]) -> tuple[Judged, ...]:
    if last is None or last.status == "GAP" or not minutes:
        return ()
    now, inputs = last.markets.one_x_two, _inputs.decode(last.inputs)
    return tuple(
        Judged(minute=minute, model_version=last.model_version, chances=(now.home, now.draw, now.away), inputs=inputs)
        for minute in minutes
    )
