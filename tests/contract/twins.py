"""How the contract tests open each twin. A new twin joins with its name in the tuple and a case in the function.

Names and places are plain strings: processes that a test spawns open the same twin again from them. Twins that need a
server join as `pytest.param("kafka", marks=pytest.mark.real_store)`.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory, SqliteSnapshots
from actors.adapters.memory_view import MemoryView
from actors.domain.ports import EventLog, History, HistoryWriterPort, LiveView, SnapshotStore, WhatIfStore

LOGS = ("sqlite",)
SNAPSHOT_STORES = ("sqlite",)
HISTORIES = ("sqlite",)
VIEWS = ("memory",)

TOPIC = "feed.v1"
PARTITIONS = {TOPIC: 6, "fixtures.v1": 1}
SPAWN = multiprocessing.get_context("spawn")


class AnyHistory(HistoryWriterPort, History, WhatIfStore, Protocol):
    """The three sides of history in one object, as the tests use it."""

    def close(self) -> None: ...


def open_log(twin: str, place: str, partitions: Mapping[str, int] = PARTITIONS) -> EventLog:
    match twin:
        case "sqlite":
            return SqliteLog(Path(place) / "log", partitions)
    raise ValueError(twin)


def expire(twin: str, place: str, topic: str, partition: int, before_offset: int) -> None:
    """Do to a partition what retention does."""
    match twin:
        case "sqlite":
            log = SqliteLog(Path(place) / "log", PARTITIONS)
            log.prune(topic, partition, before_offset)
            log.close()
        case _:
            raise ValueError(twin)


def open_snapshots(twin: str, place: str) -> SnapshotStore:
    match twin:
        case "sqlite":
            return SqliteSnapshots(Path(place) / "snapshots.db")
    raise ValueError(twin)


def open_history(twin: str, place: str) -> AnyHistory:
    match twin:
        case "sqlite":
            return SqliteHistory(Path(place) / "history.db")
    raise ValueError(twin)


def open_view(twin: str, tail_per_partition: int) -> LiveView:
    match twin:
        case "memory":
            return MemoryView(tail_per_partition)
    raise ValueError(twin)


@contextmanager
def spawned(target: Callable[..., None], *args: Any) -> Iterator[BaseProcess]:
    """Run `target(*args)` in a fresh process for the length of the block; it is killed if it still runs then."""
    process = SPAWN.Process(target=target, args=args, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
        process.close()


def finish(*processes: BaseProcess, timeout_s: float = 60.0) -> None:
    """Wait for processes that should end by themselves, and well."""
    for process in processes:
        process.join(timeout_s)
        assert process.exitcode == 0, f"{process.name} ended with {process.exitcode}"
