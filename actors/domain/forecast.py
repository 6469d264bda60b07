"""Published forecasts: the records of `forecasts.v1`, and the hash chain that makes them tamper-evident."""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Intervals, Runtime
from actors.domain.events import Clock, Score
from actors.domain.markets import Markets
from actors.domain.summary import Phase

Status = Literal["OK", "MODEL_FALLBACK", "VAR_REVIEW", "GAP"]  # from best to worst
STATUSES: tuple[Status, ...] = ("OK", "MODEL_FALLBACK", "VAR_REVIEW", "GAP")
GENESIS = "0" * 64  # what the first row of a match is chained to
NO_ENSEMBLE = "the odds-anchored model has no ensemble"


class AsOf(Struct, frozen=True, kw_only=True):
    """What a forecast knew: the match clock, and when the event that caused it occurred (provider's clock)."""

    clock: Clock
    occurred_at: datetime


class PriceView(Struct, frozen=True, kw_only=True):
    """The 1X2 book beside the forecast, home, draw, away. `edge` = p * price - 1, null unless it may be acted on."""

    provider: str
    bookmaker: str
    prices: tuple[float, float, float]
    fair: tuple[float, float, float]  # overround removed
    method: str
    overround: float
    suspended: bool
    in_play: bool  # quoted after kick-off; else it is the price before it
    occurred_at: datetime
    match_ms_at: Clock
    edge: tuple[float, float, float] | None


class Offsets(Struct, frozen=True, kw_only=True):
    """Feed offsets of the newest record that went into the forecast, and of the newest odds (None: none yet)."""

    feed: int
    odds: int | None


class Stamps(Struct, frozen=True, kw_only=True):
    """Wall-clock stamps of one forecast, each by the clock of whoever did it. Never hashed, never compared."""

    occurred: datetime
    received: datetime
    logged: datetime
    inferred: datetime
    published: datetime


class Forecast(Struct, frozen=True, kw_only=True, tag_field="type", tag="forecast"):
    """One published forecast. `seq` is the feed offset that caused it; probabilities are of regular time."""

    match_id: str
    epoch: int
    seq: int
    prediction_id: str
    home: str
    away: str
    competition: str
    as_of: AsOf
    phase: Phase
    status: Status
    reasons: tuple[str, ...]
    trigger: str
    score: Score
    extra_time: Score | None
    shoot_out: Score | None
    cards: dict[str, Score]  # yellow, sent_off
    model_version: str
    basis: str
    feature_snapshot_id: str
    inputs: ForecastInputs
    markets: Markets
    intervals: Intervals | None = None
    intervals_reason: str = NO_ENSEMBLE  # why there are none; empty where there are
    settled: dict[str, str] | None = None  # market -> winning selection, once regular time is over and nothing is open
    price: PriceView | None = None
    offsets: Offsets
    stamps: Stamps
    runtime: Runtime
    conflated: int = 0  # ticks' forecasts left out since the last one, because the match was behind
    swapped_from: str | None = None  # the model version of the match's last one, where this one is of another
    prev_hash: str
    row_hash: str


class EpochOpen(Struct, frozen=True, kw_only=True, tag_field="type", tag="epoch_open"):
    """A new owner's marker: behind it, lower epochs are void. Of two with one epoch the first in the log counts."""

    match_id: str
    epoch: int
    owner: str


class ChainHead(Struct, frozen=True, kw_only=True, tag_field="type", tag="chain_head"):
    """The head of a match's chain: rows up to `seq` number `count`; shows when a tail was cut off."""

    match_id: str
    epoch: int
    seq: int
    count: int
    row_hash: str


class Pulse(Struct, frozen=True, kw_only=True, tag_field="type", tag="pulse"):
    """A sign of life of the match's owner, about once a second: how old its knowledge is. Never hashed, never kept."""

    match_id: str
    epoch: int
    offset: int  # feed offset that is folded
    clock: Clock
    phase: Phase
    feed_silent_s: float  # by the owner's monotonic clock, since the last record of the clock's provider
    own_lag_s: float  # how long the oldest record that is not folded yet has been waiting


Published = Forecast | EpochOpen | ChainHead | Pulse

_decoder: msgspec.json.Decoder[Published] = msgspec.json.Decoder(Published)
_encoder = msgspec.json.Encoder()


def encode_published(record: Published) -> bytes:
    """Encode a record for `forecasts.v1`. Floats are written so that reading them gives the same bits."""
    return _encoder.encode(record)


def decode_published(value: bytes) -> Published:
    """Decode a record of `forecasts.v1`; raises msgspec.DecodeError."""
    return _decoder.decode(value)


def prediction_id(match_id: str, seq: int) -> str:
    """Return the id of a published forecast.

    >>> prediction_id("wyscout:2499841", 17)
    'wyscout:2499841@17'
    """
    return f"{match_id}@{seq}"


def feature_snapshot(inputs: ForecastInputs) -> tuple[str, bytes]:
    """Return the content address of a model's inputs and their encoding."""
    encoded = _encoder.encode(inputs)
    return hashlib.sha256(encoded).hexdigest()[:40], encoded


def row_hash(prev_hash: str, forecast: Forecast) -> str:
    """Return the chained hash of a forecast: what the log determines, and nothing that a crash could change.

    Covers match, seq, logged status, model version, feature snapshot and values; not epoch, stamps or freshness.
    """
    price = forecast.price
    covered = (
        forecast.match_id,
        forecast.seq,
        forecast.phase,
        forecast.status,
        forecast.reasons,
        forecast.score,
        forecast.model_version,
        forecast.feature_snapshot_id,
        forecast.markets,
        forecast.settled,
        price and (price.provider, price.prices, price.fair, price.method, price.suspended, price.edge),
        *([forecast.intervals] if forecast.intervals is not None else []),  # rows from before there were any stand
    )
    return hashlib.sha256(prev_hash.encode() + _encoder.encode(covered)).hexdigest()


def worst(statuses: list[Status]) -> Status:
    """Return the worst of the statuses, OK if there is none.

    >>> worst(["MODEL_FALLBACK", "GAP", "VAR_REVIEW"])
    'GAP'
    """
    return max(statuses, key=STATUSES.index, default="OK")
