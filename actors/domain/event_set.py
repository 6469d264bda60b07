"""The versioned events of a match: an immutable set in which the newest version of each event id counts."""

from collections.abc import Callable, Iterable, Iterator
from typing import Self
from zlib import crc32

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.events import BallEvent, Clock, Identifier, Incident

_BUCKETS = 64  # a match has about 1,700 events: one update copies 64 pointers and some 30 entries, not 1,700


class StoredEvent(Struct, frozen=True, array_like=True):
    """The newest known version of one event; no payload means that it was taken back."""

    event_id: Identifier
    version: int
    provider: Identifier
    seq: int  # the provider's, of the record that brought this version; 0: taken back by a snapshot or before one
    clock: Clock
    payload: Incident | None
    since: int  # the lowest number under which any version of it was told: a correction does not move it
    index: int = 0  # its place in the snapshot that told it
    scored: bool = False  # some version of it was a goal

    @property
    def told(self) -> tuple[int, int]:
        """Where the provider first told it."""
        return self.since, self.index

    @property
    def place(self) -> tuple[int, int, int, int, str]:
        """Where it stands in the match; ties in the clock are broken as the provider sent them."""
        return self.clock.period, self.clock.ms, self.since, self.index, self.event_id

    @property
    def is_decisive(self) -> bool:
        """Whether it counts for more than itself: neither a ball event nor taken back."""
        return self.payload is not None and not isinstance(self.payload, BallEvent)

    @property
    def is_shot(self) -> bool:
        """Whether it is a shot that has not been taken back."""
        return isinstance(self.payload, BallEvent) and self.payload.is_shot


def merged(known: StoredEvent | None, new: StoredEvent) -> StoredEvent:
    """Return what counts of two accounts of one event, in whatever order they came.

    The newer version counts; of two alike the one that was sent first. `known` itself comes back if nothing is new.
    """
    if known is None:
        return new
    if (new.version, -new.seq) > (known.version, -known.seq):
        return absorbing(new, known)
    return absorbing(known, new)


def absorbing(event: StoredEvent, other: StoredEvent) -> StoredEvent:
    """Return an event with what another account of it adds: that it was told earlier, that it was a goal once."""
    since, index = min(event.told, other.told)
    scored = event.scored or other.scored
    if (event.since, event.index, event.scored) == (since, index, scored):
        return event
    return replace(event, since=since, index=index, scored=scored)


class EventSet:
    """Immutable; `with_event` shares all it can with the set it came from."""

    __slots__ = ("_buckets", "decisive", "shots")

    def __init__(
        self,
        buckets: tuple[dict[str, StoredEvent], ...],
        decisive: tuple[StoredEvent, ...],
        shots: tuple[StoredEvent, ...],
    ) -> None:
        self._buckets = buckets
        self.decisive = decisive  # the decisive events, and what once was a goal, by place
        self.shots = shots  # by place

    @classmethod
    def empty(cls) -> Self:
        """Return the set without events."""
        return cls(({},) * _BUCKETS, (), ())

    @classmethod
    def of(cls, events: Iterable[StoredEvent]) -> Self:
        """Build a set from distinct events."""
        buckets: list[dict[str, StoredEvent]] = [{} for _ in range(_BUCKETS)]
        events = tuple(events)
        for event in events:
            buckets[_bucket(event.event_id)][event.event_id] = event
        return cls(tuple(buckets), _by_place(filter(_is_kept_apart, events)), _by_place(filter(_is_shot, events)))

    def get(self, event_id: str) -> StoredEvent | None:
        """Return the newest version of an event, taken back or not."""
        return self._buckets[_bucket(event_id)].get(event_id)

    def with_event(self, event: StoredEvent) -> Self:
        """Return the set with `event` in place of any older version of it."""
        index = _bucket(event.event_id)
        bucket = self._buckets[index]
        old = bucket.get(event.event_id)
        buckets = (*self._buckets[:index], {**bucket, event.event_id: event}, *self._buckets[index + 1 :])
        decisive = _with(self.decisive, event, old, _is_kept_apart)
        return type(self)(buckets, decisive, _with(self.shots, event, old, _is_shot))

    def unordered(self) -> Iterator[StoredEvent]:
        """Yield all events, taken back or not, in no order that means anything."""
        return (event for bucket in self._buckets for event in bucket.values())

    def differing(self, other: "EventSet") -> Iterator[tuple[str, StoredEvent | None]]:
        """Yield (id, event as it is here) of all that is not the very same object in `other`; None: is not here."""
        for here, there in zip(self._buckets, other._buckets, strict=True):
            if here is not there:
                yield from ((key, event) for key, event in here.items() if there.get(key) is not event)
                yield from ((key, None) for key in there if key not in here)

    def __iter__(self) -> Iterator[StoredEvent]:
        """Yield all events, taken back or not, by id: the same order however they came."""
        return iter(sorted(self.unordered(), key=lambda event: event.event_id))

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventSet) and list(self) == list(other)

    def __hash__(self) -> int:
        raise TypeError("an EventSet is hashed by state_hash")


def _bucket(event_id: str) -> int:
    return crc32(event_id.encode()) % _BUCKETS  # not hash(): that differs between processes


def _is_kept_apart(event: StoredEvent) -> bool:
    return event.is_decisive or event.scored


def _is_shot(event: StoredEvent) -> bool:
    return event.is_shot


def _with(
    kept: tuple[StoredEvent, ...], event: StoredEvent, old: StoredEvent | None, belongs: Callable[[StoredEvent], bool]
) -> tuple[StoredEvent, ...]:
    """Return what is kept apart with `event` in place of `old`; the same tuple where neither belongs."""
    if not belongs(event) and (old is None or not belongs(old)):
        return kept
    others = [other for other in kept if other.event_id != event.event_id]
    return _by_place([*others, event] if belongs(event) else others)


def _by_place(events: Iterable[StoredEvent]) -> tuple[StoredEvent, ...]:
    return tuple(sorted(events, key=lambda event: event.place))
