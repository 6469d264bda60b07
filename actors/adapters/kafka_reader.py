"""One consumer of some partitions of one topic, and the answers to what kafka-python 3.0 does not do by itself.

- A record that fails its checksum makes `poll` raise, and then hang for ever at that offset: it is stepped over by
  `seek`, and told to the caller as a record with a problem.
- A consumer can stop moving while its connections look well. Whether records wait that do not come is asked of the
  broker from outside; such a consumer is built anew.
- A broker that is away looks like one that has no news: the same question tells them apart.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, OffsetOutOfRangeError

from actors.adapters.kafka_client import MOST_BYTES, REQUEST_TIMEOUT_MS, client_options
from actors.domain.errors import OffsetOutOfRange, StoreUnavailable
from actors.domain.ports import LogRecord
from conf.stores import KafkaFeedConfig

logger = logging.getLogger("touchline.kafka")

LOOK_EVERY_S = 1.0  # while nothing comes
STUCK_S = 5.0  # records wait and none comes: the consumer is built anew
GIVE_UP_S = 15.0  # and then the caller is told
_SLICE_S = 0.5  # of one poll
_LOOK_WAIT_MS = 10  # how long a broker may wait for news where somebody only looks
_FOLLOW_WAIT_MS = 500
DAMAGED = "its checksum does not match: these are not the bytes that were appended"


class KafkaReader:
    """Reads some partitions of one topic from wherever it is told. Belongs to one thread at a time."""

    def __init__(self, config: KafkaFeedConfig, topic: str, partitions: Iterable[int], follows: bool) -> None:
        """Connect. `follows`: whether it will mostly wait for news, rather than look what is there."""
        self._config, self._topic, self._follows = config, topic, follows
        self._places = {number: TopicPartition(config.topic_prefix + topic, number) for number in partitions}
        self._consumer = self._connected(self._places.values())
        self._next: dict[int, int] = {}  # where the consumer will read on
        self._looked_at = time.monotonic()
        self._stuck_since: float | None = None
        self._rebuilt_at = float("-inf")
        self.rebuilt = 0

    def read(self, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        """Read as EventLog.read does; without a wait, nothing is returned only where there is nothing."""
        deadline = time.monotonic() + wait_s
        if wait_s <= 0 and not self._has_news(positions):
            return []
        self._seek(positions)
        while True:
            left_s = deadline - time.monotonic() if wait_s > 0 else _SLICE_S
            try:
                records = self._poll(max_records, min(max(left_s, 0.0), _SLICE_S))
            except OffsetOutOfRangeError as error:
                raise self._out_of_range(positions) or error from error
            except CorruptRecordError as error:
                records = self._stepped_over(max_records, error)
            if records:
                self._stuck_since = None
                return records
            if self._is_idle(deadline if wait_s > 0 else None):
                return []

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Ask the broker where partitions end; raises KafkaError where it does not answer."""
        return self._offsets(self._consumer.end_offsets, partitions)

    def close(self) -> None:
        """Let go of the connection."""
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=100)

    def _connected(self, places: Iterable[TopicPartition]) -> KafkaConsumer:
        consumer = KafkaConsumer(
            **client_options(self._config),
            enable_auto_commit=False,
            auto_offset_reset="none",  # raises: anything else would skip records without a word
            fetch_max_wait_ms=_FOLLOW_WAIT_MS if self._follows else _LOOK_WAIT_MS,
            max_partition_fetch_bytes=MOST_BYTES,
            allow_auto_create_topics=False,
        )
        consumer.assign(list(places))
        return consumer

    def _seek(self, positions: Mapping[int, int]) -> None:
        for number, position in positions.items():
            if self._next.get(number) != position:
                self._consumer.seek(self._places[number], position)
                self._next[number] = position

    def _poll(self, max_records: int, wait_s: float) -> list[LogRecord]:
        polled = self._consumer.poll(timeout_ms=round(wait_s * 1000), max_records=max_records)
        records = [_record(place.partition, each) for place, found in polled.items() for each in found]
        for record in records:
            self._next[record.partition] = record.offset + 1
        return records

    def _has_news(self, positions: Mapping[int, int]) -> bool:
        ends = self.ends(positions)
        behind = {number: position for number, position in positions.items() if position > ends[number]}
        if behind and (refused := self._out_of_range(behind)) is not None:
            raise refused
        return any(position < ends[number] for number, position in positions.items())

    def _is_idle(self, deadline: float | None) -> bool:
        """Say whether to stop waiting: the time is up and there is nothing; raise where there is, or nobody answers."""
        now = time.monotonic()
        is_over = deadline is None or now >= deadline
        if now - self._looked_at < LOOK_EVERY_S and deadline is not None:
            return is_over
        self._looked_at = now
        if not self._waiting():
            self._stuck_since = None
            return is_over
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        self._heal(now, self._stuck_since)
        return is_over and deadline is not None

    def _waiting(self) -> bool:
        ends = self.ends(self._next)
        return any(position < ends[number] for number, position in self._next.items())

    def _heal(self, now: float, stuck_since: float) -> None:
        if now - stuck_since >= GIVE_UP_S:
            self._stuck_since = None
            raise StoreUnavailable(self._topic, "reading", f"records wait, none came for {now - stuck_since:.0f} s")
        if now - max(stuck_since, self._rebuilt_at) >= STUCK_S:
            logger.warning("Consumer does not move, built anew", extra={"topic": self._topic, "rebuilt": self.rebuilt})
            self._rebuild()
            self._rebuilt_at = now

    def _rebuild(self) -> None:
        self.close()
        self._consumer = self._connected(self._places.values())
        positions, self._next = self._next, {}
        self._seek(positions)
        self.rebuilt += 1

    def _out_of_range(self, positions: Mapping[int, int]) -> OffsetOutOfRange | None:
        """Return the error for the first position that the log does not hold."""
        firsts = self._offsets(self._consumer.beginning_offsets, positions)
        ends = self.ends(positions)
        self._next = {}  # so that the next read seeks
        for number, position in positions.items():
            if not firsts[number] <= position <= ends[number]:
                return OffsetOutOfRange(self._topic, number, position, firsts[number])
        return None

    def _offsets(self, ask: Any, partitions: Iterable[int]) -> dict[int, int]:
        found = ask([self._places[number] for number in partitions], timeout_ms=REQUEST_TIMEOUT_MS)
        return {place.partition: int(offset) for place, offset in found.items()}

    def _stepped_over(self, max_records: int, error: CorruptRecordError) -> list[LogRecord]:
        """Return the records that cannot be read, of the first partition that has any; read on behind them."""
        ends = self.ends(self._next)
        for number, position in list(self._next.items()):
            damaged = list(islice(self._damaged(number, position, ends[number]), max_records))
            if damaged:
                logger.error("Damaged records", extra={"topic": self._topic, "partition": number, "offset": position})
                self._seek({number: damaged[-1].offset + 1})
                return damaged
        raise error

    def _damaged(self, number: int, position: int, end: int) -> Iterator[LogRecord]:
        """Yield a record with a problem for each offset that cannot be read; a batch is read whole or not at all."""
        probe = self._connected([self._places[number]])
        try:
            for offset in range(position, end):
                probe.seek(self._places[number], offset)
                try:
                    probe.poll(timeout_ms=REQUEST_TIMEOUT_MS, max_records=1)
                    return
                except CorruptRecordError:
                    now = datetime.now(UTC)
                    yield LogRecord(
                        partition=number, offset=offset, key=None, value=None, appended_at=now, problem=DAMAGED
                    )
        finally:
            with suppress(KafkaError):
                probe.close(autocommit=False, timeout_ms=100)


def _record(partition: int, record: Any) -> LogRecord:
    key = None if record.key is None else record.key.decode(errors="replace")
    appended_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return LogRecord(partition=partition, offset=record.offset, key=key, value=record.value, appended_at=appended_at)
