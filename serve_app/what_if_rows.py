"""How a batch of what-ifs is kept: what cannot be computed again, compressed; about 100 bytes each.

A what-if's values are those of a model version for some inputs, so they are not kept, only their hash: at 8,000 a
second they would be 56 MB. Inputs are kept as what differs from those of the forecast that was changed, which every
what-if on that forecast shares. Rows of the older form hold the whole answer as JSON, and are still read.
"""

import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Runtime
from actors.domain.forecast import AsOf, Forecast
from actors.domain.markets import ThreeWay
from serve_app.freshness import Freshness
from serve_app.messages import WhatIfRecord

_LEVEL = 1  # of zlib: twice the speed of the next for a tenth more bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWhatIf:
    """One what-if as it is kept, without its values."""

    prediction_id: str
    at: datetime
    based_on: "Base"
    made: "Made"
    inputs: ForecastInputs
    freshness: Freshness
    result: ThreeWay
    values_hash: bytes


class Base(Struct, frozen=True, array_like=True):
    """The published forecast whose inputs were changed."""

    match_id: str
    prediction_id: str
    seq: int
    as_of: AsOf
    inputs: ForecastInputs


class Made(Struct, frozen=True, array_like=True):
    """What made the values."""

    model_version: str
    basis: str
    runtime: Runtime


@dataclass(frozen=True, slots=True)
class Row:
    """One what-if that is to be kept."""

    at: datetime
    forecast: Forecast
    changed: dict[str, Any]  # input -> its value, where that is another than the forecast's
    made: Made
    freshness: Freshness
    result: ThreeWay
    values_hash: bytes


class _Packed(Struct, frozen=True, array_like=True):
    bases: list[Base]
    made: list[Made]
    freshness: list[Freshness]
    at: list[datetime]
    rows: list[tuple[int, int, int, int, dict[str, Any], tuple[float, float, float], bytes]]


_encoder = msgspec.msgpack.Encoder()
_packed = msgspec.msgpack.Decoder(_Packed)
_older = msgspec.json.Decoder(list[WhatIfRecord])


def pack(rows: Sequence[Row]) -> bytes:
    """Encode a batch."""
    bases, made, freshness, at = _Places(), _Places(), _Places(), _Places()
    packed = [
        (
            bases.of(row.forecast.prediction_id, row.forecast),
            made.of(row.made, row.made),
            freshness.of(id(row.freshness), row.freshness),
            at.of(row.at, row.at),
            row.changed,
            (row.result.home, row.result.draw, row.result.away),
            row.values_hash,
        )
        for row in rows
    ]
    whole = _Packed([_base(each) for each in bases.values], made.values, freshness.values, at.values, packed)
    return zlib.compress(_encoder.encode(whole), _LEVEL)


class _Places:
    """Values that many rows share, each once."""

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def of(self, key: Hashable, value: object) -> int:
        place = self._places.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def _base(forecast: Forecast) -> Base:
    return Base(forecast.match_id, forecast.prediction_id, forecast.seq, forecast.as_of, forecast.inputs)


def unpack(payload: bytes, index: int, prediction_id: str) -> KeptWhatIf | WhatIfRecord | None:
    """Read one what-if of a batch, of the older form too; None if there are not so many.

    Raises:
        ValueError: The payload is damaged (msgspec.DecodeError is one).
    """
    if payload[:1] == b"[":
        records = _older.decode(payload)
        return records[index] if index < len(records) else None
    try:
        whole = _packed.decode(zlib.decompress(payload))
    except zlib.error as error:
        raise ValueError(f"a batch of what-ifs is damaged: {error}") from error
    return _kept(whole, index, prediction_id) if index < len(whole.rows) else None


def rows_in(payload: bytes) -> int:
    """Return how many what-ifs a batch holds."""
    return len(_packed.decode(zlib.decompress(payload)).rows)


def _kept(whole: _Packed, index: int, prediction_id: str) -> KeptWhatIf:
    base_at, made_at, freshness_at, at, changed, result, values_hash = whole.rows[index]
    base = whole.bases[base_at]
    inputs = msgspec.convert(msgspec.to_builtins(base.inputs) | changed, ForecastInputs)
    return KeptWhatIf(
        prediction_id=prediction_id,
        at=whole.at[at],
        based_on=base,
        made=whole.made[made_at],
        inputs=inputs,
        freshness=whole.freshness[freshness_at],
        result=ThreeWay(home=result[0], draw=result[1], away=result[2]),
        values_hash=values_hash,
    )
