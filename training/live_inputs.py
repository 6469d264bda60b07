"""A recorded match as the state that its feed leads to, so that training extracts inputs by the code that runs live."""

from msgspec.structs import replace

from actors.adapters.feeds import MatchFeed
from actors.domain.event_set import EventSet, StoredEvent
from actors.domain.events import Correction, Odds, Prematch, Retraction, Snapshot, Tick
from actors.domain.features.columns import Columns
from actors.domain.features.table import Table, plain_table
from actors.domain.match import Book, MatchState, book_key, book_of, new_match


def state_of_feed(feed: MatchFeed) -> MatchState:
    """Return the state of a whole match from a feed that takes nothing back, as the fold would; its books are the last.

    Raises:
        ValueError: The feed has corrections, retractions or snapshots: only the fold knows what they add up to.
    """
    believed = feed.fixture.believed
    events: dict[str, StoredEvent] = {}
    openings: dict[str, Book] = {}
    latest: dict[str, Book] = {}
    closing: dict[str, Book] = {}
    for offset, timed in enumerate(feed.records):
        record = timed.record
        match record.payload:
            case Correction() | Retraction() | Snapshot():
                raise ValueError(f"{record.match_id}: {record.kind} {record.event_id}: fold this feed instead")
            case Odds() as odds if record.provider in believed.odds:
                book = book_of(record, odds, offset)
                key = book_key(odds)
                latest[key] = book
                if book.can_anchor:
                    closing[key] = book
                    openings.setdefault(key, book)
            case Odds() | Tick() | Prematch():
                pass
            case payload:
                if record.provider in (believed.events, believed.clock):
                    events[record.event_id] = StoredEvent(
                        event_id=record.event_id,
                        version=record.version,
                        provider=record.provider,
                        seq=record.provider_seq,
                        clock=record.clock,
                        payload=payload,
                        since=record.provider_seq,
                    )
    return replace(
        new_match(feed.fixture), events=EventSet.of(events.values()), books=latest, anchors=closing, openings=openings
    )


def plain_table_of(feed: MatchFeed) -> Table:
    """Return a recorded match's events in order of play, with nothing in it that was fitted."""
    return plain_table(Columns(state_of_feed(feed).events))
