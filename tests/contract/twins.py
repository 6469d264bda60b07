"""How the contract tests open each twin. A new twin joins with its name in the tuple and a case in the function.

Names and places are plain strings: processes that a test spawns open the same twin again from them. A place is a
folder; twins that need a server keep apart what belongs to different places.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import pytest

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory, SqliteSnapshots
from actors.adapters.memory_view import MemoryView
from actors.domain.ports import (
    ActivityStore,
    EventLog,
    History,
    HistoryWriterPort,
    LiveView,
    ModelStore,
    SnapshotStore,
    WhatIfStore,
)
from tests.contract import real_cassandra, real_kafka, real_redis

LOGS = ("sqlite", pytest.param("kafka", marks=pytest.mark.real_store))
SNAPSHOT_STORES = ("sqlite", pytest.param("cassandra", marks=pytest.mark.real_store))
HISTORIES = ("sqlite", pytest.param("cassandra", marks=pytest.mark.real_store))
VIEWS = (
    "memory",
    pytest.param("redis", marks=pytest.mark.real_store),
    pytest.param("layered", marks=pytest.mark.real_store),
)
ATOMIC = ("sqlite",)  # these write all rows of one call or none; a server's rows come one by one

TOPIC = "feed.v1"
PARTITIONS = {TOPIC: 6, "fixtures.v1": 1}
# Its processes are as fresh as spawned ones, and need not import all again: a second each. This module imports all that
# the others' targets do.
_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["tests.contract.test_embedded_failures"])


class AnyHistory(HistoryWriterPort, History, WhatIfStore, ModelStore, ActivityStore, Protocol):
    """All sides of history in one object, as the tests use it."""

    def close(self) -> None: ...


def open_log(twin: str, place: str, partitions: Mapping[str, int] = PARTITIONS) -> EventLog:
    match twin:
        case "sqlite":
            return SqliteLog(Path(place) / "log", partitions)
        case "kafka":
            return real_kafka.open_log(_short(place), partitions)
    raise ValueError(twin)


def expire(twin: str, place: str, topic: str, partition: int, before_offset: int) -> None:
    """Do to a partition what retention does."""
    match twin:
        case "sqlite":
            log = SqliteLog(Path(place) / "log", PARTITIONS)
            log.prune(topic, partition, before_offset)
            log.close()
        case "kafka":
            real_kafka.expire(_short(place), topic, partition, before_offset)
        case _:
            raise ValueError(twin)


def open_snapshots(twin: str, place: str) -> SnapshotStore:
    match twin:
        case "sqlite":
            return SqliteSnapshots(Path(place) / "snapshots.db")
        case "cassandra":
            return real_cassandra.open_snapshots(_short(place))
    raise ValueError(twin)


def open_history(twin: str, place: str) -> AnyHistory:
    match twin:
        case "sqlite":
            return SqliteHistory(Path(place) / "history.db")
        case "cassandra":
            return real_cassandra.open_history(_short(place))
    raise ValueError(twin)


def open_view(twin: str, place: str, tail_per_partition: int) -> LiveView:
    match twin:
        case "memory":
            return MemoryView(tail_per_partition)
        case "redis":
            return real_redis.open_view(_short(place), tail_per_partition)
        case "layered":
            return real_redis.open_layered_view(_short(place), tail_per_partition)
    raise ValueError(twin)


def _short(place: str) -> str:
    """Return a name for a place that every server takes: letters and digits."""
    return "t" + sha256(place.encode()).hexdigest()[:12]


@contextmanager
def spawned(target: Callable[..., None], *args: Any) -> Iterator[BaseProcess]:
    """Run `target(*args)` in a fresh process for the length of the block; it is killed if it still runs then."""
    process = _FRESH.Process(target=_in_our_environment, args=(dict(os.environ), target, *args), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()
        process.close()


def _in_our_environment(environment: dict[str, str], target: Callable[..., None], *args: Any) -> None:
    """Run `target(*args)` where environment variables are ours of now: the server that forks has those of its start."""
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


def finish(*processes: BaseProcess, timeout_s: float = 60.0) -> None:
    """Wait for processes that should end by themselves, and well."""
    for process in processes:
        process.join(timeout_s)
        assert process.exitcode == 0, f"{process.name} ended with {process.exitcode}"
