"""What every event log promises (actors/domain/ports.py)."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.domain.errors import OffsetOutOfRange, SetupError
from actors.domain.ports import EventLog, LogRecord, NewRecord
from tests.conftest import eventually
from tests.contract import children
from tests.contract.twins import ATOMIC, LOGS, PARTITIONS, TOPIC, expire, finish, open_log, spawned

Opener = Callable[[], EventLog]


@pytest.fixture(params=LOGS)
def twin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def open_another(twin: str, place: str) -> Iterator[Opener]:
    """Opens the same log again and again, as other processes would."""
    opened: list[EventLog] = []

    def opener() -> EventLog:
        opened.append(open_log(twin, place))
        return opened[-1]

    yield opener
    for log in opened:
        log.close()


@pytest.fixture
def log(open_another: Opener) -> EventLog:
    return open_another()


def records(*values: bytes | None, key: str = "wyscout:1") -> list[NewRecord]:
    return [NewRecord(key=key, value=value) for value in values]


def read_all(log: EventLog, partition: int = 0, position: int = 0) -> list[LogRecord]:
    found: list[LogRecord] = []
    while batch := log.read(TOPIC, {partition: position}, 1_000, wait_s=0):
        found += batch
        position = found[-1].offset + 1
    return found


def values(found: list[LogRecord]) -> list[bytes | None]:
    return [record.value for record in found]


def test_what_is_appended_comes_back_with_its_place_and_time(log: EventLog) -> None:
    before = datetime.now(UTC)
    offsets = log.append(TOPIC, 2, records(b"goal", None, b"\x00\xff", b"", key="wyscout:7 é"))
    found = log.read(TOPIC, {2: offsets[0]}, 10, wait_s=5.0)
    assert [(record.partition, record.offset, record.key, record.value) for record in found] == [
        (2, offset, "wyscout:7 é", value)
        for offset, value in zip(offsets, [b"goal", None, b"\x00\xff", b""], strict=True)
    ]
    slack = timedelta(seconds=5)
    assert all(before - slack <= record.appended_at <= datetime.now(UTC) + slack for record in found)
    assert all(record.appended_at.utcoffset() == timedelta(0) for record in found)


def test_offsets_begin_at_zero_and_grow_by_at_least_one(log: EventLog) -> None:
    offsets = [offset for _ in range(3) for offset in log.append(TOPIC, 0, records(b"a", b"b"))]
    assert offsets[0] == 0
    assert all(later > earlier for earlier, later in pairwise(offsets))


def test_appending_nothing_is_allowed(log: EventLog) -> None:
    assert log.append(TOPIC, 0, []) == []
    assert log.end_offsets(TOPIC) == dict.fromkeys(range(PARTITIONS[TOPIC]), 0)


def test_end_offsets_name_every_partition_and_what_comes_next(log: EventLog, open_another: Opener) -> None:
    log.append(TOPIC, 1, records(b"a", b"b"))
    ends = open_another().end_offsets(TOPIC)
    assert sorted(ends) == list(range(PARTITIONS[TOPIC]))
    assert ends[0] == 0
    assert log.append(TOPIC, 1, records(b"c"))[0] >= ends[1] > 1


def test_what_was_acknowledged_is_there_after_opening_again(log: EventLog, open_another: Opener) -> None:
    log.append(TOPIC, 0, records(b"a"))
    log.close()
    again = open_another()
    again.append(TOPIC, 0, records(b"b"))
    assert values(read_all(again)) == [b"a", b"b"]


def test_topics_are_apart(log: EventLog) -> None:
    log.append(TOPIC, 0, records(b"feed"))
    log.append("fixtures.v1", 0, records(b"fixture"))
    assert values(log.read("fixtures.v1", {0: 0}, 10, wait_s=5.0)) == [b"fixture"]


def test_the_newest_record_of_a_key_can_be_read_from_a_compacted_topic(log: EventLog) -> None:
    for value in (b"postponed", b"moved"):
        log.append("fixtures.v1", 0, records(value, key="wyscout:1"))
    found = log.read("fixtures.v1", {0: 0}, 10, wait_s=5.0)
    assert {record.key: record.value for record in found} == {"wyscout:1": b"moved"}


def test_a_partition_count_that_differs_is_refused_in_one_sentence(twin: str, place: str, log: EventLog) -> None:
    with pytest.raises(SetupError, match="6 partitions, not 7") as refused:
        open_log(twin, place, {TOPIC: 7})
    assert "\n" not in str(refused.value)


def test_topics_and_partitions_that_do_not_exist_are_refused(log: EventLog) -> None:
    with pytest.raises(SetupError, match="no topic"):
        log.append("feed.v2", 0, records(b"a"))
    with pytest.raises(SetupError, match="partitions 0 to 5"):
        log.append(TOPIC, 6, records(b"a"))
    with pytest.raises(SetupError, match="partitions 0 to 5"):
        log.read(TOPIC, {0: 0, 99: 0}, 10, wait_s=0)


class TestRetention:
    def test_a_position_that_retention_removed_is_an_error_that_names_the_first_offset(
        self, twin: str, place: str, log: EventLog
    ) -> None:
        log.append(TOPIC, 0, records(*[b"x"] * 10))
        expire(twin, place, TOPIC, 0, before_offset=4)
        with pytest.raises(OffsetOutOfRange) as refused:
            log.read(TOPIC, {0: 3, 1: 0}, 10, wait_s=0)
        assert (refused.value.partition, refused.value.asked, refused.value.first) == (0, 3, 4)
        assert [record.offset for record in read_all(log, position=4)] == list(range(4, 10))

    def test_offsets_never_come_back_even_if_everything_was_removed(
        self, twin: str, place: str, log: EventLog, open_another: Opener
    ) -> None:
        log.append(TOPIC, 0, records(b"a", b"b"))
        expire(twin, place, TOPIC, 0, before_offset=2)
        log.close()
        again = open_another()
        assert again.end_offsets(TOPIC)[0] == 2
        assert again.read(TOPIC, {0: 2}, 10, wait_s=0) == []
        assert again.append(TOPIC, 0, records(b"c")) == [2]

    def test_a_position_behind_the_end_belongs_to_another_log(self, log: EventLog) -> None:
        log.append(TOPIC, 0, records(b"a"))
        with pytest.raises(OffsetOutOfRange):
            log.read(TOPIC, {0: 2}, 10, wait_s=0)


APPENDS = st.tuples(
    st.just("append"),
    st.integers(0, 2),
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=5), st.none() | st.binary(max_size=20)), max_size=4
    ),
)
READS = st.tuples(st.just("read"), st.sets(st.integers(0, 2), min_size=1), st.integers(1, 5))
REOPENS = st.tuples(st.just("reopen"))


@pytest.mark.parametrize("twin", LOGS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(APPENDS, READS, REOPENS), max_size=20))
def test_the_log_is_a_list_per_partition(
    twin: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    follow_the_model(twin, str(tmp_path_factory.mktemp("model")), steps)


def follow_the_model(twin: str, place: str, steps: list[tuple[Any, ...]]) -> None:
    log = open_log(twin, place)
    model: dict[int, list[tuple[int, str, bytes | None]]] = {partition: [] for partition in range(3)}
    seen: dict[int, list[tuple[int, str | None, bytes | None]]] = {partition: [] for partition in range(3)}
    positions = dict.fromkeys(model, 0)
    for step in steps:
        match step:
            case ("append", partition, pairs):
                offsets = log.append(TOPIC, partition, [NewRecord(key=key, value=value) for key, value in pairs])
                model[partition] += [(offset, *pair) for offset, pair in zip(offsets, pairs, strict=True)]
            case ("read", partitions, limit):
                found = log.read(TOPIC, {p: positions[p] for p in partitions}, limit, wait_s=0)
                waits = sum(len(model[p]) - len(seen[p]) for p in partitions)
                assert min(1, waits) <= len(found) <= min(limit, waits)
                for record in found:
                    seen[record.partition].append((record.offset, record.key, record.value))
                    positions[record.partition] = record.offset + 1
            case ("reopen",):
                log.close()
                log = open_log(twin, place)
        assert all(seen[p] == model[p][: len(seen[p])] for p in model)
    log.close()


class TestFairness:
    def test_a_busy_partition_does_not_starve_the_others(self, log: EventLog) -> None:
        """More comes for the busy one than is read of it; a server may hand over what it fetched of it at first."""
        log.append(TOPIC, 0, records(*[b"busy"] * 500))
        for quiet in (1, 2, 5):
            log.append(TOPIC, quiet, records(b"quiet"))
        positions = dict.fromkeys(range(6), 0)
        met: set[int] = set()
        for _ in range(200):
            log.append(TOPIC, 0, records(*[b"busy"] * 5))
            for record in log.read(TOPIC, positions, 4, wait_s=5.0):
                positions[record.partition] = record.offset + 1
                met.add(record.partition)
        assert met == {0, 1, 2, 5}

    def test_more_busy_partitions_than_records_asked_for_all_move(self, log: EventLog) -> None:
        for partition in range(6):
            log.append(TOPIC, partition, records(*[b"busy"] * 30))
        positions, reads = dict.fromkeys(range(6), 0), 0
        while min(positions.values()) == 0 and reads < 6 * 30:
            reads += 1
            for record in log.read(TOPIC, positions, 1, wait_s=5.0):
                positions[record.partition] = record.offset + 1
        assert sum(positions.values()) == reads
        assert min(positions.values()) > 0

    def test_no_read_returns_more_than_asked_for_and_reading_on_brings_the_rest(self, log: EventLog) -> None:
        for partition in range(3):
            log.append(TOPIC, partition, records(*[b"x"] * 7))
        for limit in (1, 2, 4, 20, 50):
            positions, reads = dict.fromkeys(range(3), 0), list[int]()
            while found := log.read(TOPIC, positions, limit, wait_s=0):
                reads.append(len(found))
                for record in found:
                    assert record.offset == positions[record.partition]
                    positions[record.partition] += 1
            assert max(reads) <= limit and sum(reads) == 21


class TestWaiting:
    def test_a_read_without_news_returns_nothing_after_its_wait_and_not_before(self, log: EventLog) -> None:
        log.append(TOPIC, 0, records(b"old"))
        began = time.monotonic()
        assert log.read(TOPIC, {0: 1, 3: 0}, 10, wait_s=0.3) == []
        assert time.monotonic() - began >= 0.3

    def test_a_read_that_finds_something_does_not_wait(self, log: EventLog) -> None:
        log.append(TOPIC, 0, records(b"a"))
        began = time.monotonic()
        for _ in range(20):
            assert log.read(TOPIC, {0: 0, 1: 0}, 10, wait_s=5.0)
        assert time.monotonic() - began < 20 * 5.0 / 2

    def test_a_waiting_read_is_woken_by_another_process(self, twin: str, place: str, log: EventLog) -> None:
        """Forty questions and answers: were each wake-up left to a poll once a second, they would take a minute."""
        rounds, began = 40, 0.0
        with spawned(children.answer_each, twin, place, rounds) as process:
            for number in range(rounds):
                log.append(TOPIC, 0, records(str(number).encode()))
                answer = children.wait_for(log, 1, number, 1)
                began = began or time.monotonic()  # the first round includes the start of the process
                assert values(answer) == [str(number).encode()]
            took_s = time.monotonic() - began
            finish(process)
        assert took_s < rounds / 2

    def test_a_partition_that_was_never_written_wakes_its_reader_at_the_first_record(
        self, log: EventLog, open_another: Opener
    ) -> None:
        reader, waiting = open_another(), threading.Event()

        def wait() -> list[LogRecord]:
            waiting.set()
            return reader.read(TOPIC, dict.fromkeys(range(6), 0), 10, wait_s=30.0)

        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(wait)
            assert waiting.wait(10)
            began = time.monotonic()
            log.append(TOPIC, 4, records(b"first"))
            assert values(found.result(timeout=30)) == [b"first"]
            assert time.monotonic() - began < 15.0

    def test_threads_share_one_instance(self, log: EventLog) -> None:
        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(children.wait_for, log, partition % 2, 0, 60) for partition in range(2)]
            writers = [
                pool.submit(lambda p: [log.append(TOPIC, p, records(b"%d" % n)) for n in range(60)], partition)
                for partition in range(2)
            ]
            for writer in writers:
                writer.result(timeout=60)
            for reader in readers:
                assert values(reader.result(timeout=60)) == [b"%d" % n for n in range(60)]


class TestProcesses:
    def test_two_processes_append_to_one_partition_and_a_third_reads_along(
        self, twin: str, place: str, tmp_path: Path, log: EventLog
    ) -> None:
        count, result = 150, tmp_path / "read"
        with (
            spawned(children.read_numbers, twin, place, 0, 2 * count, str(result)) as reader,
            spawned(children.append_numbers, twin, place, "one", 0, count) as one,
            spawned(children.append_numbers, twin, place, "two", 0, count) as two,
        ):
            finish(one, two, reader)
        found = read_all(log)
        for writer in ("one", "two"):
            assert [int(r.value or b"") for r in found if r.key == writer] == list(range(count))
        offsets = [record.offset for record in found]
        assert len(set(offsets)) == 2 * count and offsets == sorted(offsets)
        assert result.read_text().splitlines() == [f"{r.offset} {(r.value or b'').decode()}" for r in found]

    def test_processes_that_create_the_log_together_agree(self, twin: str, place: str) -> None:
        with (
            spawned(children.append_numbers, twin, place, "one", 0, 20) as one,
            spawned(children.append_numbers, twin, place, "two", 0, 20) as two,
            spawned(children.append_numbers, twin, place, "three", 0, 20) as three,
        ):
            finish(one, two, three)
        log = open_log(twin, place)
        assert len(read_all(log)) == 60
        log.close()

    def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged_and_tears_nothing(
        self, twin: str, place: str, tmp_path: Path, log: EventLog
    ) -> None:
        notes = tmp_path / "acknowledged"
        notes.touch()
        for killed in range(4):
            noted = notes.stat().st_size
            with spawned(children.append_until_killed, twin, place, f"w{killed}", str(notes)):
                eventually(lambda enough=noted + 400 * (killed + 1): notes.stat().st_size > enough, timeout_s=60)
            # SIGKILL came at the end of the block, wherever the writer was
        found = {record.offset: (record.value or b"").decode() for record in read_all(log)}
        acknowledged = dict(line.split(" ", 1) for line in notes.read_text().splitlines())
        assert len(acknowledged) > 100
        assert {int(offset): value for offset, value in acknowledged.items()}.items() <= found.items()
        for killed in range(4):
            kept = [value for _, value in sorted(found.items()) if value.startswith(f"w{killed}:")]
            expected = [f"w{killed}:{number}:{part}" for number in range(len(kept)) for part in range(children.BATCH)]
            assert kept == expected[: len(kept)], "every record once and in order"
            assert twin not in ATOMIC or len(kept) % children.BATCH == 0, "whole batches, the last one included"
        assert log.append(TOPIC, 0, records(b"after")) == [max(found) + 1]
