"""The statements of history's tables and the arithmetic of their partitions; 001_history.cql says why they are so."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar
from zlib import crc32

from cassandra.query import BatchStatement, BatchType

T = TypeVar("T")

BUCKET_ROWS = 5_000
MATCH_SHARDS = 16
ACTIVITY_SLOTS = 8
_BATCH_ROWS = 100
_BATCH_BYTES = 512 * 1024  # a mutation may have 16 MiB, but others wait behind it

WRITE_MATCH = "INSERT INTO {keyspace}.matches (shard, match_id, bucket) VALUES (?, ?, ?)"
MATCHES = "SELECT match_id FROM {keyspace}.matches WHERE shard = ? GROUP BY shard, match_id"
BUCKETS = "SELECT bucket FROM {keyspace}.matches WHERE shard = ? AND match_id = ? AND bucket >= ?"

_PREDICTION = "seq, prediction_id, match_id, model_version, feature_snapshot_id, prev_hash, row_hash, forecast"
WRITE_PREDICTION = (
    f"INSERT INTO {{keyspace}}.predictions (bucket, {_PREDICTION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
PREDICTIONS = (
    f"SELECT {_PREDICTION} FROM {{keyspace}}.predictions WHERE match_id = ? AND bucket = ? AND seq > ? LIMIT ?"
)
PREDICTION = f"SELECT {_PREDICTION} FROM {{keyspace}}.predictions WHERE match_id = ? AND bucket = ? AND seq = ?"
WRITE_ID = "INSERT INTO {keyspace}.predictions_by_id (prediction_id, match_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?"
ID = "SELECT match_id, seq FROM {keyspace}.predictions_by_id WHERE prediction_id = ?"

WRITE_HEAD = "INSERT INTO {keyspace}.chain_heads (match_id, seq, count, row_hash) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
HEADS = "SELECT seq, count, row_hash FROM {keyspace}.chain_heads WHERE match_id = ?"

WRITE_INPUTS = "INSERT INTO {keyspace}.feature_snapshots (snapshot_id, inputs) VALUES (?, ?) USING TIMESTAMP ?"
INPUTS = "SELECT inputs FROM {keyspace}.feature_snapshots WHERE snapshot_id = ?"

WRITE_EVENT = "INSERT INTO {keyspace}.events (match_id, partition, bucket, offset, value) VALUES (?, ?, ?, ?, ?)"
EVENTS = (
    "SELECT offset, value FROM {keyspace}.events "
    "WHERE match_id = ? AND partition = ? AND bucket = ? AND offset > ? LIMIT ?"
)
WRITE_EVENT_BUCKET = "INSERT INTO {keyspace}.event_buckets (match_id, partition, bucket) VALUES (?, ?, ?)"
EVENT_BUCKETS = "SELECT bucket FROM {keyspace}.event_buckets WHERE match_id = ? AND partition = ? AND bucket >= ?"
EVENT_PLACES = "SELECT DISTINCT match_id, partition FROM {keyspace}.event_buckets"

WRITE_OFFSET = "INSERT INTO {keyspace}.consumer_offsets (consumer, partition, next) VALUES (?, ?, ?)"
OFFSETS = "SELECT partition, next FROM {keyspace}.consumer_offsets WHERE consumer = ?"

HISTORY = (
    *(WRITE_MATCH, MATCHES, BUCKETS, WRITE_PREDICTION, PREDICTIONS, PREDICTION, WRITE_ID, ID, WRITE_HEAD, HEADS),
    *(WRITE_INPUTS, INPUTS, WRITE_EVENT, EVENTS, WRITE_EVENT_BUCKET, EVENT_BUCKETS, WRITE_OFFSET, OFFSETS),
)
SCANS = (EVENT_PLACES,)  # walk through a whole table, on all nodes: for backups alone


def bucket_of(position: int) -> int:
    """Return the bucket of a seq or an offset.

    >>> bucket_of(-1), bucket_of(4_999), bucket_of(5_000)
    (0, 0, 1)
    """
    return max(position, 0) // BUCKET_ROWS


def match_shard(match_id: str) -> int:
    """Return the partition of `matches` that has a match."""
    return crc32(match_id.encode()) % MATCH_SHARDS


def activity_slot(key_id: str) -> int:
    """Return the slot of a tenant's day that has a key."""
    return crc32(key_id.encode()) % ACTIVITY_SLOTS


def first_of_each(rows: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    """Return the first row of each key, in order: in one mutation their timestamps could not tell them apart."""
    found: dict[Any, T] = {}
    for row in rows:
        found.setdefault(key(row), row)
    return list(found.values())


def by_key(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Return the rows of each key, in order."""
    found: dict[Any, list[T]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def mutations(statements: Sequence[Any]) -> Iterator[Any]:
    """Yield statements of one partition in batches, each of which is one mutation: whole or not at all."""
    pending: list[Any] = []
    size = 0
    for statement in statements:
        statement_bytes = sum(len(value) for value in statement.values if isinstance(value, bytes))
        if pending and (len(pending) == _BATCH_ROWS or size + statement_bytes > _BATCH_BYTES):
            yield _mutation(pending)
            pending, size = [], 0
        pending.append(statement)
        size += statement_bytes
    if pending:
        yield _mutation(pending)


def _mutation(statements: Sequence[Any]) -> Any:
    if len(statements) == 1:
        return statements[0]
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.add_all(list(statements), [None] * len(statements))
    batch.is_idempotent = True  # as all its statements are; the driver does not look
    return batch
