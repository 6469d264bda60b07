"""The embedded twin of the event log: one SQLite file per partition, for any number of processes of one machine."""

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

from actors.adapters.bell import Bell, Listener
from actors.adapters.sqlite import Database, opened_at_start, sync_folder
from actors.domain.errors import OffsetOutOfRange, SetupError, StoreUnavailable
from actors.domain.ports import LogRecord, NewRecord

TRUST_S = 1.0  # a bell that stayed silent is believed this long: a writer may be killed between commit and ringing
_PRUNE_STEP = 5_000  # records removed in one transaction, so that a writer waits milliseconds
_CACHE_KIB = 256  # of each partition: a log is read once, at its end
_VERSION = 1
_SCHEMA = """
CREATE TABLE records (offset INTEGER PRIMARY KEY, appended_ms INTEGER NOT NULL, key TEXT NOT NULL, value BLOB);
CREATE TABLE bounds (first INTEGER NOT NULL, next INTEGER NOT NULL);
INSERT INTO bounds VALUES (0, 0);
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")


def utc_now() -> datetime:
    return datetime.now(UTC)


class SqliteLog:
    """An EventLog in a folder. Every process opens its own; threads may share one."""

    def __init__(self, folder: Path, partitions: Mapping[str, int], now: Callable[[], datetime] = utc_now) -> None:
        """Open or create a log.

        Args:
            partitions: Partition count of each topic; it can never change, since matches are leased partitions.
            now: Stamps `appended_at`; aware UTC.
        Raises:
            SetupError: The folder cannot be written, or holds a topic with another number of partitions.
        """
        self._topics: dict[str, _Topic] = {}
        with opened_at_start(folder):
            for name, count in partitions.items():
                _fix_partition_count(folder, name, count)
                self._topics[name] = _Topic(folder / name, name, count)
        self._now = now

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        if not records:
            return []
        appended_ms = (self._now() - _EPOCH) // timedelta(milliseconds=1)
        return self._topic(topic).partition(partition).append(records, appended_ms)

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        deadline = time.monotonic() + wait_s
        asked = self._topic(topic)
        if (records := asked.collect(positions, max_records)) or wait_s <= 0:
            return records
        with asked.listening(frozenset(positions)) as listener:  # before the next look: what is rung after it is heard
            while not (records := asked.collect(positions, max_records)):
                if (left_s := deadline - time.monotonic()) <= 0:
                    break
                listener.wait(min(left_s, TRUST_S))
        return records

    def end_offsets(self, topic: str) -> dict[int, int]:
        asked = self._topic(topic)
        return {number: asked.partition(number).bounds()[1] for number in range(asked.count)}

    def prune(self, topic: str, partition: int, before_offset: int) -> None:
        """Remove the records below an offset. Not part of EventLog: a server's retention is its own affair."""
        self._topic(topic).partition(partition).prune(before_offset)

    def prune_older(self, topic: str, before: datetime) -> None:
        """Remove, in every partition, the records in front of the first one appended at or after `before`."""
        asked, before_ms = self._topic(topic), (before - _EPOCH) // timedelta(milliseconds=1)
        for number in range(asked.count):
            partition = asked.partition(number)
            partition.prune(partition.first_since(before_ms))

    def close(self) -> None:
        for topic in self._topics.values():
            topic.close()

    def _topic(self, name: str) -> "_Topic":
        if name not in self._topics:
            raise SetupError(f"the log has no topic {name!r}, only {', '.join(sorted(self._topics))}")
        return self._topics[name]


class _Topic:
    """The partitions of one topic and the listeners that wait for them."""

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self.count = count
        self._name = name
        self._partitions = [_Partition(folder, name, number) for number in range(count)]
        self._lock = threading.Lock()
        self._idle: dict[frozenset[int], list[Listener]] = {}  # kept: closing inotify can take 13 ms in the kernel
        self._turn = 0
        self._closed = False

    def partition(self, number: int) -> "_Partition":
        if not 0 <= number < self.count:
            raise SetupError(f"topic {self._name} has partitions 0 to {self.count - 1}, asked for {number}")
        return self._partitions[number]

    def collect(self, positions: Mapping[int, int], max_records: int) -> list[LogRecord]:
        """Read what is there: first an equal share of each partition that has something, then the rest in turn."""
        ready = [number for number in self._in_turn(positions) if self.partition(number).may_have(positions[number])]
        records: list[LogRecord] = []
        more: dict[int, int] = {}
        share = max(1, max_records // max(1, len(ready)))
        for number in ready:
            limit = min(share, max_records - len(records))
            if limit and (found := self.partition(number).read(positions[number], limit)):
                records += found
                self._turn = number + 1
                if len(found) == limit:
                    more[number] = found[-1].offset + 1
        for number, position in more.items():
            if left := max_records - len(records):
                records += self.partition(number).read(position, left)
        return records

    def _in_turn(self, positions: Mapping[int, int]) -> list[int]:
        """Return the partitions in order, beginning behind the one that was served last."""
        return sorted(positions, key=lambda number: (number - self._turn) % self.count)

    @contextmanager
    def listening(self, numbers: frozenset[int]) -> Iterator[Listener]:
        """Lend a listener to these partitions' bells, a used one if there is one."""
        with self._lock:
            idle = self._idle.get(numbers)
            listener = idle.pop() if idle else None
        listener = listener or Listener([self.partition(number).bell().path for number in numbers])
        try:
            yield listener
        finally:
            with self._lock:
                if keep := not self._closed:
                    self._idle.setdefault(numbers, []).append(listener)
            if not keep:
                listener.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            listeners = [listener for idle in self._idle.values() for listener in idle]
            self._idle.clear()
        for listener in listeners:
            listener.close()
        for partition in self._partitions:
            partition.close()


class _Partition:
    """One partition: its file, opened when there is one, its bell, and what was last seen of both."""

    def __init__(self, folder: Path, topic: str, number: int) -> None:
        self._topic, self._number = topic, number
        self._path, self._bell_path = folder / f"{number:03d}.db", folder / f"{number:03d}.bell"
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._bell: Bell | None = None
        self._seen: tuple[bytes, int, float] | None = None  # (bell, end found after it, monotonic seconds)
        self._closed = False

    def append(self, records: Sequence[NewRecord], appended_ms: int) -> list[int]:
        database = self._opened(create=True)
        assert database is not None
        bell = self.bell()
        with database.writing("append") as connection:
            _, start = _bounds(connection)
            connection.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?)",
                ((start + i, appended_ms, record.key, record.value) for i, record in enumerate(records)),
            )
            connection.execute("UPDATE bounds SET next = ?", (start + len(records),))
        bell.ring(start + len(records))
        return list(range(start, start + len(records)))

    def may_have(self, position: int) -> bool:
        """Say whether a look at the file is worth it: yes unless it was just seen to end at `position`."""
        seen = self._seen
        if seen is None or seen[1] != position or time.monotonic() - seen[2] > TRUST_S:
            return True
        return self.bell().last_rung() != seen[0]

    def read(self, position: int, limit: int) -> list[LogRecord]:
        rung = self.bell().last_rung()  # before the look: what is rung after it is news
        if (database := self._opened(create=False)) is None:
            first, end, rows = 0, 0, []
        else:
            with database.reading("read") as connection:
                first, end = _bounds(connection)
                rows = _rows(connection, position, limit) if first <= position < end else []
        self._seen = (rung, end, time.monotonic())
        if not first <= position <= end:
            raise OffsetOutOfRange(self._topic, self._number, position, first)
        return [
            LogRecord(
                partition=self._number,
                offset=offset,
                key=key,
                value=value,
                appended_at=_EPOCH + timedelta(milliseconds=appended_ms),
            )
            for offset, appended_ms, key, value in rows
        ]

    def bounds(self) -> tuple[int, int]:
        """Return the first offset that is kept and the next one to be given."""
        if (database := self._opened(create=False)) is None:
            return 0, 0
        with database.reading("end_offsets") as connection:
            return _bounds(connection)

    def first_since(self, appended_ms: int) -> int:
        if (database := self._opened(create=False)) is None:
            return 0
        with database.reading("prune") as connection:
            query = "SELECT offset FROM records WHERE appended_ms >= ? ORDER BY offset LIMIT 1"
            row = connection.execute(query, (appended_ms,)).fetchone()
            return int(row[0]) if row else _bounds(connection)[1]

    def prune(self, before_offset: int) -> None:
        if (database := self._opened(create=False)) is None:
            return
        first, end = self.bounds()
        target = min(before_offset, end)
        while first < target:
            first = min(first + _PRUNE_STEP, target)
            with database.writing("prune") as connection:
                connection.execute("DELETE FROM records WHERE offset < ?", (first,))
                connection.execute("UPDATE bounds SET first = max(first, ?)", (first,))

    def bell(self) -> Bell:
        with self._lock:
            self._refuse_if_closed()
            if self._bell is None:
                try:
                    self._bell = Bell(self._bell_path)
                except OSError as error:
                    raise StoreUnavailable(str(self._bell_path), "open", str(error)) from error
            return self._bell

    def _opened(self, create: bool) -> Database | None:
        """Open the file once; None while it does not exist and need not."""
        with self._lock:
            self._refuse_if_closed()
            if self._database is None and (create or self._path.exists()):
                self._database = Database(self._path, _SCHEMA, _VERSION, cache_kib=_CACHE_KIB)
            return self._database

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(str(self._path), "access", "the log was closed")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._database is not None:
                self._database.close()
            if self._bell is not None:
                self._bell.close()


def _bounds(connection: Connection) -> tuple[int, int]:
    first, end = connection.execute("SELECT first, next FROM bounds").fetchone()
    return int(first), int(end)


def _rows(connection: Connection, position: int, limit: int) -> list[tuple[int, int, str, bytes | None]]:
    query = "SELECT offset, appended_ms, key, value FROM records WHERE offset >= ? ORDER BY offset LIMIT ?"
    return connection.execute(query, (position, limit)).fetchall()


def _fix_partition_count(folder: Path, topic: str, count: int) -> None:
    """Remember a topic's partition count for good; of several processes that come first, one decides.

    Raises:
        SetupError: The name or the count is not possible, or the topic has another count.
    """
    if not _TOPIC_NAME.fullmatch(topic) or count < 1:
        raise SetupError(f"topic {topic!r} needs a plain name and at least one partition, was given {count}")
    (folder / topic).mkdir(exist_ok=True)
    kept = folder / topic / "partitions"
    if not kept.exists():
        _write_once(kept, f"{count}\n")
    if (found := kept.read_text().strip()) != str(count):
        raise SetupError(
            f"{folder} holds {topic} with {found} partitions, not {count}; set it back or use another folder"
        )


def _write_once(path: Path, text: str) -> None:
    """Write a small file whole or not at all, unless another process already did."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        sync_folder(path.parent)
    finally:
        Path(draft).unlink()
