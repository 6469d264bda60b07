"""What a snapshot does to a match's events, and to what was sent before it and comes later.

A snapshot names all that counted when it was taken. What it does not name did not happen, whether it had come by then
or comes afterwards, so that the state does not depend on which of them was first. Ball events it may leave out.
"""

from msgspec.structs import replace

from actors.domain.event_set import EventSet, StoredEvent, absorbing, merged
from actors.domain.events import BEFORE_KICK_OFF, BallEvent, Clock, Event
from actors.domain.summary import SCORING


def is_goal(clock: Clock, event: Event | None) -> bool:
    """Say whether an event counts in the score, that of the shoot-out apart."""
    return isinstance(event, SCORING) and clock.period <= 4


def settled(known: StoredEvent | None, new: StoredEvent) -> StoredEvent:
    """Return what counts of an event that comes behind a snapshot taken after it was sent."""
    if known is not None and known.is_decisive:
        return absorbing(known, new)
    return merged(known, new if isinstance(new.payload, BallEvent) else _void(new))


def told_anew(events: EventSet, provider: str, told: list[StoredEvent], through: int | None) -> EventSet:
    """Return the events as a snapshot has them.

    Args:
        events: What is known.
        provider: Whose snapshot it is: it says nothing of others' events.
        told: What it names.
        through: Events numbered above it were sent after the snapshot and stand; None: its count is a new one.
    """
    named = {event.event_id for event in told}
    covered = [e for e in events.unordered() if e.provider == provider and (through is None or e.seq <= through)]
    for old in covered:
        if old.event_id not in named and not isinstance(old.payload, BallEvent) and old != _void(old):
            events = events.with_event(_void(old))
    for event in told:
        known = None if through is None else events.get(event.event_id)
        events = events.with_event(_by_snapshot(known, event))
    return events


def told_late(events: EventSet, told: list[StoredEvent]) -> EventSet:
    """Return the events with what a snapshot adds that comes behind a newer one: what has been taken back since."""
    for event in told:
        known = events.get(event.event_id)
        kept = settled(known, event)
        if kept is not known:
            events = events.with_event(kept)
    return events


def _by_snapshot(known: StoredEvent | None, told: StoredEvent) -> StoredEvent:
    """Return what counts of an event that a snapshot names: what it says, unless a newer version was sent after it."""
    if known is None:
        return told
    is_newer = known.seq > told.seq and known.version > told.version
    return merged(known, told) if is_newer or isinstance(told.payload, BallEvent) else absorbing(told, known)


def _void(event: StoredEvent) -> StoredEvent:
    """Return an event as one that a snapshot took back: only a newer version brings it to life again."""
    return replace(event, seq=0, clock=BEFORE_KICK_OFF, payload=None)
