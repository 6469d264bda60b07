"""Forecast bodies by splicing: the log's bytes with the freshness put behind, decoded once and not per request."""

from dataclasses import dataclass
from typing import Any

import msgspec

from actors.domain.forecast import Forecast, PriceView, decode_published
from actors.domain.ports import ViewEntry
from serve_app.freshness import Freshness

Parts = dict[str, msgspec.Raw]
_encoder = msgspec.json.Encoder()
_parts: msgspec.json.Decoder[Parts] = msgspec.json.Decoder(dict[str, msgspec.Raw])
ETAG_LETTER = {"FRESH": "F", "STALE": "T", "SUSPENDED": "S"}
ALWAYS = frozenset({"match_id", "seq", "epoch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The newest forecast of a match as it can be shown: with the logged edge, and without."""

    entry: ViewEntry
    forecast: Forecast
    parts: Parts  # top-level key -> logged JSON
    without_edge: bytes
    since_s: float  # monotonic second that its age counts from


def show(entry: ViewEntry, forecast: Forecast, since_s: float) -> Shown:
    """Prepare a forecast for being shown."""
    without = entry.value
    if forecast.price is not None and forecast.price.edge is not None:
        hidden = msgspec.structs.replace(forecast, price=_without_edge(forecast.price))
        without = _encoder.encode(hidden)
    return Shown(
        entry=entry, forecast=forecast, parts=_parts.decode(entry.value), without_edge=without, since_s=since_s
    )


def read_forecast(value: bytes) -> Forecast:
    """Decode a logged forecast; raises msgspec.DecodeError, also for a record of another type."""
    record = decode_published(value)
    if not isinstance(record, Forecast):
        raise msgspec.ValidationError(f"expected a forecast, was {type(record).__name__}")
    return record


def _without_edge(price: PriceView) -> PriceView:
    return msgspec.structs.replace(price, edge=None)


def may_show_edge(forecast: Forecast, freshness: Freshness) -> bool:
    """Say whether an edge may be acted on: status OK, number fresh, market open."""
    price = forecast.price
    return price is not None and not price.suspended and forecast.status == "OK" and freshness.state == "FRESH"


def shown_price(forecast: Forecast, freshness: Freshness) -> PriceView | None:
    """Return the price beside a forecast, its edge only where that may be acted on."""
    price = forecast.price
    return price if price is None or may_show_edge(forecast, freshness) else _without_edge(price)


def spliced(shown: Shown, freshness: Freshness) -> bytes:
    """Return the body of a forecast: what was logged, freshness added."""
    logged = shown.entry.value if may_show_edge(shown.forecast, freshness) else shown.without_edge
    return b'%b,"freshness":%b}' % (logged[:-1], _encoder.encode(freshness))


def etag(shown: Shown, freshness: Freshness) -> str:
    """Return the strong validator of a body: which forecast, and in which state of freshness."""
    return f'"{shown.entry.epoch}-{shown.entry.seq}-{ETAG_LETTER[freshness.state]}"'


def changed_keys(before: Parts | None, after: Parts) -> frozenset[str]:
    """Return the top-level keys whose logged JSON differs; all of them if there is nothing before.

    >>> sorted(changed_keys({"a": msgspec.Raw(b"1"), "b": msgspec.Raw(b"2")},
    ...                     {"a": msgspec.Raw(b"1"), "b": msgspec.Raw(b"3")}))
    ['b']
    """
    if before is None:
        return frozenset(after)
    return frozenset(key for key, raw in after.items() if key not in before or bytes(before[key]) != bytes(raw))


def delta(shown: Shown, keys: frozenset[str], freshness: Freshness) -> bytes:
    """Return the body of a delta: what names it, the keys that changed, the price's edge as it is now, freshness.

    A price goes with every delta, since its edge comes and goes with freshness too.
    """
    parts: dict[str, Any] = {key: raw for key, raw in shown.parts.items() if key in keys or key in ALWAYS}
    if shown.forecast.price is not None or "price" in keys:
        parts["price"] = shown_price(shown.forecast, freshness)
    return _encoder.encode({**parts, "freshness": freshness})
