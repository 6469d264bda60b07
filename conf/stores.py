"""The options of the `feed`, `store` and `view` groups: which log, stores and live view there are, and where.

Passwords are read from files that are named here, so that none stands in a command line, a run folder or a log.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from conf.checks import MISSING, need, need_port, need_positive, need_text, need_whole

_MOST_PARTITIONS = 4_096
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass
class FeedConfig:
    """Base of the options of the `feed` group: partitions of the log and who gets them."""

    partitions: int = 48
    shared_partitions: int = 8  # the last of them: for matches that find no partition of their own
    retention_h: float = 72.0  # a match is leased a day before kick-off and must find all of it

    def __post_init__(self) -> None:
        need_whole("feed.partitions", self.partitions, most=_MOST_PARTITIONS)
        need_whole("feed.shared_partitions", self.shared_partitions, most=self.partitions)
        need(48 <= self.retention_h < math.inf, "feed.retention_h", "at least 48", self.retention_h)


@dataclass
class EmbeddedFeedConfig(FeedConfig):
    """The log in SQLite files, in the store's folder."""


@dataclass
class KafkaFeedConfig(FeedConfig):
    """The log in Kafka."""

    servers: list[str] = field(default_factory=lambda: ["127.0.0.1:9092"])  # host:port of some brokers
    topic_prefix: str = ""  # in front of feed.v1 and the others, where several Touchlines share brokers
    replication_factor: int = 1  # of topics that are made here; 3 where nothing may be lost with a broker's disk
    min_insync_replicas: int = 1  # of them so many must have a record before it counts as appended
    connect_timeout_s: float = 10.0  # a start gives up then
    delivery_timeout_s: float = 10.0  # an append is refused then, its outcome unknown
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None  # PEM; None: the system's authorities

    def __post_init__(self) -> None:
        super().__post_init__()
        need(bool(self.servers), "feed.servers", "a list of host:port", self.servers)
        for index, server in enumerate(self.servers):
            host, _, port = server.rpartition(":")
            need(bool(host) and port.isdigit(), f"feed.servers[{index}]", "host:port", server)
        need_whole("feed.replication_factor", self.replication_factor)
        need_whole("feed.min_insync_replicas", self.min_insync_replicas, most=self.replication_factor)
        need_positive("feed.connect_timeout_s", self.connect_timeout_s)
        need_positive("feed.delivery_timeout_s", self.delivery_timeout_s)
        need(
            self.security_protocol in _PROTOCOLS,
            "feed.security_protocol",
            " or ".join(_PROTOCOLS),
            self.security_protocol,
        )
        need(self.sasl_mechanism in _MECHANISMS, "feed.sasl_mechanism", " or ".join(_MECHANISMS), self.sasl_mechanism)
        _need_both("feed", self.username, self.password_file)
        is_sasl = self.security_protocol.startswith("SASL")
        need(
            is_sasl == (self.username is not None),
            "feed.username",
            "given where security_protocol is SASL_*",
            self.username,
        )


@dataclass
class StoreConfig:
    """Base of the options of the `store` group."""

    folder: str = MISSING  # what this machine keeps: lock, pids; on the embedded profile log and stores too

    def __post_init__(self) -> None:
        need_text("store.folder", self.folder)


@dataclass
class EmbeddedStoreConfig(StoreConfig):
    """Snapshots and history in SQLite files."""


@dataclass
class CassandraStoreConfig(StoreConfig):
    """Snapshots and history in Cassandra."""

    hosts: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    port: int = 9042
    keyspace: str = "touchline"
    datacenter: str = "datacenter1"  # the local one: reads and writes ask for its quorum
    replication_factor: int = 1  # of a keyspace that is made here
    connect_timeout_s: float = 10.0  # a start gives up then
    request_timeout_s: float = 2.0
    in_flight: int = 256  # requests of one process at most: the driver itself has no back-pressure
    username: str | None = None
    password_file: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        need(bool(self.hosts), "store.hosts", "a list of hosts", self.hosts)
        for index, host in enumerate(self.hosts):
            need_text(f"store.hosts[{index}]", host)
        need_port("store.port", self.port)
        is_name = self.keyspace.isidentifier() and self.keyspace.islower() and len(self.keyspace) <= 48
        need(is_name, "store.keyspace", "a lower-case name of at most 48 letters, digits and _", self.keyspace)
        need_text("store.datacenter", self.datacenter)
        need_whole("store.replication_factor", self.replication_factor)
        need_positive("store.connect_timeout_s", self.connect_timeout_s)
        need_positive("store.request_timeout_s", self.request_timeout_s)
        need_whole("store.in_flight", self.in_flight, most=512)
        _need_both("store", self.username, self.password_file)


@dataclass
class ViewConfig:
    """Base of the options of the `view` group: what stands behind the live view that each replica has in memory."""


@dataclass
class MemoryViewConfig(ViewConfig):
    """Nothing: a replica that starts reads the log."""


@dataclass
class RedisViewConfig(ViewConfig):
    """Redis: shared by all replicas, never the truth."""

    host: str = "127.0.0.1"
    port: int = 6379
    db: int = 0
    prefix: str = "tl"  # of every key
    timeout_s: float = 0.2  # of connecting and of each request
    ttl_s: int = 6 * 3600  # of every key, from its last refresh on
    tail_per_partition: int = 500  # published records held for resuming
    break_after: int = 3  # failures in a row, then nothing is asked for `break_s`
    break_s: float = 1.0
    refresh_s: float = 2.0  # how often a replica looks whether what it knows is still there
    username: str | None = None
    password_file: str | None = None

    def __post_init__(self) -> None:
        need_text("view.host", self.host)
        need_port("view.port", self.port)
        need_whole("view.db", self.db, least=0)
        need_text("view.prefix", self.prefix)
        for name in ("timeout_s", "break_s", "refresh_s"):
            need_positive(f"view.{name}", getattr(self, name))
        for name in ("ttl_s", "tail_per_partition", "break_after"):
            need_whole(f"view.{name}", getattr(self, name))
        need(
            self.username is None or self.password_file is not None, "view.password_file", "given with a username", None
        )


def _need_both(section: str, username: str | None, password_file: str | None) -> None:
    together = (username is None) == (password_file is None)
    need(together, f"{section}.password_file", "given with a username, and only then", password_file)


OPTIONS: dict[str, dict[str, Any]] = {
    "feed": {"base_embedded_feed": EmbeddedFeedConfig, "base_kafka": KafkaFeedConfig},
    "store": {"base_embedded": EmbeddedStoreConfig, "base_cassandra": CassandraStoreConfig},
    "view": {"base_memory": MemoryViewConfig, "base_redis": RedisViewConfig},
}
