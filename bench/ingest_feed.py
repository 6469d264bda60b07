"""What bench/ingest reads: sixteen matches with ticks and made-up odds, a partition each, as 300 B and as 1 KB records.

The matches are the four that ship with the repository, each four times under names of its own. As 300 B records they
are just what the feed sends. As 1 KB records every one of them also carries the provider's own message, as feeds do: a
`raw` object of qualifiers that fills it up to 1,000 bytes. Our decoder has no use for it but must read past it.

The topic comes in two halves, `a` and `b`, of eight partitions: so a framework's process is given its half by name.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.adapters.feeds import read_feed
from actors.adapters.kafka_log import KafkaLog
from actors.adapters.kafka_topics import ensure_topics
from actors.domain.events import encode_record
from actors.domain.fixtures import Fixture, Lease
from actors.domain.ports import DEAD_LETTERS, FEED, FORECASTS, NewRecord
from actors.machines.replay import ReplayPlan, announced, rename, schedule
from cluster.feeds import demo_files
from conf.stores import KafkaFeedConfig

HALVES = ("a", "b")
MATCHES = 16
SIZES = (300, 1_000)  # bytes of a record's value, about
PARTITIONS = {FEED: MATCHES // 2, FORECASTS: MATCHES // 2, DEAD_LETTERS: 1}
_PLAN = ReplayPlan(seed=1, simulated_odds=True)
_APPEND = 2_000  # records at a time


class Played(Struct, frozen=True, kw_only=True):
    """One match, preloaded: all of its partition."""

    kafka: KafkaFeedConfig
    fixture: Fixture
    records: int
    value_bytes: int

    @property
    def topic(self) -> str:
        """The name of the topic that holds it."""
        return self.kafka.topic_prefix + FEED


def preload(server: str, size: int) -> list[Played]:
    """Fill the topic with all matches in records of about `size` bytes."""
    halves = [KafkaFeedConfig(servers=[server], topic_prefix=f"ingest-{size}-{half}-") for half in HALVES]
    logs = [KafkaLog(kafka, PARTITIONS) for kafka in halves]
    for kafka in halves:
        ensure_topics(kafka, PARTITIONS)
    played = [_append(halves[number % 2], logs[number % 2], number, size) for number in range(MATCHES)]
    for log in logs:
        log.close()
    return played


def _append(kafka: KafkaFeedConfig, log: KafkaLog, number: int, size: int) -> Played:
    files, partition = demo_files(), number // 2
    fixture, values = recorded(files[number % len(files)], f"bench:{number}", size)
    records = [NewRecord(key=fixture.match_id, value=value) for value in values]
    for start in range(0, len(records), _APPEND):
        log.append(FEED, partition, records[start : start + _APPEND])
    leased = replace(fixture, lease=Lease(partition=partition, start_offset=0))
    return Played(kafka=kafka, fixture=leased, records=len(records), value_bytes=sum(map(len, values)))


def recorded(path: Path, match_id: str, size: int) -> tuple[Fixture, list[bytes]]:
    """Return a recorded match under another name, and what its feed sends."""
    feed = read_feed(path)
    feed = rename(feed, match_id, feed.fixture.kick_off)
    values = [encode_record(timed.record) for timed in schedule(feed, _PLAN)]
    return announced(feed.fixture, _PLAN), values if size == SIZES[0] else filled_up(values, size)


def filled_up(values: Sequence[bytes], size: int) -> list[bytes]:
    """Return the records, those that are smaller than `size` with the provider's message in them."""
    return [value[:-1] + _raw(size - len(value)) + b"}" for value in values]


def _raw(room: int) -> bytes:
    """Return a member `raw` of at most `room` bytes; nothing if it does not fit."""
    raw = {"type": "event", "qualifiers": list[dict[str, object]]()}
    left = room - len(b',"raw":') - len(msgspec.json.encode(raw))
    for number in count(100):
        qualifier = {"id": number, "name": f"Qualifier{number}", "value": f"{number * 7 % 100}.5"}
        left -= len(msgspec.json.encode(qualifier)) + 1
        if left < 0:
            break
        raw["qualifiers"].append(qualifier)  # type: ignore[attr-defined]
    return b',"raw":' + msgspec.json.encode(raw) if raw["qualifiers"] else b""
