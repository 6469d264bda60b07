"""The seams: what the log, the stores and the view promise, whoever keeps the promise."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from msgspec import Struct

FEED = "feed.v1"
FORECASTS = "forecasts.v1"
FIXTURES = "fixtures.v1"
DEAD_LETTERS = "feed.dlq"
MODELS = "models.v1"


class NewRecord(Struct, frozen=True, kw_only=True):
    """What a writer hands to the log."""

    key: str
    value: bytes | None


class LogRecord(Struct, frozen=True, kw_only=True, gc=False):  # holds nothing that could hold it
    """What a reader gets: the record, its place, and when the log took it (aware UTC, the log's clock)."""

    partition: int
    offset: int
    key: str | None
    value: bytes | None
    appended_at: datetime
    problem: str | None = None  # why what was appended cannot be had any more; key and value are then None


class EventLog(Protocol):
    """A partitioned, ordered, durable log. Offsets grow by at least one and never come back."""

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        """Append in order; return one offset per record. Durable on return.

        Raises StoreUnavailable if the outcome is unknown: none of the records, all, or the first of them may be stored,
        and appending again may store them twice.
        """
        ...

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        """Read at least one record from the given {partition: next offset}, or nothing after `wait_s`.

        Blocks rather than being polled; returns as soon as there is a record. In order within each partition; a busy
        partition does not starve the others for ever. Raises OffsetOutOfRange where retention removed the offset, or
        where it lies behind the end: the position is from another log. Raises SetupError for an unknown partition.
        """
        ...

    def end_offsets(self, topic: str) -> dict[int, int]:
        """Return {partition: offset that the next record will get at the least} for every partition."""
        ...

    def close(self) -> None: ...


class MatchSnapshot(Struct, frozen=True, kw_only=True):
    """A match's encoded state with the feed offset it includes and the epoch of its owner."""

    match_id: str
    epoch: int
    offset: int
    state: bytes
    state_hash: str
    code_version: int


class SnapshotStore(Protocol):
    """The newest snapshot of each match, ordered by (epoch, offset): an older one never replaces a newer one."""

    def load(self, match_id: str) -> MatchSnapshot | None: ...

    def save(self, snapshot: MatchSnapshot) -> None:
        """Durable on return. Raises StoreUnavailable if the outcome is unknown; saving again is safe."""
        ...

    def close(self) -> None: ...


class PredictionRow(Struct, frozen=True, kw_only=True):
    """One published forecast as history keeps it. `forecast` is the logged record, byte for byte."""

    prediction_id: str
    match_id: str
    seq: int
    model_version: str
    feature_snapshot_id: str
    prev_hash: str
    row_hash: str
    forecast: bytes


class ChainHeadRow(Struct, frozen=True, kw_only=True):
    """The head of a match's chain as it was appended to the log: rows up to `seq` number `count`."""

    match_id: str
    seq: int
    count: int
    row_hash: str


class EventRow(Struct, frozen=True, kw_only=True):
    """One feed record as history keeps it."""

    match_id: str
    partition: int
    offset: int
    value: bytes


class HistoryBatch(Struct, frozen=True, kw_only=True):
    """What the history writer makes durable in one go. Every row is keyed: writing it again changes nothing."""

    predictions: tuple[PredictionRow, ...] = ()
    feature_snapshots: tuple[tuple[str, bytes], ...] = ()  # (content address, encoded inputs)
    heads: tuple[ChainHeadRow, ...] = ()
    events: tuple[EventRow, ...] = ()


class HistoryWriterPort(Protocol):
    """The writing side of history."""

    def write(self, batch: HistoryBatch) -> None:
        """Durable on return, idempotent by key; the first row of a key stays. Raises StoreUnavailable.

        While it is under way, or if it fails, some of its rows may be there and others not; but a match's predictions
        appear in order of seq, its events in order of offset, each behind its inputs and before its chain head.
        """
        ...

    def offsets(self, consumer: str) -> dict[int, int]:
        """Return the next offsets that `consumer` committed, by partition."""
        ...

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        """Remember how far `consumer` is; call it only behind `write`."""
        ...


class History(Protocol):
    """The reading side of history."""

    def prediction(self, prediction_id: str) -> PredictionRow | None: ...

    def predictions(self, match_id: str, after_seq: int, limit: int) -> list[PredictionRow]:
        """Return rows with seq > `after_seq` by seq, at most `limit`."""
        ...

    def feature_snapshot(self, snapshot_id: str) -> bytes | None: ...

    def heads(self, match_id: str) -> list[ChainHeadRow]:
        """Return the chain heads of a match by seq."""
        ...

    def matches(self) -> list[str]:
        """Return the ids of all matches that have predictions, sorted."""
        ...

    def events(self, match_id: str, partition: int, after_offset: int, limit: int) -> list[EventRow]:
        """Return feed records of a match in one partition, offset > `after_offset`, by offset, at most `limit`.

        For a match that must be folded again when the feed is past its retention. May itself forget after 30 days.
        """
        ...


class Archive(History, Protocol):
    """History as a match reads it where retention was faster: with how far it has been written."""

    def offsets(self, consumer: str) -> dict[int, int]: ...


class EventPlaces(Protocol):
    """Where the feed records are that history keeps: for backups, which take all of them."""

    def event_places(self) -> list[tuple[str, int]]:
        """Return (match id, partition) of all feed records, sorted. May walk through all of history."""
        ...


class WhatIfStore(Protocol):
    """Audit of what-ifs: one row per batch of at most 1,000."""

    def write_what_ifs(self, replica: str, batch: int, payload: bytes) -> None: ...

    def what_ifs(self, replica: str, batch: int) -> bytes | None: ...


class ModelRow(Struct, frozen=True, kw_only=True):
    """One model version as it was registered: its manifest (JSON), and the other files of its folder as one content."""

    version: str
    manifest: bytes
    content: bytes


class ModelStore(Protocol):
    """Every model version that was ever registered. A version never changes: the first one of its name stays."""

    def write_model(self, version: str, manifest: bytes, content: bytes) -> None:
        """Durable on return, and whole or not there at all. Raises StoreUnavailable."""
        ...

    def model(self, version: str) -> ModelRow | None: ...

    def model_versions(self) -> list[str]:
        """Return all versions, sorted."""
        ...


class ActivityRow(Struct, frozen=True, kw_only=True):
    """How often one client asked for one thing in one minute, by the count of one serving replica."""

    tenant: str
    at: datetime  # aware UTC, a whole minute
    key_id: str
    route: str
    status: int  # HTTP
    replica: str  # who counted: each replica sees a part of a client's requests
    count: int

    def __post_init__(self) -> None:
        if self.at.utcoffset() != timedelta(0) or self.at.second or self.at.microsecond:
            raise ValueError(f"activity is counted by whole UTC minutes, was {self.at.isoformat()}")


class ActivityStore(Protocol):
    """Who asked for what. Kept for 30 days at the least, then it may be gone."""

    def write_activity(self, rows: Sequence[ActivityRow]) -> None:
        """Durable on return; a row that is written again replaces its count. Raises StoreUnavailable."""
        ...

    def activity(self, tenant: str, day: date) -> list[ActivityRow]:
        """Return a tenant's rows of one UTC day, by minute, key, route, status and replica."""
        ...


class ViewEntry(Struct, frozen=True, kw_only=True):
    """The newest published record of a match: the log's bytes and where they stand."""

    match_id: str
    epoch: int
    seq: int
    partition: int
    offset: int  # in forecasts.v1
    value: bytes


class LiveView(Protocol):
    """Latest forecast per match and a bounded tail of the log for resuming; can be rebuilt from the log at any time."""

    def put(self, entry: ViewEntry) -> bool:
        """Take an entry unless its epoch is below the newest met, or its seq not above the last; say which it was.

        Both bounds are the match's own. An entry that is refused for its seq still raises the newest epoch. Entries of
        a partition come in the log's order.
        """
        ...

    def latest(self, match_id: str) -> ViewEntry | None: ...

    def matches(self) -> list[str]: ...

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None:
        """Return the taken entries of a partition behind `after_offset` in order, or None if some may be missing."""
        ...

    def forget(self, match_id: str) -> None:
        """Drop a match and its bounds; what its partition's tail holds stays there for those who resume."""
        ...

    def close(self) -> None: ...
