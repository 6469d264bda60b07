"""Carries the log into history: predictions, feature snapshots, chain heads and feed events. A thin shell.

Its offsets are committed only behind durable rows, and every row is keyed, so doing a batch twice changes nothing.
"""

import logging
import threading
from collections.abc import Callable, Sequence

from msgspec import DecodeError

from actors.domain.errors import ForecastingError
from actors.domain.forecast import ChainHead, Forecast, Published, decode_published, feature_snapshot
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
        while not self._stop.is_set():
            try:
                self._consume(consumer)
            except ForecastingError as error:
                logger.warning("History writer begins anew", extra={"consumer": consumer, "problem": str(error)})
                self._stop.wait(_RETRY_S)

    def _consume(self, consumer: str) -> None:
        log, history = self._log(), self._history()
        copier = ForecastCopier(log, history) if consumer == "history-forecasts" else EventCopier(log, history)
        while not self._stop.is_set():
            copier.copy(_WAIT_S)
        log.close()


class EventCopier:
    """Copies the feed."""

    def __init__(self, log: EventLog, history: HistoryWriterPort) -> None:
        self._log, self._history = log, history
        self._next = _positions(log, FEED, history.offsets(FEED))

    def copy(self, wait_s: float) -> int:
        """Copy one batch; return how many records there were."""
        records = self._log.read(FEED, self._next, _BATCH, wait_s)
        if records:
            events = tuple(
                EventRow(match_id=r.key or "", partition=r.partition, offset=r.offset, value=r.value or b"")
                for r in records
            )
            self._history.write(HistoryBatch(events=events))
            _advance(self._next, records)
            self._history.commit(FEED, self._next)
        return len(records)


class ForecastCopier:
    """Copies what counts of the forecasts, by the readers' rule."""

    def __init__(self, log: EventLog, history: HistoryWriterPort) -> None:
        self._log, self._history = log, history
        self._accepted: dict[str, Accepted] = {}
        self._durable = _positions(log, FORECASTS, history.offsets(FORECASTS))
        self._next = self._rewound()

    def copy(self, wait_s: float) -> int:
        """Copy one batch; return how many records there were."""
        records = self._log.read(FORECASTS, self._next, _BATCH, wait_s)
        if not records:
            return 0
        counted = [kept for record in records if (kept := self._counts(record)) is not None]
        self._history.write(_batch(counted))
        _advance(self._next, records)
        for partition, offset in self._next.items():
            self._durable[partition] = max(self._durable.get(partition, 0), offset)
        self._history.commit(FORECASTS, self._durable)
        return len(records)

    def _counts(self, record: LogRecord) -> tuple[LogRecord, Published] | None:
        """Decode a record and apply the readers' rule; None if it does not count or is in history already."""
        try:
            published = decode_published(record.value or b"")
        except DecodeError as error:
            logger.error("Unreadable forecast record", extra={"offset": record.offset, "problem": str(error)})
            return None
        match_id = published.match_id
        self._accepted[match_id], counts = accept(self._accepted.get(match_id, NOTHING), published)
        is_new = record.offset >= self._durable.get(record.partition, 0)
        return (record, published) if counts and is_new else None

    def _rewound(self) -> dict[int, int]:
        """Begin where the matches under way began, to know their epochs again; their rows are skipped."""
        book = FixtureBook(self._log)
        book.refresh()
        starts = dict(self._durable)
        for fixture in book.fixtures.values():
            if fixture.lease is not None and fixture.status != "retired":
                partition, start = fixture.lease.partition, fixture.lease.forecasts_from
                starts[partition] = min(starts.get(partition, 0), start)
        return starts


def _batch(counted: Sequence[tuple[LogRecord, Published]]) -> HistoryBatch:
    forecasts = [(record, p) for record, p in counted if isinstance(p, Forecast)]
    heads = [p for _, p in counted if isinstance(p, ChainHead)]
    return HistoryBatch(
        predictions=tuple(_prediction_row(record, forecast) for record, forecast in forecasts),
        feature_snapshots=tuple({feature_snapshot(forecast.inputs) for _, forecast in forecasts}),
        heads=tuple(ChainHeadRow(match_id=h.match_id, seq=h.seq, count=h.count, row_hash=h.row_hash) for h in heads),
    )


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
