"""Whether a forecast that was computed again is the one that was published, bit for bit."""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Intervals, Prediction, Runtime
from actors.domain.markets import Markets, ThreeWay

_encoder = msgspec.json.Encoder()
_inputs = msgspec.json.Decoder(ForecastInputs)


class Runtimes(Struct, frozen=True, kw_only=True):
    """Where the forecast was made, and where it was made again."""

    recorded: Runtime
    here: Runtime


class ReplayResult(Struct, frozen=True, kw_only=True):
    """The verdict. `largest_difference` is the largest distance between two values; null if they cannot be compared."""

    identical: bool
    prediction_id: str
    model_version: str
    runtime: Runtimes
    largest_difference: float | None
    note: str


class Recorded(Struct, frozen=True, kw_only=True):
    """What the published record says, as far as a replay is compared with it."""

    prediction_id: str
    model_version: str
    feature_snapshot_id: str
    basis: str
    markets: Markets
    intervals: Intervals | None = None
    runtime: Runtime


class Digest(Struct, frozen=True, kw_only=True):
    """What is kept of values that can be computed again: their hash, and the result to say how far off others are."""

    prediction_id: str
    model_version: str
    basis: str
    result: ThreeWay
    values_hash: bytes
    runtime: Runtime


_recorded = msgspec.json.Decoder(Recorded)


def read_recorded(forecast: bytes) -> Recorded:
    """Decode the part of a logged forecast that a replay is compared with; raises msgspec.DecodeError."""
    return _recorded.decode(forecast)


def read_inputs(snapshot_id: str, encoded: bytes) -> ForecastInputs:
    """Decode a stored feature snapshot.

    Raises:
        ValueError: The content is not that of its address: somebody changed it.
        msgspec.DecodeError: It is no feature snapshot of this code.
    """
    found = hashlib.sha256(encoded).hexdigest()[:40]
    if found != snapshot_id:
        raise ValueError(f"feature snapshot {snapshot_id} was changed: its content now has the address {found}")
    return _inputs.decode(encoded)


def compare(recorded: Recorded, prediction: Prediction, markets: Markets) -> ReplayResult:
    """Compare the published values with `markets`, derived from the `prediction` that was made again, and intervals.

    Encoded values are compared, since two floats are written alike only if they have the same bits.
    """
    published, again = (recorded.markets, recorded.intervals), (markets, prediction.intervals)
    is_same = _encoder.encode(published) == _encoder.encode(again)
    difference = 0.0 if is_same else largest_difference(published, again)
    return _result(recorded, prediction, difference, is_same=is_same)


def values_hash(markets: bytes, intervals: Intervals | None) -> bytes:
    """Return the hash (20 bytes) of encoded markets, and of intervals where there are any."""
    if intervals is None:
        return hashlib.sha256(markets).digest()[:20]
    return hashlib.sha256(markets + _encoder.encode(intervals)).digest()[:20]


def compare_digest(kept: Digest, prediction: Prediction, markets: Markets) -> ReplayResult:
    """Compare values that were made again with the hash of those that were shown, bit for bit.

    Where they differ, `largest_difference` is that of the result's probabilities: the others were not kept.
    """
    is_same = values_hash(_encoder.encode(markets), prediction.intervals) == kept.values_hash
    difference = 0.0 if is_same else largest_difference(kept.result, markets.one_x_two)
    return _result(kept, prediction, difference, is_same=is_same)


def _result(
    recorded: Recorded | Digest, prediction: Prediction, difference: float | None, *, is_same: bool
) -> ReplayResult:
    return ReplayResult(
        identical=is_same and recorded.basis == prediction.basis,
        prediction_id=recorded.prediction_id,
        model_version=prediction.model_version,
        runtime=Runtimes(recorded=recorded.runtime, here=prediction.runtime),
        largest_difference=difference,
        note=_note(recorded, prediction, difference, is_same=is_same),
    )


def _note(recorded: Recorded | Digest, prediction: Prediction, difference: float | None, *, is_same: bool) -> str:
    if is_same and recorded.basis == prediction.basis:
        return "every value has the same bits"
    if recorded.runtime != prediction.runtime:
        distance = "cannot be compared" if difference is None else f"differ by at most {difference:.3g}"
        return f"other hardware: identity is promised per runtime; values {distance}"
    if difference is None:
        return "the record and the replay do not hold the same markets, or only one of them intervals"
    if is_same:
        return f"the values agree, the basis does not: {recorded.basis} then, {prediction.basis} now"
    return f"same runtime, other values: they differ by up to {difference:.3g}"


def largest_difference(one: Any, other: Any) -> float | None:
    """Return the largest distance between numbers at the same place, None if the two are not built alike."""
    left, right = dict(_leaves(msgspec.to_builtins(one))), dict(_leaves(msgspec.to_builtins(other)))
    if left.keys() != right.keys():
        return None
    distances = [_distance(left[place], right[place]) for place in left]
    return None if None in distances else max((each for each in distances if each is not None), default=0.0)


def _distance(one: object, other: object) -> float | None:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other)
    return 0.0 if one == other else None


def _leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*place, key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _leaves(each, (*place, index))
    else:
        yield place, value
