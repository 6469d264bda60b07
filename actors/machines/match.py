"""The match fold: one record at a time, pure. Same log, same state, same hash.

Where the same records come in another order, the state is the same all the same, as long as the provider does not
contradict itself: events are merged by version, books and clocks by the provider's own count, and a snapshot settles
all that was sent before it, come or still to come.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.errors import RecordRejected
from actors.domain.event_set import EventSet, StoredEvent, merged
from actors.domain.events import (
    BEFORE_KICK_OFF,
    Correction,
    FeedRecord,
    Odds,
    Prematch,
    Retraction,
    Snapshot,
    SnapshotEvent,
    Tick,
    decode_record,
    encode_record,
)
from actors.domain.match import MatchState, Sequence, Stated, book_key, book_of
from actors.domain.summary import SCORING, course, summarise
from actors.machines import sequence as sequences
from actors.machines.books import unnumbered, with_book, with_opening
from actors.machines.checks import (
    check,
    check_same,
    clock_provider,
    event_key,
    is_believed,
    is_harmless,
    whose,
)
from actors.machines.settling import is_goal, settled, told_anew, told_late
from actors.machines.status import looks_different

FORECAST_EVERY_MS = 5_000  # of match time, while nothing else moves the numbers
_UNSEEN = Sequence()


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """One record of the match's partition as it stands in the log."""

    offset: int
    key: str | None
    value: bytes | None
    problem: str | None = None  # the log has lost what was appended here


class Reforecast(Struct, frozen=True, kw_only=True):
    """The state now calls for a new forecast; `trigger` is the kind of record that caused it."""

    trigger: str


class DeadLetter(Struct, frozen=True, kw_only=True):
    """The record belongs in `feed.dlq`."""

    reason: str
    detail: str


Effect = Reforecast | DeadLetter


def step(state: MatchState, entry: Entry) -> tuple[MatchState, tuple[Effect, ...]]:
    """Apply one log record; one that was applied before, by offset, changes nothing."""
    state, _, effects = step_decoded(state, entry)
    return state, effects


def step_decoded(state: MatchState, entry: Entry) -> tuple[MatchState, FeedRecord | None, tuple[Effect, ...]]:
    """Apply one log record as `step` does; return beside it what was read (None if that was refused or not needed)."""
    if entry.offset <= state.offset:
        return state, None, ()
    try:
        if entry.problem is not None:
            raise RecordRejected("damaged", entry.problem)
        if entry.key != state.match_id:
            raise RecordRejected("wrong_partition", f"key {entry.key!r} on the partition of {state.match_id!r}")
        record = decode_record(entry.key, entry.value)
        after, effects = step_record(state, entry.offset, record)
    except RecordRejected as rejection:
        after, effects = _refuse(state, entry.offset, rejection)
        return after, None, effects
    return after, record, effects


def step_record(state: MatchState, offset: int, record: FeedRecord) -> tuple[MatchState, tuple[Effect, ...]]:
    """Apply one decoded record.

    Raises:
        RecordRejected: It makes no sense for this match.
    """
    check(state, record)
    after = replace(_apply(state, offset, record), offset=offset)
    return after, _effects(state, after, record.kind)


def fold(state: MatchState, records: Iterable[FeedRecord]) -> MatchState:
    """Fold records as the log would give them back, numbering them from the state's offset on."""
    for offset, record in enumerate(records, start=state.offset + 1):
        state, _ = step(state, Entry(offset=offset, key=record.match_id, value=encode_record(record)))
    return state


def _effects(before: MatchState, after: MatchState, kind: str) -> tuple[Effect, ...]:
    due = before.offset < 0 or looks_different(before, after) or (kind == "tick" and _passed_a_multiple(before, after))
    return (Reforecast(trigger=kind),) if due else ()


def _passed_a_multiple(before: MatchState, after: MatchState) -> bool:
    old, new = before.clock, after.clock
    if after.summary.phase != "live" or new.period > 2:
        return False
    return (new.period, new.ms // FORECAST_EVERY_MS) != (old.period, old.ms // FORECAST_EVERY_MS)


def _refuse(state: MatchState, offset: int, rejection: RecordRejected) -> tuple[MatchState, tuple[Effect, ...]]:
    """Note a record that cannot be used; if it could have mattered, only a snapshot restores trust."""
    rejected = {**state.rejected, rejection.reason: state.rejected.get(rejection.reason, 0) + 1}
    after = replace(state, offset=offset, rejected=rejected)
    provider = whose(state, rejection)
    if provider is not None:
        account = sequences.advance if is_harmless(rejection) else sequences.lose
        after = _with_sequence(after, provider, account(_sequence(state, provider), rejection.provider_seq))
    letter = DeadLetter(reason=rejection.reason, detail=rejection.detail)
    return after, (letter, *_effects(state, after, "rejected"))


def _apply(state: MatchState, offset: int, record: FeedRecord) -> MatchState:
    match record.payload:
        case Tick():
            return _tick(state, record)
        case Odds() as odds:
            return _odds(state, offset, record, odds)
        case Snapshot() as snapshot:
            return _snapshot(state, record, snapshot)
        case Prematch() as told:  # ours, so the log's order is its count
            return replace(state, prematch=told) if _counts(state, told) else state
        case _:
            return _event(state, record)


def _counts(state: MatchState, told: Prematch) -> bool:
    """Say whether what ratings tell changes anything: after kick-off only if nothing was told, and none at the end."""
    if state.clock.period == 0:
        return told != state.prematch
    return state.prematch is None and state.clock.period <= 2 and state.summary.phase != "finished"


def _tick(state: MatchState, record: FeedRecord) -> MatchState:
    """Take the time from the tick that the provider sent last, so that a clock it has put right goes back here too."""
    state = _with_sequence(
        state, record.provider, sequences.alive(_sequence(state, record.provider), record.provider_seq)
    )
    told = record.provider_seq, record.clock
    if record.provider != clock_provider(state.believed) or told <= (state.ticked_seq, state.ticked):
        return state
    return _with_clock(replace(state, ticked=record.clock, ticked_seq=record.provider_seq))


def _odds(state: MatchState, offset: int, record: FeedRecord, odds: Odds) -> MatchState:
    """Take the book if it is the newest of its market by the provider's own count."""
    believed, provider, seq = state.believed, record.provider, record.provider_seq
    now = sequences.account(_sequence(state, provider), seq, record.event_id, is_known=True)
    if provider not in (believed.events, believed.clock):
        state = _counted_anew(state, provider) if now.restarted else state
        now = sequences.forgiven(now, seq)
    state = _with_sequence(state, provider, now)
    if provider not in believed.odds:
        return state
    book = book_of(record, odds, offset)
    key, books = book_key(odds), with_book(state.books, book_key(odds), book, believed.odds)
    if not book.can_anchor:
        return replace(state, books=books)
    return replace(
        state,
        books=books,
        anchors=with_book(state.anchors, key, book, believed.odds),
        openings=with_opening(state.openings, key, book, believed.odds),
    )


def _event(state: MatchState, record: FeedRecord) -> MatchState:
    """Take an event, its correction or its retraction; the newest version counts, in whatever order they come."""
    new = _stored(state, record)
    known = state.events.get(new.event_id)
    if not is_believed(state.believed, record.provider, new.payload):
        return _accounted(state, record, is_known=True)
    before = state
    state = _accounted(state, record, is_known=known is not None and known.version >= new.version)
    counted = _sequence(state, record.provider)
    if counted.restarted:
        kept = merged(known, new)
    elif record.provider_seq <= counted.snapshot:
        kept = settled(known, new)
    else:
        check_same(record, known, new)
        kept = merged(known, new)
    if kept is not known:
        state = _with_events(state, state.events.with_event(kept))
    if state is before:
        return state
    if not isinstance(record.payload, Correction | Retraction) and record.clock > state.heard:
        state = replace(state, heard=record.clock)
    return _with_clock(state if _is_repeat(known, new) else _stated(state, record))


def _is_repeat(known: StoredEvent | None, new: StoredEvent) -> bool:
    """Say whether a version is sent again under a later number: the score it states is of its own time."""
    if known is None or new.version > known.version:
        return False
    return new.version == known.version or new.seq > known.seq


def _stored(state: MatchState, record: FeedRecord) -> StoredEvent:
    clock, payload = record.clock, record.payload
    if isinstance(payload, Correction):
        clock, payload = payload.clock, payload.event
    incident = None if isinstance(payload, Retraction | Odds | Tick | Snapshot | Correction | Prematch) else payload
    return StoredEvent(
        event_id=event_key(state, record.provider, record.event_id),
        version=record.version,
        provider=record.provider,
        seq=record.provider_seq,
        clock=clock,
        payload=incident,
        since=record.provider_seq,
        scored=is_goal(clock, incident),
    )


def _accounted(state: MatchState, record: FeedRecord, is_known: bool) -> MatchState:
    seen = _sequence(state, record.provider)
    now = sequences.account(seen, record.provider_seq, record.event_id, is_known)
    if now.restarted and not seen.restarted and record.provider == clock_provider(state.believed):
        state = replace(state, ticked_seq=0)  # its ticks count anew too
    return _with_sequence(state, record.provider, now)


def _stated(state: MatchState, record: FeedRecord) -> MatchState:
    """Remember what the provider says the score is after a goal; a correction says what it was then."""
    payload = record.payload
    if not isinstance(payload, SCORING) or payload.score is None or record.clock.period > 4:
        return state
    if state.stated is not None and state.stated.seq >= record.provider_seq:
        return state
    return replace(state, stated=Stated(seq=record.provider_seq, score=payload.score))


def _snapshot(state: MatchState, record: FeedRecord, snapshot: Snapshot) -> MatchState:
    """Take the provider's whole account up to its number: what it leaves out did not happen."""
    believed, provider, seq = state.believed, record.provider, record.provider_seq
    state = _accounted(state, record, is_known=True)
    seen = _sequence(state, provider)
    if provider not in (believed.events, believed.clock):
        return state
    now = sequences.healed(seen, seq)
    told = [
        _told(state, record, index, event)
        for index, event in enumerate(snapshot.events)
        if is_believed(believed, provider, event.event)
    ]
    if seen.restarted:
        state = _counted_anew(state, provider)
    if seen.restarted or seq >= seen.snapshot:
        events = told_anew(state.events, provider, told, None if seen.restarted else seq)
    else:
        events = told_late(state.events, told)
    state = _with_sequence(_with_events(state, events), provider, now)
    state = _with_clock(replace(state, heard=max(state.heard, record.clock)))
    is_older = state.stated is not None and state.stated.seq > seq and not seen.restarted
    if provider != believed.events or is_older:
        return state
    return replace(state, stated=Stated(seq=seq, score=snapshot.score))


def _told(state: MatchState, record: FeedRecord, index: int, told: SnapshotEvent) -> StoredEvent:
    return StoredEvent(
        event_id=event_key(state, record.provider, told.event_id),
        version=told.version,
        provider=record.provider,
        seq=record.provider_seq,
        clock=told.clock,
        payload=told.event,
        since=record.provider_seq,
        index=index,
        scored=is_goal(told.clock, told.event),
    )


def _counted_anew(state: MatchState, provider: str) -> MatchState:
    """Let the books and the clock of a provider be replaced by what it sends under its new numbers."""
    books, anchors = unnumbered(state.books, provider), unnumbered(state.anchors, provider)
    openings = unnumbered(state.openings, provider)
    is_clock = provider == clock_provider(state.believed)
    ticked_seq = 0 if is_clock else state.ticked_seq
    return replace(state, books=books, anchors=anchors, openings=openings, ticked_seq=ticked_seq)


def _sequence(state: MatchState, provider: str) -> Sequence:
    return state.sequences.get(provider, _UNSEEN)


def _with_sequence(state: MatchState, provider: str, now: Sequence) -> MatchState:
    if now is _sequence(state, provider):
        return state
    return replace(state, sequences={**state.sequences, provider: now})


def _with_events(state: MatchState, events: EventSet) -> MatchState:
    if events.decisive is state.events.decisive:
        return replace(state, events=events)
    decisive = events.decisive
    return replace(
        state,
        events=events,
        summary=summarise(decisive),
        whistled=course(decisive).clock,
        scored_seq=max((event.seq for event in decisive if event.scored), default=0),
        reached=max((event.clock.period for event in decisive if event.is_decisive), default=0),
    )


def _with_clock(state: MatchState) -> MatchState:
    """Set the clock by the last tick, or by the events of a provider that sends none; a whistle can be ahead of it."""
    clock = state.ticked if state.ticked != BEFORE_KICK_OFF else state.heard
    clock = state.whistled if state.summary.phase == "finished" else max(clock, state.whistled)
    return state if clock == state.clock else replace(state, clock=clock)
