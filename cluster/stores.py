"""Opens the log, the stores and the view that the configuration names: the one place that knows every implementation.

Each is imported where it is opened, so that a process of the embedded profile loads no driver of a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from actors.domain.errors import SetupError
from actors.domain.ports import (
    DEAD_LETTERS,
    FEED,
    FIXTURES,
    FORECASTS,
    MODELS,
    ActivityStore,
    Archive,
    EventLog,
    EventPlaces,
    HistoryWriterPort,
    LiveView,
    ModelStore,
    SnapshotStore,
    WhatIfStore,
)
from cluster.held_models import pack
from conf.schema import Config
from conf.stores import CassandraStoreConfig, KafkaFeedConfig, RedisViewConfig


class AllHistory(HistoryWriterPort, Archive, EventPlaces, WhatIfStore, ModelStore, ActivityStore, Protocol):
    """All sides of history in one object."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stores:
    """Opens nothing until asked; can be pickled into every process."""

    config: Config

    @property
    def folder(self) -> Path:
        """Where this machine keeps its own; absolute, since Ray's workers run elsewhere."""
        return Path(self.config.store.folder).resolve()

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has."""
        count = self.config.feed.partitions
        return {FEED: count, FORECASTS: count, FIXTURES: 1, DEAD_LETTERS: 1, MODELS: 1}

    def prepare(self) -> list[str]:
        """Make what is missing: topics, tables, folders. Return what was made; doing it again changes nothing.

        Raises:
            SetupError: A server or folder cannot be used as configured.
        """
        made: list[str] = []
        match self.config.feed:
            case KafkaFeedConfig() as feed:
                from actors.adapters.kafka_topics import ensure_topics

                made += ensure_topics(feed, self.partitions)
            case _:
                self.log().close()
        match self.config.store:
            case CassandraStoreConfig() as store:
                from cluster.migrate import migrate

                made += migrate(store)
            case _:
                self.history().close()
        if isinstance(self.config.view, RedisViewConfig):
            from actors.adapters.redis_view import RedisView

            view = RedisView(self.config.view)
            view.check()
            view.close()
        return made

    def log(self) -> EventLog:
        """Open the log."""
        match self.config.feed:
            case KafkaFeedConfig() as feed:
                from actors.adapters.kafka_log import KafkaLog

                return KafkaLog(feed, self.partitions)
        from actors.adapters.embedded_log import SqliteLog

        return SqliteLog(self.folder / "log", self.partitions)

    def prune_log(self) -> None:
        """Remove feed and forecast records that are older than the log keeps them; Kafka does that by itself."""
        if isinstance(self.config.feed, KafkaFeedConfig):
            return
        from actors.adapters.embedded_log import SqliteLog

        log = SqliteLog(self.folder / "log", self.partitions)
        before = datetime.now(UTC) - timedelta(hours=self.config.feed.retention_h)
        for topic in (FEED, FORECASTS):
            log.prune_older(topic, before)
        log.close()

    def snapshots(self) -> SnapshotStore:
        """Open the snapshots of matches."""
        match self.config.store:
            case CassandraStoreConfig() as store:
                from actors.adapters.cassandra_snapshots import CassandraSnapshots

                return CassandraSnapshots(store)
        from actors.adapters.embedded_stores import SqliteSnapshots

        return SqliteSnapshots(self.folder / "snapshots.db")

    def history(self, at_once: bool = True) -> AllHistory:
        """Open history, for reading and writing; `at_once`: a server that is away is an error now, not at a request."""
        match self.config.store:
            case CassandraStoreConfig() as store:
                from actors.adapters.cassandra_history import CassandraHistory

                return CassandraHistory(store, at_once)
        from actors.adapters.embedded_stores import SqliteHistory

        return SqliteHistory(self.folder / "history.db")

    def keep_model(self, folder: Path) -> str:
        """Put a model into history, from where replicas and audits load it; return its version.

        Raises:
            SetupError: It is not whole, or history keeps another one under its name: a version never changes.
        """
        from cluster.checks import need_model

        version = str(need_model(folder)["model_version"])
        manifest, content = pack(folder)
        history = self.history()
        try:
            kept = history.model(version)
            if kept is None:
                history.write_model(version, manifest, content)
            elif (kept.manifest, kept.content) != (manifest, content):
                raise SetupError(
                    f"{folder} holds another model than history keeps under the name {version}: forecasts that were "
                    "made with it could not be replayed; give the new one another model_version, or use another "
                    "data.folder"
                )
        finally:
            history.close()
        return version

    def view(self) -> LiveView:
        """Open the live view of one replica."""
        tail = self.config.serve.tail_per_partition
        match self.config.view:
            case RedisViewConfig() as view:
                from actors.adapters.layered_view import open_layered_view

                return open_layered_view(view, tail)
        from actors.adapters.memory_view import MemoryView

        return MemoryView(tail)
