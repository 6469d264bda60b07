"""The match fold: one record at a time, pure. Same log, same state, same hash."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.errors import RecordRejected
from actors.domain.event_set import EventSet, StoredEvent
from actors.domain.events import (
    Correction,
    FeedRecord,
    KickOff,
    Lineups,
    Odds,
    Retraction,
    Snapshot,
    Substitution,
    Tick,
    decode_record,
)
from actors.domain.match import Book, MatchState, Sequence, Stated
from actors.domain.summary import SCORING, summarise
from actors.machines import sequence as sequences
from actors.machines.status import visible

FORECAST_EVERY_MS = 5_000  # of match time, while nothing else moves the numbers
_HARMLESS = ("ball", "odds", "tick")  # a record of these kinds changes neither score nor cards nor phase
_NOT_OURS = ("unknown_provider", "wrong_key", "wrong_partition")  # says nothing about this match
_TEAM = 11


class Entry(Struct, frozen=True, kw_only=True):
    """One record of the match's partition as it stands in the log."""

    offset: int
    key: str | None
    value: bytes | None


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
    _check(state, record)
    after = replace(_apply(state, offset, record), offset=offset)
    return after, _effects(state, after, record.kind)


def fold(state: MatchState, records: Iterable[FeedRecord]) -> MatchState:
    """Fold decoded records without a log, numbering them from the state's offset on."""
    for offset, record in enumerate(records, start=state.offset + 1):
        try:
            state, _ = step_record(state, offset, record)
        except RecordRejected as rejection:
            state, _ = _refuse(state, offset, rejection)
    return state


def _effects(before: MatchState, after: MatchState, kind: str) -> tuple[Effect, ...]:
    due = before.offset < 0 or _looks_different(before, after) or (kind == "tick" and _passed_a_multiple(before, after))
    return (Reforecast(trigger=kind),) if due else ()


def _looks_different(before: MatchState, after: MatchState) -> bool:
    if before.summary is after.summary and before.books is after.books and before.sequences is after.sequences:
        return False  # nothing that a reader sees can have moved
    return visible(before) != visible(after)


def _passed_a_multiple(before: MatchState, after: MatchState) -> bool:
    if after.summary.phase != "live" or after.ticked.period > 2:
        return False
    old, new = before.ticked, after.ticked
    return (new.period, new.ms // FORECAST_EVERY_MS) > (old.period, old.ms // FORECAST_EVERY_MS)


def _check(state: MatchState, record: FeedRecord) -> None:
    """Refuse what cannot be about this match, whatever else is known."""
    believed, payload = state.believed, record.payload
    if record.match_id != state.match_id:
        raise _rejected(record, "wrong_partition", f"{record.match_id!r} on the partition of {state.match_id!r}")
    if record.provider not in (believed.events, believed.clock, *believed.odds):
        raise _rejected(record, "unknown_provider", f"{record.provider!r} is not believed for anything here")
    match payload:
        case Lineups() as sheet:
            if sheet.home_team == state.away.name and sheet.away_team == state.home.name != sheet.home_team:
                raise _rejected(record, "teams_swapped", f"home is {state.home.name!r}, not {sheet.home_team!r}")
            if any(sum(p.starter for p in side) > _TEAM for side in (sheet.home, sheet.away)):
                raise _rejected(record, "too_many_players", f"more than {_TEAM} players start")
        case Substitution(player_on=on, player_off=off) if on is not None and on == off:
            raise _rejected(record, "nonsense", f"player {on!r} replaces himself")
        case KickOff() if state.summary.phase == "finished" and record.version == 1 and _is_new(state, record):
            raise _rejected(record, "match_is_over", "a kick-off after full time: the match id was used before")
        case payload if isinstance(payload, SCORING) and record.clock.period == 0:
            raise _rejected(record, "clock", "a goal before kick-off")


def _rejected(record: FeedRecord, reason: str, detail: str) -> RecordRejected:
    return RecordRejected(reason, detail, record.kind, record.provider, record.provider_seq)


def _is_new(state: MatchState, record: FeedRecord) -> bool:
    return state.events.get(record.event_id) is None


def _refuse(state: MatchState, offset: int, rejection: RecordRejected) -> tuple[MatchState, tuple[Effect, ...]]:
    """Note a record that cannot be used; if it could have mattered, only a snapshot restores trust."""
    rejected = {**state.rejected, rejection.reason: state.rejected.get(rejection.reason, 0) + 1}
    after = replace(state, offset=offset, rejected=rejected)
    provider = rejection.provider or state.believed.events or state.believed.clock
    if provider and rejection.reason not in _NOT_OURS:
        seen = state.sequences.get(provider, Sequence())
        account = sequences.advance if rejection.kind in _HARMLESS else sequences.lose
        after = replace(after, sequences={**state.sequences, provider: account(seen, rejection.provider_seq)})
    letter = DeadLetter(reason=rejection.reason, detail=rejection.detail)
    return after, (letter, *_effects(state, after, "rejected"))


def _apply(state: MatchState, offset: int, record: FeedRecord) -> MatchState:
    believed = state.believed
    match record.payload:
        case Tick():
            return _tick(state, record) if record.provider == believed.clock else state
        case Odds() as odds:
            return _odds(state, offset, record, odds) if record.provider in believed.odds else state
        case Snapshot() as snapshot:
            return _snapshot(state, record, snapshot) if record.provider == believed.events else state
        case _:
            return _event(state, record)


def _tick(state: MatchState, record: FeedRecord) -> MatchState:
    seen = state.sequences.get(record.provider, Sequence())
    now = sequences.alive(seen, record.provider_seq)
    if now is not seen:
        state = replace(state, sequences={**state.sequences, record.provider: now})
    if state.summary.phase == "finished":
        return state
    return replace(state, clock=max(state.clock, record.clock), ticked=max(state.ticked, record.clock))


def _odds(state: MatchState, offset: int, record: FeedRecord, odds: Odds) -> MatchState:
    """Take the book if it is the newest of its market by the provider's own count."""
    seen = state.sequences.get(record.provider, Sequence())
    restarted = record.provider_seq + sequences.REORDER_WINDOW < seen.last
    now = sequences.advance(seen, record.provider_seq)
    if restarted or now.is_lost:  # each record is the whole book: what went missing before it is of no more use
        now = Sequence(last=record.provider_seq)
    state = replace(state, sequences={**state.sequences, record.provider: now})
    book = Book(
        provider=record.provider,
        bookmaker=odds.bookmaker,
        selections=odds.selections,
        prices=odds.prices,
        line=odds.line,
        suspended=odds.suspended,
        in_play=record.clock.period > 0,
        seq=record.provider_seq,
        clock=record.clock,
        offset=offset,
        occurred_at=record.occurred_at,
    )
    key = odds.market if odds.line is None else f"{odds.market} {odds.line:g}"
    if restarted or _is_newer(book, state.books.get(key)):
        state = replace(state, books={**state.books, key: book})
    if not book.in_play and any(book.prices) and _is_newer(book, state.anchors.get(key)):
        state = replace(state, anchors={**state.anchors, key: book})
    return state


def _is_newer(book: Book, old: Book | None) -> bool:
    return old is None or old.provider != book.provider or old.seq < book.seq


def _event(state: MatchState, record: FeedRecord) -> MatchState:
    """Take an event, its correction or its retraction; the newest version counts, in whatever order they come."""
    if record.provider not in (state.believed.events, state.believed.clock):
        return state
    known = state.events.get(_event_key(state, record))
    state = _account(state, record, is_known=known is not None and known.version >= record.version)
    if known is not None and known.version >= record.version:
        return state
    stored = _stored(state, record)
    state = _with_events(state, state.events.with_event(stored))
    if not isinstance(record.payload, Correction | Retraction):
        state = replace(state, clock=max(state.clock, record.clock))
    return _scored(state, record, known)


def _event_key(state: MatchState, record: FeedRecord) -> str:
    """Return the id under which an event is kept: ids are unique per provider only."""
    own = record.provider == state.believed.events
    return record.event_id if own else f"{record.provider}/{record.event_id}"


def _stored(state: MatchState, record: FeedRecord) -> StoredEvent:
    clock, payload = record.clock, record.payload
    if isinstance(payload, Correction):
        clock, payload = payload.clock, payload.event
    incident = None if isinstance(payload, Retraction | Odds | Tick | Snapshot | Correction) else payload
    key = _event_key(state, record)
    return StoredEvent(key, record.version, record.provider, record.provider_seq, clock, incident)


def _account(state: MatchState, record: FeedRecord, is_known: bool) -> MatchState:
    """Advance the provider's sequence; a used number on an unknown event means that it began to count anew."""
    seen = state.sequences.get(record.provider, Sequence())
    if sequences.is_new(seen, record.provider_seq):
        now = sequences.advance(seen, record.provider_seq)
    else:
        now = seen if is_known else replace(seen, restarted=True)
    return state if now is seen else replace(state, sequences={**state.sequences, record.provider: now})


def _with_events(state: MatchState, events: EventSet) -> MatchState:
    if events.decisive is state.events.decisive:
        return replace(state, events=events)
    return replace(state, events=events, summary=summarise(events.decisive))


def _scored(state: MatchState, record: FeedRecord, known: StoredEvent | None) -> MatchState:
    """Remember what the provider says the score is, and which record last could have changed it."""
    payload = record.payload.event if isinstance(record.payload, Correction) else record.payload
    if isinstance(payload, SCORING) or (known is not None and isinstance(known.payload, SCORING)):
        state = replace(state, scored_seq=max(state.scored_seq, record.provider_seq))
    score = payload.score if isinstance(payload, SCORING) else None
    if score is None or (state.stated is not None and state.stated.seq > record.provider_seq):
        return state
    return replace(state, stated=Stated(seq=record.provider_seq, score=score))


def _snapshot(state: MatchState, record: FeedRecord, snapshot: Snapshot) -> MatchState:
    """Take the provider's whole account up to its number: what it leaves out did not happen."""
    seen = state.sequences.get(record.provider, Sequence())
    state = _with_events(state, _told_anew(state.events, record, snapshot, seen.restarted))
    state = replace(
        state,
        sequences={**state.sequences, record.provider: sequences.healed(seen, record.provider_seq)},
        clock=max(state.clock, record.clock),
        scored_seq=0 if seen.restarted else state.scored_seq,
    )
    if not seen.restarted and state.stated is not None and state.stated.seq > record.provider_seq:
        return state
    return replace(state, stated=Stated(seq=record.provider_seq, score=snapshot.score))


def _told_anew(events: EventSet, record: FeedRecord, snapshot: Snapshot, restarted: bool) -> EventSet:
    """Return the events as the snapshot has them, and those that came after it was taken."""
    named = {event.event_id for event in snapshot.events}
    for old in events.decisive:
        covered = old.provider == record.provider and (restarted or old.seq <= record.provider_seq)
        if covered and old.event_id not in named:
            events = events.with_event(replace(old, payload=None))
    for told in snapshot.events:
        known = events.get(told.event_id)
        if known is not None and known.version > told.version:
            continue
        seq = record.provider_seq if known is None or restarted else known.seq
        events = events.with_event(
            StoredEvent(told.event_id, told.version, record.provider, seq, told.clock, told.event)
        )
    return events
