"""Conflation: of many updates of a match the newest wins, but what a trader must not miss is never left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from actors.domain.forecast import Forecast

DECISIVE = ("score", "extra_time", "shoot_out", "cards", "phase", "status", "reasons")
M = TypeVar("M")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Generic[M]):
    """One message that waits for streams. Of an update: its match, the keys that changed, whether it may go."""

    message: M
    match_id: str | None = None  # None: not of one match: stays where it is
    keys: frozenset[str] = frozenset()
    decisive: bool = True


def is_decisive(before: Forecast | None, after: Forecast) -> bool:
    """Say whether an update must reach everybody: goal, card, review, phase, status, market suspended or open."""
    if before is None or any(getattr(before, name) != getattr(after, name) for name in DECISIVE):
        return True
    return _suspended(before) != _suspended(after)


def _suspended(forecast: Forecast) -> bool:
    return forecast.price is not None and forecast.price.suspended


def conflate(waiting: Sequence[Waiting[M]]) -> list[Waiting[M]]:
    """Leave out updates that a later one of the same match supersedes; the later one takes over their keys.

    Order and everything decisive stay. A delta may name more keys than changed last: they all have their newest value.
    """
    kept: dict[int, Waiting[M]] = {}
    last: dict[str, int] = {}
    for index, each in enumerate(waiting):
        match_id, keys = each.match_id, each.keys
        if match_id is not None:
            before = last.get(match_id)
            if before is not None and not kept[before].decisive:
                keys |= kept.pop(before).keys
            last[match_id] = index
        kept[index] = each if keys is each.keys else replace(each, keys=keys)
    return list(kept.values())
