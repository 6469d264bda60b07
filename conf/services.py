"""The servers that `python -m cluster.services` runs on this machine: ports, heap sizes, and where their data lies."""

from dataclasses import dataclass, field

from conf.checks import need, need_port, need_positive, need_text, need_whole


@dataclass
class KafkaServiceConfig:
    """One Kafka node that is broker and controller (KRaft)."""

    port: int = 9092
    controller_port: int = 9093
    heap_mb: int = 512

    def __post_init__(self) -> None:
        need_port("services.kafka.port", self.port)
        need_port("services.kafka.controller_port", self.controller_port)
        need_whole("services.kafka.heap_mb", self.heap_mb, least=128)


@dataclass
class CassandraServiceConfig:
    """One Cassandra node."""

    port: int = 9042
    storage_port: int = 7000
    heap_mb: int = 768

    def __post_init__(self) -> None:
        need_port("services.cassandra.port", self.port)
        need_port("services.cassandra.storage_port", self.storage_port)
        need_whole("services.cassandra.heap_mb", self.heap_mb, least=256)


@dataclass
class RedisServiceConfig:
    """One Redis, as a cache: evicts what was used least, keeps nothing on disk."""

    port: int = 6379
    memory_mb: int = 256

    def __post_init__(self) -> None:
        need_port("services.redis.port", self.port)
        need_whole("services.redis.memory_mb", self.memory_mb, least=16)


@dataclass
class ServicesConfig:
    """All of them. Only `python -m cluster.services` reads this: Touchline itself asks feed, store and view."""

    folder: str = "${data.folder}/services"  # data, logs and pids
    jars: str = ".jars"  # what Maven fetched
    host: str = "127.0.0.1"
    java_options: list[str] = field(default_factory=list)  # of Kafka and Cassandra, beside their own
    start_timeout_s: float = 120.0  # Cassandra needs 10 s, and a busy machine many times that
    stop_timeout_s: float = 20.0
    kafka: KafkaServiceConfig = field(default_factory=KafkaServiceConfig)
    cassandra: CassandraServiceConfig = field(default_factory=CassandraServiceConfig)
    redis: RedisServiceConfig = field(default_factory=RedisServiceConfig)

    def __post_init__(self) -> None:
        for name in ("folder", "jars", "host"):
            need_text(f"services.{name}", getattr(self, name))
        need_positive("services.start_timeout_s", self.start_timeout_s)
        need_positive("services.stop_timeout_s", self.stop_timeout_s)
        taken: dict[int, str] = {}
        for key, port in self.ports().items():
            need(port not in taken, key, f"another port than {taken.get(port)}", port)
            taken[port] = key

    def ports(self) -> dict[str, int]:
        """Return every port by its key."""
        return {
            "services.kafka.port": self.kafka.port,
            "services.kafka.controller_port": self.kafka.controller_port,
            "services.cassandra.port": self.cassandra.port,
            "services.cassandra.storage_port": self.cassandra.storage_port,
            "services.redis.port": self.redis.port,
        }
