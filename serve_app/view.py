"""What this replica knows: the latest forecast and pulse of every match, kept current from `forecasts.v1`."""

import logging
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from actors.domain.events import Clock
from actors.domain.fixtures import Fixture, decode_fixture
from actors.domain.forecast import Forecast, Published, Pulse, decode_published
from actors.domain.ports import FIXTURES, FORECASTS, EventLog, LiveView, LogRecord, ViewEntry
from actors.domain.published import NOTHING, Accepted, accept
from actors.domain.summary import Phase
from serve_app.body import Shown, changed_keys, show
from serve_app.conflate import is_decisive
from serve_app.counters import Counters
from serve_app.freshness import NEVER_S, Freshness, Heard, freshness, hear
from serve_app.tail import Tail

logger = logging.getLogger(__name__)
FORGET_EVERY_S = 10.0


@dataclass(slots=True)
class Known:
    """What is known of one match. Written by the reader's thread only; each field is replaced, never changed."""

    first_offset: int | None = None  # of its first forecast that was read here; its owner's marker lies before it
    accepted: Accepted = NOTHING
    shown: Shown | None = None
    heard: Heard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One accepted forecast, as push needs it."""

    shown: Shown
    keys: frozenset[str]  # top-level keys that changed
    is_first: bool
    decisive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one read brought; `positions` are those behind it."""

    positions: dict[int, int]
    updates: tuple[Update, ...] = ()
    forgotten: tuple[str, ...] = ()
    lost: str | None = None  # why records are missing, if some are


class FixtureReader:
    """All fixtures by match id, kept current from `fixtures.v1`; of the retired ones, the last `most_retired`."""

    def __init__(
        self, log: EventLog, *, monotonic: Callable[[], float], now: Callable[[], datetime], most_retired: int
    ) -> None:
        self._fixtures: dict[str, Fixture] = {}
        self._monotonic, self._now, self._most_retired = monotonic, now, most_retired
        self._retired_at: dict[str, float] = {}  # in the order of retirement
        self.tail = Tail(log, FIXTURES, self._take, monotonic=monotonic)

    def get(self, match_id: str) -> Fixture | None:
        return self._fixtures.get(match_id)

    def all(self) -> list[Fixture]:
        return list(self._fixtures.values())

    def retired_for_s(self, match_id: str) -> float | None:
        """Return how long ago a match was retired, None if it was not. By the log's own stamp where it is read late."""
        at_s = self._retired_at.get(match_id)
        return None if at_s is None else self._monotonic() - at_s

    def _take(self, records: list[LogRecord], prompt: bool) -> None:
        for record in records:
            if record.value is None:
                self._drop(record.key or "")
                continue
            try:
                fixture = decode_fixture(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                logger.warning("Fixture not readable", extra={"offset": record.offset, "cause": str(error)})
                continue
            self._fixtures[fixture.match_id] = fixture
            if fixture.status == "retired":
                age_s = 0.0 if prompt else max(0.0, (self._now() - record.appended_at).total_seconds())
                self._retired_at.setdefault(fixture.match_id, self._monotonic() - age_s)
            else:
                self._retired_at.pop(fixture.match_id, None)
        for match_id in list(self._retired_at)[: max(0, len(self._retired_at) - self._most_retired)]:
            self._drop(match_id)

    def _drop(self, match_id: str) -> None:
        self._fixtures.pop(match_id, None)
        self._retired_at.pop(match_id, None)


@dataclass(slots=True)
class _Index:
    """Which offsets of a partition hold accepted forecasts, from `first` on."""

    first: int
    offsets: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, offset: int, keep: int) -> None:
        self.offsets.append(offset)
        if len(self.offsets) > 2 * keep:
            kept = self.offsets[keep:]
            self.first = kept[0]  # first of the two: who finds an offset missing then sees the new horizon too
            self.offsets = kept

    def reaches(self, offset: int) -> bool:
        offsets = self.offsets
        return len(offsets) > 0 and offsets[-1] >= offset

    def __contains__(self, offset: int) -> bool:
        offsets = self.offsets
        at = bisect_left(offsets, offset)
        return at < len(offsets) and offsets[at] == offset


class ForecastReader:
    """Follows `forecasts.v1` by the readers' rule; feeds the live view and whoever listens.

    Its thread writes, everybody may read: values are replaced whole. The log is read from `backlog` records before its
    end, so a position older than that cannot be resumed here.
    """

    def __init__(
        self,
        log: EventLog,
        view: LiveView,
        fixtures: FixtureReader,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        backlog: int,
        forget_after_s: float,
        most_forgotten: int,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self._most_forgotten = most_forgotten
        self._view, self._fixtures, self._monotonic, self._now = view, fixtures, monotonic, now
        self._backlog, self._forget_after_s = backlog, forget_after_s
        self._known: dict[str, Known] = {}
        self._index: dict[int, _Index] = {}
        self._forget_at_s = monotonic() + FORGET_EVERY_S
        self._listeners: list[Callable[[Batch], None]] = []
        self.tail = Tail(log, FORECASTS, self._take, monotonic=monotonic, backlog=backlog, on_lost=self._lost)

    def listen(self, listener: Callable[[Batch], None]) -> None:
        """Call `listener` in the reader's thread with every batch from now on."""
        self._listeners.append(listener)

    def matches(self) -> list[str]:
        """Return the ids of all matches that have a forecast to show."""
        return [match_id for match_id, known in list(self._known.items()) if known.shown is not None]

    def shown(self, match_id: str) -> Shown | None:
        known = self._known.get(match_id)
        return known.shown if known else None

    def freshness(self, match_id: str) -> Freshness:
        """Return how fresh the match's latest forecast is now."""
        known, now_s = self._known.get(match_id), self._monotonic()
        shown, heard = (known.shown, known.heard) if known else (None, None)
        return freshness(
            heard,
            phase=self.phase(match_id),
            retired=self._fixtures.retired_for_s(match_id) is not None,
            age_s=now_s - shown.since_s if shown else 0.0,
            now_s=now_s,
        )

    def phase(self, match_id: str) -> Phase:
        """Return the newest known phase: the pulse's, if it knows more than the forecast."""
        pulse, shown = self._newest(match_id)
        return pulse.phase if pulse else shown.forecast.phase if shown else "scheduled"

    def clock(self, match_id: str) -> Clock | None:
        """Return the newest known match clock."""
        pulse, shown = self._newest(match_id)
        return pulse.clock if pulse else shown.forecast.as_of.clock if shown else None

    def first_offset(self, match_id: str) -> int | None:
        """Return the offset of a match's first forecast that was read here."""
        known = self._known.get(match_id)
        return known.first_offset if known else None

    def horizon(self, partition: int) -> int:
        """Return the offset from which on this reader knows what counts in a partition."""
        index = self._index.get(partition)
        return index.first if index else self.tail.began_at.get(partition, 0)

    def counts(self, partition: int, offset: int) -> bool:
        """Say whether the record at an offset is an accepted forecast."""
        index = self._index.get(partition)
        return index is not None and offset in index

    def counts_from(self, partition: int, offset: int) -> bool:
        """Say whether any record from an offset on is an accepted forecast; pulses alone need not be read again."""
        index = self._index.get(partition)
        return index is not None and index.reaches(offset)

    def _newest(self, match_id: str) -> tuple[Pulse | None, Shown | None]:
        known = self._known.get(match_id)
        if known is None:
            return None, None
        heard, shown = known.heard, known.shown
        knows_more = heard is not None and (shown is None or heard.pulse.offset >= shown.entry.seq)
        return heard.pulse if heard and knows_more else None, shown

    def _take(self, records: list[LogRecord], prompt: bool) -> None:
        updates = []
        for record in records:
            try:
                published = self._read(record)
                if published is not None and (update := self._apply(record, published, prompt)):
                    updates.append(update)
            except Exception as error:  # one record that breaks us must not end the updates of every match
                logger.exception("Published record not applied")
                self._reject(record, repr(error))
        self._tell(Batch(positions=self.tail.positions, updates=tuple(updates), forgotten=self._forget_retired()))

    def _read(self, record: LogRecord) -> Published | None:
        if record.problem is not None:
            self._reject(record, record.problem)
        if not record.value:
            return None
        try:
            published = decode_published(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._reject(record, str(error))
            return None
        if published.match_id != record.key:
            self._reject(record, f"the key is {record.key!r}, the record is of {published.match_id!r}")
            return None
        return published

    def _reject(self, record: LogRecord, cause: str) -> None:
        self._counters.count("record_unreadable")
        extra = {"partition": record.partition, "offset": record.offset, "cause": cause}
        logger.warning("Published record not readable", extra=extra)

    def _apply(self, record: LogRecord, published: Published, prompt: bool) -> Update | None:
        known = self._known.get(published.match_id)
        if known is None:
            known = self._known[published.match_id] = Known()
        known.accepted, accepted = accept(known.accepted, published)
        if not accepted:
            return None
        match published:
            case Forecast() as forecast:
                return self._show(known, record, forecast, prompt)
            case Pulse() as pulse:
                known.heard = self._hear(known, pulse, prompt)
        return None

    def _hear(self, known: Known, pulse: Pulse, prompt: bool) -> Heard:
        has_gap = known.shown is not None and known.shown.forecast.status == "GAP"
        return hear(known.heard, pulse, at_s=self._monotonic() if prompt else NEVER_S, has_gap=has_gap)

    def _show(self, known: Known, record: LogRecord, forecast: Forecast, prompt: bool) -> Update:
        before = known.shown
        known.first_offset = record.offset if known.first_offset is None else known.first_offset
        entry = ViewEntry(
            match_id=forecast.match_id,
            epoch=forecast.epoch,
            seq=forecast.seq,
            partition=record.partition,
            offset=record.offset,
            value=record.value or b"",
        )
        age_s = 0.0 if prompt else max(0.0, (self._now() - record.appended_at).total_seconds())
        known.shown = shown = show(entry, forecast, self._monotonic() - age_s)
        if record.partition not in self._index:
            self._index[record.partition] = _Index(first=self.horizon(record.partition))
        self._index[record.partition].add(record.offset, self._backlog)
        self._view.put(entry)
        return Update(
            shown=shown,
            keys=changed_keys(before.parts if before else None, shown.parts),
            is_first=before is None,
            decisive=is_decisive(before.forecast if before else None, forecast),
        )

    def _forget_retired(self) -> tuple[str, ...]:
        now_s = self._monotonic()
        if now_s < self._forget_at_s:
            return ()
        self._forget_at_s = now_s + FORGET_EVERY_S
        gone = [m for m in self.matches() if (self._fixtures.retired_for_s(m) or 0.0) > self._forget_after_s]
        for match_id in gone:  # what was accepted stays, so that a zombie cannot bring it back
            self._known[match_id].shown = self._known[match_id].heard = None
            self._view.forget(match_id)
        forgotten = [match_id for match_id, known in self._known.items() if known.shown is None and known.heard is None]
        for match_id in forgotten[: max(0, len(forgotten) - self._most_forgotten)]:
            del self._known[match_id]
        return tuple(gone)

    def _lost(self, partition: int, first: int) -> None:
        self._index[partition] = _Index(first=first)
        lost = f"partition {partition} now starts at {first}" if self.tail.caught_up else None
        self._tell(Batch(positions=self.tail.positions, lost=lost))

    def _tell(self, batch: Batch) -> None:
        for listener in self._listeners:
            listener(batch)
