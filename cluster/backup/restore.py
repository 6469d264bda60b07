"""Restoring history beside a log.

A backup holds what the history writer had copied up to some offsets, and a restored writer must not skip what lies
behind them. So offsets are never taken from the backup. Where history has none, the writer begins with the first record
that the log still has, and copies what is there already once more, which changes nothing. Where history has some, they
are put back to those of the backup, if they are further: rows behind them may be what was lost. What was not restored,
feed records perhaps, keeps its offsets.

Offsets mean something beside one log only. Where the log here is another one, feed records from the backup would stand
where those of its own are to come (same partition, same offset), so they are left out.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from actors.domain.errors import OffsetOutOfRange
from actors.domain.ports import (
    FEED,
    FORECASTS,
    ChainHeadRow,
    EventLog,
    EventRow,
    HistoryBatch,
    HistoryWriterPort,
    ModelRow,
    PredictionRow,
)
from cluster.backup.file import Backup
from cluster.backup.tables import InputsRow, Row
from cluster.stores import AllHistory


class LogBeside(Struct, frozen=True, kw_only=True):
    """What the log beside the restored history is to the backup."""

    is_there: bool = False
    is_another: bool = False  # it is not as far as the backup's log was when the backup was made
    lost: tuple[str, ...] = ()  # what is neither in the backup nor in the log any more, in words

    @property
    def is_its_own(self) -> bool:
        """Whether it may be the log from which the backup's rows were copied."""
        return self.is_there and not self.is_another


def look_at_log(log: EventLog | None, offsets: Mapping[str, Mapping[int, int]]) -> LogBeside:
    """Compare a log with the offsets up to which a backup has copied one."""
    if log is None:
        return LogBeside()
    places = [(topic, *place) for topic in (FEED, FORECASTS) for place in sorted(offsets.get(topic, {}).items())]
    ends = {topic: log.end_offsets(topic) for topic in (FEED, FORECASTS)}
    if any(copied > ends[topic].get(partition, 0) for topic, partition, copied in places):
        return LogBeside(is_there=True, is_another=True)
    lost = [_lost(log, topic, partition, copied) for topic, partition, copied in places]
    return LogBeside(is_there=True, lost=tuple(words for words in lost if words))


def _lost(log: EventLog, topic: str, partition: int, copied: int) -> str:
    try:
        log.read(topic, {partition: copied}, 1, 0.0)
    except OffsetOutOfRange as gone:
        return f"{topic}/{partition}: offsets {copied} to {gone.first - 1}"
    return ""


def write_rows(
    history: AllHistory, backup: Backup, with_events: bool, progress: Callable[[int, int], None]
) -> dict[str, int]:
    """Write the rows of a backup; return how many of each table. Doing it again changes nothing.

    Args:
        progress: Is told how many rows were read, of how many.
    Raises:
        StoreUnavailable: Some of it may be there; doing it again is safe.
    """
    written, done, total = dict[str, int](), 0, sum(part.rows for part in backup.manifest.parts)
    for part, rows in backup.parts():
        if part.table != "events" or with_events:
            _write(history, rows)
            written[part.table] = written.get(part.table, 0) + len(rows)
        done += len(rows)
        progress(done, total)
    return written


def _write(history: AllHistory, rows: Sequence[Row]) -> None:
    for model in [row for row in rows if isinstance(row, ModelRow)]:
        history.write_model(model.version, model.manifest, model.content)
    history.write(
        HistoryBatch(
            predictions=tuple(row for row in rows if isinstance(row, PredictionRow)),
            feature_snapshots=tuple((row.snapshot_id, row.inputs) for row in rows if isinstance(row, InputsRow)),
            heads=tuple(row for row in rows if isinstance(row, ChainHeadRow)),
            events=tuple(row for row in rows if isinstance(row, EventRow)),
        )
    )


def put_back(
    history: HistoryWriterPort, consumers: Sequence[str], saved: Mapping[str, Mapping[int, int]]
) -> dict[str, dict[int, int]]:
    """Let the history writer copy again what lies behind the backup; return {consumer: {partition: next offset}}.

    Only what is further than what was saved is put back; a partition of which nothing was saved begins anew.
    """
    changed: dict[str, dict[int, int]] = {}
    for consumer in consumers:
        known, now = saved.get(consumer, {}), history.offsets(consumer)
        back = {partition: known.get(partition, 0) for partition in now if now[partition] > known.get(partition, 0)}
        if back:
            history.commit(consumer, back)
            changed[consumer] = back
    return changed


def moved_meanwhile(history: HistoryWriterPort, put: Mapping[str, Mapping[int, int]]) -> bool:
    """Say whether somebody committed other offsets behind `put_back`: a history writer that runs."""
    return any(
        history.offsets(consumer).get(partition) != offset
        for consumer, back in put.items()
        for partition, offset in back.items()
    )
