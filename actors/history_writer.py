"""Carries the log into history: predictions, feature snapshots, chain heads and feed events. A thin shell.

Its offsets are committed only behind durable rows, and every row is keyed, so doing a batch twice changes nothing.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import DecodeError

from actors.domain.errors import ForecastingError, OffsetOutOfRange
from actors.domain.fixtures import Fixture
from actors.domain.forecast import ChainHead, EpochOpen, Forecast, Published, decode_published, feature_snapshot
from actors.domain.ports import (
    FEED,
    FORECASTS,
    ChainHeadRow,
    EventLog,
    EventRow,
    HistoryBatch,
    HistoryWriterPort,
    LogRecord,
    PredictionRow,
)
from actors.domain.published import NOTHING, Accepted, accept
from actors.supervisor import FixtureBook

logger = logging.getLogger("touchline.history")

_BATCH = 500
_WAIT_S = 1.0
_RETRY_S = 1.0
_GATHER_S = 0.2  # behind a batch that was not full: each costs two transactions, whatever is in it
_MATCHES = 10_000  # of which it is known what counts: those heard last, and one with an owner is heard all the time
_KEY_MOST = 1_000  # characters: a key of any length can be appended, and one batch must not stop history for ever
_OVERLAP = timedelta(hours=48)  # matches that kick off further apart are not under way at the same time


class HistoryWriter:
    """Two consumers of the log, each in a thread of its own."""

    def __init__(self, log: Callable[[], EventLog], history: Callable[[], HistoryWriterPort]) -> None:
        self._log, self._history = log, history
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(consumer,), name=consumer, daemon=True)
            for consumer in ("history-forecasts", "history-feed")
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both consumers behind their last batch."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _run(self, consumer: str) -> None:
        opened: tuple[EventLog, HistoryWriterPort] | None = None
        while not self._stop.is_set():
            try:
                opened = opened or (self._log(), self._history())
                self._consume(consumer, *opened)
            except ForecastingError as error:
                logger.warning("History writer begins anew", extra={"consumer": consumer, "problem": str(error)})
            except Exception:  # whatever it was, history must go on being written
                logger.exception("History writer begins anew", extra={"consumer": consumer})
            self._stop.wait(_RETRY_S)
        if opened is not None:
            opened[0].close()

    def _consume(self, consumer: str, log: EventLog, history: HistoryWriterPort) -> None:
        copier = ForecastCopier(log, history) if consumer == "history-forecasts" else EventCopier(log, history)
        while not self._stop.is_set():
            if copier.copy(_WAIT_S) < _BATCH:
                self._stop.wait(_GATHER_S)


class EventCopier:
    """Copies the feed."""

    def __init__(self, log: EventLog, history: HistoryWriterPort) -> None:
        self._log, self._history = log, history
        self._next = _positions(log, FEED, history.offsets(FEED))
        self._cut: set[int] = set()

    def copy(self, wait_s: float) -> int:
        """Copy one batch; return how many records there were."""
        records = _read(self._log, FEED, self._next, self._cut, wait_s)
        if records:
            events = tuple(map(_event_row, records))
            self._history.write(HistoryBatch(events=events))
            _advance(self._next, records)
            self._history.commit(FEED, self._next)
        return len(records)


class ForecastCopier:
    """Copies what counts of the forecasts, by the readers' rule.

    A match counts from its first marker on, which comes before anything else of it: this reader begins in front of the
    markers of all matches that may be under way, so whoever speaks without one is a zombie of a match long over.
    """

    def __init__(self, log: EventLog, history: HistoryWriterPort) -> None:
        self._log, self._history = log, history
        self._accepted: dict[str, Accepted] = {}  # in the order in which they were heard last
        self._durable = _positions(log, FORECASTS, history.offsets(FORECASTS))
        self._next = _rewound(log, self._durable)
        self._cut: set[int] = set()  # partitions of which retention has taken the beginning, markers included

    def copy(self, wait_s: float) -> int:
        """Copy one batch; return how many records there were.

        Raises:
            StoreUnavailable: The log or history did not answer; copying again repeats the batch.
        """
        records = _read(self._log, FORECASTS, self._next, self._cut, wait_s)
        if not records:
            return 0
        heard: dict[str, Accepted] = {}
        counted = [kept for record in records if (kept := self._counts(record, heard)) is not None]
        self._history.write(_batch(counted))
        self._remember(heard)
        _advance(self._next, records)
        for partition, offset in self._next.items():
            self._durable[partition] = max(self._durable.get(partition, 0), offset)
        self._history.commit(FORECASTS, self._durable)
        return len(records)

    def _counts(self, record: LogRecord, heard: dict[str, Accepted]) -> tuple[LogRecord, Published] | None:
        """Decode a record and apply the readers' rule; None if it does not count or is in history already."""
        try:
            published = decode_published(record.value or b"")
        except DecodeError as error:
            logger.error("Unreadable forecast record", extra={"offset": record.offset, "problem": str(error)})
            return None
        match_id = published.match_id
        known = heard.get(match_id) or self._accepted.get(match_id)
        if known is None and not isinstance(published, EpochOpen) and record.partition not in self._cut:
            return None
        heard[match_id], counts = accept(known or NOTHING, published)
        is_new = record.offset >= self._durable.get(record.partition, 0)
        return (record, published) if counts and is_new else None

    def _remember(self, heard: dict[str, Accepted]) -> None:
        for match_id, accepted in heard.items():
            self._accepted.pop(match_id, None)
            self._accepted[match_id] = accepted
        for match_id in list(self._accepted)[: max(0, len(self._accepted) - _MATCHES)]:
            del self._accepted[match_id]


def _read(log: EventLog, topic: str, positions: dict[int, int], cut: set[int], wait_s: float) -> list[LogRecord]:
    """Read on; where retention was faster, go on at the first record that is left, and note the partition in `cut`."""
    while True:
        try:
            return log.read(topic, positions, _BATCH, wait_s)
        except OffsetOutOfRange as gone:
            if gone.first <= positions[gone.partition]:  # behind the end: history was written from another log
                raise
            logger.warning("Retention was faster than history", extra={"problem": str(gone)})
            positions[gone.partition] = gone.first
            cut.add(gone.partition)


def _rewound(log: EventLog, durable: dict[int, int]) -> dict[int, int]:
    """Return where to begin so that every match is read from its first marker; what is in history is skipped."""
    book = FixtureBook(log)
    book.refresh()
    starts = dict(durable)
    for partition, end in durable.items():
        leased = [f for f in book.fixtures.values() if f.lease is not None and f.lease.partition == partition]
        begun = [f for f in leased if _begins(f) <= end]
        starts[partition] = min([end, *(_begins(f) for f in _under_way(begun))])
    return starts


def _under_way(begun: Sequence[Fixture]) -> list[Fixture]:
    """Return those matches of one partition that may not be over, retired by now or not."""
    if not begun:
        return []
    last = max(begun, key=_begins)
    return [
        fixture
        for fixture in begun
        if fixture is last
        or fixture.status != "retired"
        or (fixture.lease is not None and fixture.lease.shared and last.kick_off - fixture.kick_off < _OVERLAP)
    ]


def _begins(fixture: Fixture) -> int:
    return fixture.lease.forecasts_from if fixture.lease else 0


def _batch(counted: Sequence[tuple[LogRecord, Published]]) -> HistoryBatch:
    forecasts = [(record, p) for record, p in counted if isinstance(p, Forecast)]
    heads = [p for _, p in counted if isinstance(p, ChainHead)]
    return HistoryBatch(
        predictions=tuple(_prediction_row(record, forecast) for record, forecast in forecasts),
        feature_snapshots=tuple({feature_snapshot(forecast.inputs) for _, forecast in forecasts}),
        heads=tuple(ChainHeadRow(match_id=h.match_id, seq=h.seq, count=h.count, row_hash=h.row_hash) for h in heads),
    )


def _event_row(record: LogRecord) -> EventRow:
    key = (record.key or "")[:_KEY_MOST]
    return EventRow(match_id=key, partition=record.partition, offset=record.offset, value=record.value or b"")


def _prediction_row(record: LogRecord, forecast: Forecast) -> PredictionRow:
    return PredictionRow(
        prediction_id=forecast.prediction_id,
        match_id=forecast.match_id,
        seq=forecast.seq,
        model_version=forecast.model_version,
        feature_snapshot_id=forecast.feature_snapshot_id,
        prev_hash=forecast.prev_hash,
        row_hash=forecast.row_hash,
        forecast=record.value or b"",
    )


def _positions(log: EventLog, topic: str, committed: dict[int, int]) -> dict[int, int]:
    return {partition: committed.get(partition, 0) for partition in log.end_offsets(topic)}


def _advance(positions: dict[int, int], records: Sequence[LogRecord]) -> None:
    for record in records:
        positions[record.partition] = record.offset + 1
