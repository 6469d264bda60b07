"""The event log in Kafka: acks from all replicas, idempotent, every future awaited; bytes in, decoded by us.

Partitions are assigned, never a group's: ownership is the lease, and offsets live with the state.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise

from kafka import KafkaProducer
from kafka.errors import KafkaError

from actors.adapters.kafka_client import MOST_BYTES, REQUEST_TIMEOUT_MS, client_options, translated
from actors.adapters.kafka_reader import KafkaReader
from actors.domain.errors import SetupError, StoreError, StoreUnavailable
from actors.domain.ports import LogRecord, NewRecord
from conf.stores import KafkaFeedConfig

logger = logging.getLogger("touchline.kafka")

_BATCH_BYTES = 256 * 1024
_CLOSE_MS = 1_000


class KafkaLog:
    """An EventLog in Kafka. Every process opens its own; threads may share one. Nothing connects before it is used."""

    def __init__(self, config: KafkaFeedConfig, partitions: Mapping[str, int]) -> None:
        """Take the partition count of each topic; the topics are made by `kafka_topics.ensure_topics`."""
        self._config, self._counts = config, dict(partitions)
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None
        self._idle: dict[tuple[str, frozenset[int], bool], list[KafkaReader]] = {}
        self._closed = False

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        """Append in order and wait for every record's acknowledgement. Not atomic: a failure may leave a prefix."""
        self._check(topic, [partition])
        if not records:
            return []
        with translated(self._config, f"appending to {topic}/{partition}"):
            producer = self._producing()
            try:
                return self._append(producer, topic, partition, records)
            except KafkaError:
                self._discard(producer)  # what it still holds must not be sent behind what is appended next
                raise

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        self._check(topic, positions)
        with translated(self._config, f"reading {topic}"), self._reading(topic, positions, wait_s > 0) as reader:
            return reader.read(positions, max_records, wait_s)

    def end_offsets(self, topic: str) -> dict[int, int]:
        self._check(topic, [])
        numbers = range(self._counts[topic])
        with (
            translated(self._config, f"asking for the ends of {topic}"),
            self._reading(topic, numbers, True) as reader,
        ):
            return reader.ends(numbers)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            readers = [reader for idle in self._idle.values() for reader in idle]
            self._idle.clear()
            producer, self._producer = self._producer, None
        for reader in readers:
            reader.close()
        if producer is not None:
            _close(producer)

    def _append(self, producer: KafkaProducer, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        name = self._config.topic_prefix + topic
        futures = [
            producer.send(name, value=record.value, key=record.key.encode(), partition=partition) for record in records
        ]
        limit_s = self._config.delivery_timeout_s + REQUEST_TIMEOUT_MS / 1000
        offsets = [int(future.get(timeout=limit_s).offset) for future in futures]
        if any(later <= earlier for earlier, later in pairwise(offsets)):
            raise StoreUnavailable(f"{topic}/{partition}", "appending in order", f"offsets came back as {offsets}")
        return offsets

    def _producing(self) -> KafkaProducer:
        with self._lock:
            self._refuse_if_closed()
            if self._producer is None:
                delivery_ms = round(self._config.delivery_timeout_s * 1000)
                shorter = {"request_timeout_ms": min(REQUEST_TIMEOUT_MS, delivery_ms)}  # else it refuses to start
                self._producer = KafkaProducer(
                    **client_options(self._config) | shorter,
                    acks="all",
                    enable_idempotence=True,
                    delivery_timeout_ms=delivery_ms,
                    max_block_ms=delivery_ms,
                    batch_size=_BATCH_BYTES,
                    max_request_size=MOST_BYTES,
                    allow_auto_create_topics=False,
                )
            return self._producer

    def _discard(self, producer: KafkaProducer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        _close(producer)

    @contextmanager
    def _reading(self, topic: str, positions: Mapping[int, int] | range, follows: bool) -> Iterator[KafkaReader]:
        """Lend a reader of these partitions to one thread; a read that failed leaves none behind.

        Who follows a partition and who only looks what is there have readers of their own: a fetch that waits at the
        end for news would hold up the next look.
        """
        key = topic, frozenset(positions), follows
        with self._lock:
            self._refuse_if_closed()
            idle = self._idle.get(key)
            reader = idle.pop() if idle else None
        reader = reader or KafkaReader(self._config, topic, key[1], follows)
        try:
            yield reader
        except StoreError:
            self._give_back(key, reader)  # it knows what to do next
            raise
        except BaseException:
            reader.close()
            raise
        self._give_back(key, reader)

    def _give_back(self, key: tuple[str, frozenset[int], bool], reader: KafkaReader) -> None:
        with self._lock:
            if keep := not self._closed:
                self._idle.setdefault(key, []).append(reader)
        if not keep:
            reader.close()

    def _check(self, topic: str, partitions: Mapping[int, int] | Sequence[int]) -> None:
        if topic not in self._counts:
            raise SetupError(f"the log has no topic {topic!r}, only {', '.join(sorted(self._counts))}")
        for number in partitions:
            if not 0 <= number < self._counts[topic]:
                raise SetupError(f"topic {topic} has partitions 0 to {self._counts[topic] - 1}, asked for {number}")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("Kafka", "access", "the log was closed")


def _close(producer: KafkaProducer) -> None:
    with suppress(KafkaError):
        producer.close(timeout=_CLOSE_MS / 1000)
