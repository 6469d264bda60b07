"""History in Cassandra: predictions, their inputs and chain heads, and the feed. The tables: cluster/schema/.

Rows come one by one, and yet readers may rely on their order: rows of one partition go as one mutation, which appears
whole or not at all, and what must appear later is sent when what must be there first is durable.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from actors.adapters import cassandra_tables as tables
from actors.adapters.cassandra_records import RECORDS, CassandraRecords
from actors.adapters.cassandra_requests import Task, reading, writing
from actors.adapters.cassandra_session import CassandraConnection
from actors.adapters.cassandra_tables import bucket_of, by_key, first_of_each, match_shard, mutations
from actors.domain.ports import ChainHeadRow, EventRow, HistoryBatch, PredictionRow
from conf.stores import CassandraStoreConfig

_MOST_ROWS = 2**31 - 1  # what LIMIT takes


class CassandraHistory(CassandraRecords):
    """HistoryWriterPort and History, and with its base all of history. Threads may share one."""

    def __init__(self, config: CassandraStoreConfig, at_once: bool = True) -> None:
        """Connect now, or else at the first request: see CassandraConnection."""
        super().__init__(CassandraConnection(config, (*tables.HISTORY, *tables.SCANS, *RECORDS), at_once))

    def write(self, batch: HistoryBatch) -> None:
        """Write in three steps, each durable before the next: inputs and where to look, rows, what points at them.

        Blocks while too much is under way, so that whoever reads the log for us reads no faster than we write.
        """
        stays = self._connection.first_stays.timestamp()
        self._connection.run("write", [*self._inputs(batch, stays), *self._buckets(batch)])
        self._connection.run("write", [*self._predictions(batch, stays), *self._events(batch)])
        self._connection.run("write", [*self._ids(batch, stays), *self._heads(batch, stays)])

    def _inputs(self, batch: HistoryBatch, stays: int) -> Iterator[Task[None]]:
        for snapshot_id, inputs in first_of_each(batch.feature_snapshots, lambda row: row[0]):
            yield writing([self._connection.bound(tables.WRITE_INPUTS, snapshot_id, inputs, stays)])

    def _buckets(self, batch: HistoryBatch) -> Iterator[Task[None]]:
        """All buckets of a match in one mutation: a reader that knows a later one knows the earlier ones."""
        for match_id, rows in by_key(batch.predictions, lambda row: row.match_id).items():
            buckets = sorted({bucket_of(row.seq) for row in rows})
            shard = match_shard(match_id)
            found = [self._connection.bound(tables.WRITE_MATCH, shard, match_id, bucket) for bucket in buckets]
            yield writing(mutations(found))
        for place, events in by_key(batch.events, lambda row: (row.match_id, row.partition)).items():
            buckets = sorted({bucket_of(row.offset) for row in events})
            found = [self._connection.bound(tables.WRITE_EVENT_BUCKET, *place, bucket) for bucket in buckets]
            yield writing(mutations(found))

    def _predictions(self, batch: HistoryBatch, stays: int) -> Iterator[Task[None]]:
        rows = first_of_each(batch.predictions, lambda row: (row.match_id, row.seq))
        rows.sort(key=lambda row: row.seq)
        for of_match in by_key(rows, lambda row: row.match_id).values():
            yield self._in_order(of_match, lambda row: row.seq, lambda row: self._prediction(row, stays))

    def _prediction(self, row: PredictionRow, stays: int) -> Any:
        return self._connection.bound(
            tables.WRITE_PREDICTION,
            bucket_of(row.seq),
            row.seq,
            row.prediction_id,
            row.match_id,
            row.model_version,
            row.feature_snapshot_id,
            row.prev_hash,
            row.row_hash,
            row.forecast,
            stays,
        )

    def _events(self, batch: HistoryBatch) -> Iterator[Task[None]]:
        rows = sorted(batch.events, key=lambda row: row.offset)
        for of_match in by_key(rows, lambda row: (row.match_id, row.partition)).values():
            yield self._in_order(of_match, lambda row: row.offset, self._event)

    def _event(self, row: EventRow) -> Any:
        return self._connection.bound(
            tables.WRITE_EVENT, row.match_id, row.partition, bucket_of(row.offset), row.offset, row.value
        )

    def _in_order(
        self, rows: Sequence[Any], position: Callable[[Any], int], statement: Callable[[Any], Any]
    ) -> Task[None]:
        """Write sorted rows of a match bucket by bucket, mutation by mutation."""
        for of_bucket in by_key(rows, lambda row: bucket_of(position(row))).values():
            yield from writing(mutations([statement(row) for row in of_bucket]))

    def _ids(self, batch: HistoryBatch, stays: int) -> Iterator[Task[None]]:
        for row in first_of_each(batch.predictions, lambda row: row.prediction_id):
            pointer = self._connection.bound(tables.WRITE_ID, row.prediction_id, row.match_id, row.seq, stays)
            yield writing([pointer])

    def _heads(self, batch: HistoryBatch, stays: int) -> Iterator[Task[None]]:
        heads = first_of_each(batch.heads, lambda row: (row.match_id, row.seq))
        for of_match in by_key(heads, lambda row: row.match_id).values():
            rows = [(row.match_id, row.seq, row.count, row.row_hash, stays) for row in of_match]
            yield writing(mutations([self._connection.bound(tables.WRITE_HEAD, *row) for row in rows]))

    def offsets(self, consumer: str) -> dict[int, int]:
        return dict(self._read("offsets", tables.OFFSETS, consumer))

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        rows = [
            self._connection.bound(tables.WRITE_OFFSET, consumer, partition, offset)
            for partition, offset in offsets.items()
        ]
        self._connection.run("commit", [writing(mutations(rows))])

    def prediction(self, prediction_id: str) -> PredictionRow | None:
        [found] = self._connection.run("prediction", [self._by_id(prediction_id)])
        rows = [row for row in map(_prediction_row, found) if row.prediction_id == prediction_id]
        return rows[0] if rows else None

    def _by_id(self, prediction_id: str) -> Task[list[Any]]:
        pointers = yield from reading(self._connection.bound(tables.ID, prediction_id))
        if not pointers:
            return []
        match_id, seq = pointers[0]
        return (yield from reading(self._connection.bound(tables.PREDICTION, match_id, bucket_of(seq), seq)))

    def predictions(self, match_id: str, after_seq: int, limit: int) -> list[PredictionRow]:
        buckets = (tables.BUCKETS, match_shard(match_id), match_id)
        task = self._walk(buckets, (tables.PREDICTIONS, match_id), after_seq, limit)
        [rows] = self._connection.run("predictions", [task])
        return [_prediction_row(row) for row in rows]

    def events(self, match_id: str, partition: int, after_offset: int, limit: int) -> list[EventRow]:
        place = (match_id, partition)
        task = self._walk((tables.EVENT_BUCKETS, *place), (tables.EVENTS, *place), after_offset, limit)
        [rows] = self._connection.run("events", [task])
        return [EventRow(match_id=match_id, partition=partition, offset=offset, value=value) for offset, value in rows]

    def event_places(self) -> list[tuple[str, int]]:
        return sorted(self._read("event_places", tables.EVENT_PLACES))

    def _walk(self, buckets: tuple[Any, ...], rows: tuple[Any, ...], after: int, limit: int) -> Task[list[Any]]:
        """Read rows behind a position, bucket by bucket; their first column is their position.

        A bucket that was read to its end may have grown before a later one was read. So where a later one has rows, the
        ends of those before it are read again first: else a reader beside the writer could miss some.
        """
        bound, limit, found = self._connection.bound, min(limit, _MOST_ROWS), list[Any]()
        ends: list[int] = []
        for (bucket,) in (yield from reading(bound(*buckets, bucket_of(after + 1)))) if limit > 0 else ():
            page = yield from reading(bound(*rows, bucket, after, limit - len(found)))
            for grown in ends if page else ():
                found += yield from reading(bound(*rows, grown, after, limit))
            found, ends = (found + page)[:limit], [bucket] if page else [*ends, bucket]
            after = found[-1][0] if found else after
            if len(found) == limit:
                break
        return found

    def feature_snapshot(self, snapshot_id: str) -> bytes | None:
        rows = self._read("feature_snapshot", tables.INPUTS, snapshot_id)
        return rows[0][0] if rows else None

    def heads(self, match_id: str) -> list[ChainHeadRow]:
        rows = self._read("heads", tables.HEADS, match_id)
        return [ChainHeadRow(match_id=match_id, seq=seq, count=count, row_hash=h) for seq, count, h in rows]

    def matches(self) -> list[str]:
        """As promised; and a match whose first rows could not be written yet may be among them."""
        shards = [reading(self._connection.bound(tables.MATCHES, shard)) for shard in range(tables.MATCH_SHARDS)]
        return sorted(match_id for rows in self._connection.run("matches", shards) for (match_id,) in rows)


def _prediction_row(row: tuple[Any, ...]) -> PredictionRow:
    seq, prediction_id, match_id, model_version, feature_snapshot_id, prev_hash, row_hash, forecast = row
    return PredictionRow(
        prediction_id=prediction_id,
        match_id=match_id,
        seq=seq,
        model_version=model_version,
        feature_snapshot_id=feature_snapshot_id,
        prev_hash=prev_hash,
        row_hash=row_hash,
        forecast=forecast,
    )
