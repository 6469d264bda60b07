"""Writing feeds into the log: at their time, all of them, once each as far as a reader can tell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.feed_writer import BATCH, RETRIES, FeedWriter, Playing
from actors.adapters.feeds import FeedBuilder, MatchFeed
from actors.domain.errors import StoreUnavailable, UnknownFixture
from actors.domain.events import Clock, FeedRecord, Goal, Tick, decode_record
from actors.domain.fixtures import Believed, Fixture, Lease, Team
from actors.domain.match import new_match
from actors.domain.ports import FEED, LogRecord, NewRecord
from actors.machines.match import fold
from actors.machines.replay import ReplayPlan, schedule

BEGIN = datetime(2020, 1, 1, 15, tzinfo=UTC)
PARTITION = 1


class FakeTime:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return 100.0 + self.passed_s

    def wait(self, seconds: float) -> None:
        assert seconds >= 0
        self.passed_s += seconds


class FlakyLog:
    """A log whose appends fail as told, before or after they took effect."""

    def __init__(self, log: SqliteLog, fates: Iterator[str], cost: Callable[[], None] = lambda: None) -> None:
        self._log, self._fates, self._cost = log, fates, cost

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        self._cost()
        fate = next(self._fates, "works")
        if fate == "refused":
            raise StoreUnavailable("log", "append", "refused")
        offsets = self._log.append(topic, partition, records)
        if fate == "no answer":
            raise StoreUnavailable("log", "append", "no answer")
        return offsets

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        return self._log.read(topic, positions, max_records, wait_s)

    def end_offsets(self, topic: str) -> dict[int, int]:
        return self._log.end_offsets(topic)

    def close(self) -> None:
        self._log.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log", {FEED: 3})
    yield log
    log.close()


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


def a_feed(match_id: str = "made:1", goals: Sequence[int] = (60_000, 120_000)) -> MatchFeed:
    fixture = Fixture(
        match_id=match_id,
        kick_off=BEGIN,
        home=Team(name="A"),
        away=Team(name="B"),
        provider_ids={"made": "1"},
        believed=Believed(events="made", clock="made"),
    )
    builder = FeedBuilder(fixture, "made")
    for ms in goals:
        builder.add(Clock(1, ms), f"g{ms}", Goal(side="home"))
    builder.phases({1: 180_000})
    return builder.build()


def playing(feed: MatchFeed, start_offset: int = 0, plan: ReplayPlan | None = None) -> Playing:
    lease = Lease(partition=PARTITION, start_offset=start_offset)
    return Playing(replace(feed.fixture, lease=lease), schedule(feed, plan or ReplayPlan()))


def writer_for(log: SqliteLog | FlakyLog, clock: FakeTime) -> FeedWriter:
    return FeedWriter(log, now=clock.now, monotonic=clock.monotonic, wait=clock.wait)


def stored(log: SqliteLog, match_id: str = "made:1") -> list[FeedRecord]:
    found = log.read(FEED, {PARTITION: 0}, 100_000, 0.0)
    return [decode_record(record.key, record.value) for record in found if record.key == match_id]


def events_of(records: Sequence[FeedRecord]) -> list[str]:
    return [record.event_id for record in records]


@pytest.mark.parametrize("speed", [0, 1, 10, 60])
def test_a_match_is_written_whole_and_in_order_at_any_speed(log: SqliteLog, clock: FakeTime, speed: float) -> None:
    match = playing(a_feed())
    assert writer_for(log, clock).play([match], speed)
    assert events_of(stored(log)) == [timed.record.event_id for timed in match.schedule]


def test_a_record_occurs_when_it_is_due_at_the_speed_played(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed())
    writer_for(log, clock).play([match], 10)
    for record, timed in zip(stored(log), match.schedule, strict=True):
        due = BEGIN + timedelta(milliseconds=timed.at_ms / 10)
        assert abs(record.occurred_at - due) < timedelta(milliseconds=1)
        assert record.received_at >= record.occurred_at
    assert clock.passed_s == pytest.approx(match.schedule[-1].at_ms / 10_000, abs=0.01)


def test_a_slow_log_delays_no_later_record_more_than_itself(log: SqliteLog, clock: FakeTime) -> None:
    slow = FlakyLog(log, iter(()), cost=lambda: clock.wait(0.3))  # of an append, while 10 a second are due
    match = playing(a_feed())
    writer_for(slow, clock).play([match], 10)
    records = stored(log)
    assert max(record.received_at - record.occurred_at for record in records) < timedelta(seconds=0.7)
    due = BEGIN + timedelta(milliseconds=match.schedule[-1].at_ms / 10)
    assert abs(records[-1].occurred_at - due) < timedelta(milliseconds=1)


def test_a_feeds_own_delay_stays_between_its_times(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed(), plan=ReplayPlan(seed=1, delay_ms=500))
    writer_for(log, clock).play([match], 1)
    for record, timed in zip(stored(log), match.schedule, strict=True):
        own = timed.record.received_at - timed.record.occurred_at
        assert record.received_at - record.occurred_at >= own - timedelta(microseconds=10)
        assert record.received_at - record.occurred_at < own + timedelta(milliseconds=50)


def test_matches_play_side_by_side(log: SqliteLog, clock: FakeTime) -> None:
    matches = [playing(a_feed("made:1")), playing(a_feed("made:2"))]
    writer_for(log, clock).play(matches, 1)
    found = log.read(FEED, {PARTITION: 0}, 100_000, 0.0)
    switches = sum(a.key != b.key for a, b in pairwise(found))
    assert switches > 100  # second by second, not one after the other
    assert events_of(stored(log, "made:1")) == events_of(stored(log, "made:2"))


def test_batches_are_bounded(log: SqliteLog, clock: FakeTime) -> None:
    sizes: list[int] = []

    class Counting(FlakyLog):
        def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
            sizes.append(len(records))
            return super().append(topic, partition, records)

    feed = a_feed(goals=range(0, 179_000, 250))
    writer_for(Counting(log, iter(())), clock).play([playing(feed)], 0)
    assert max(sizes) == BATCH
    assert sum(sizes) == len(playing(feed).schedule)


def test_a_match_without_a_lease_is_refused_by_its_name(log: SqliteLog, clock: FakeTime) -> None:
    feed = a_feed()
    with pytest.raises(UnknownFixture, match="'1' at provider 'made'"):
        writer_for(log, clock).play([Playing(feed.fixture, schedule(feed))], 1)


def test_a_restart_goes_on_where_the_log_ends_and_from_then_on(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed())
    assert not writer_for(log, clock).play([match], 1, stop=lambda: clock.passed_s > 70)
    written = len(stored(log))
    assert 60 < written < len(match.schedule)
    clock.wait(3_600)
    begun_again = clock.now()
    assert writer_for(log, clock).play([match], 1)
    records = stored(log)
    assert events_of(records) == [timed.record.event_id for timed in match.schedule]
    assert abs(records[written].occurred_at - begun_again) < timedelta(milliseconds=1)
    last = records[-1].occurred_at - records[written].occurred_at
    planned = timedelta(milliseconds=match.schedule[-1].at_ms - match.schedule[written].at_ms)
    assert abs(last - planned) < timedelta(milliseconds=1)


def test_other_matches_and_other_bytes_in_a_shared_partition_are_passed_over(log: SqliteLog, clock: FakeTime) -> None:
    writer_for(log, clock).play([playing(a_feed("made:2"))], 0)
    log.append(FEED, PARTITION, [NewRecord(key="made:1", value=b"{"), NewRecord(key="x", value=None)])
    start = log.end_offsets(FEED)[PARTITION] - 1
    match = playing(a_feed(), start_offset=start)
    writer_for(log, clock).play([match], 0)
    assert writer_for(log, clock).already_sent("made:1", match.fixture.lease, match.schedule) == len(match.schedule)  # type: ignore[arg-type]


def test_a_match_that_is_over_in_the_log_is_not_sent_again(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed())
    for _ in range(2):
        assert writer_for(log, clock).play([match], 0)
    assert len(stored(log)) == len(match.schedule)


def test_an_unanswered_append_is_repeated_and_a_restart_still_finds_its_place(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed())
    flaky = FlakyLog(log, iter(["works", "no answer", "refused", "works"] * 50))
    assert not writer_for(flaky, clock).play([match], 1, stop=lambda: clock.passed_s > 70)
    assert len(stored(log)) > len(set(events_of(stored(log))))  # some stand there twice
    assert writer_for(log, clock).play([match], 1)
    told = list(dict.fromkeys(events_of(stored(log))))
    assert told == [timed.record.event_id for timed in match.schedule]


def test_a_log_that_stays_away_ends_the_retries_and_loses_nothing(log: SqliteLog, clock: FakeTime) -> None:
    match = playing(a_feed())
    writer = writer_for(FlakyLog(log, iter(["works"] * 5 + ["refused"] * RETRIES)), clock)
    writer.add(match, 1)
    with pytest.raises(StoreUnavailable):
        while writer.step() is not None:
            clock.wait(0.5)
    while (left_s := writer.step()) is not None:  # the log is back
        clock.wait(left_s)
    assert events_of(stored(log)) == [timed.record.event_id for timed in match.schedule]


@given(
    fates=st.lists(st.sampled_from(("works", "refused", "no answer")), max_size=30),
    stops=st.lists(st.floats(1, 180), max_size=3),
    seed=st.integers(0, 100),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_faults_and_restarts_change_nothing_that_a_reader_folds(
    tmp_path_factory: pytest.TempPathFactory, fates: list[str], stops: list[float], seed: int
) -> None:
    feed = a_feed()
    match = playing(feed, plan=ReplayPlan(seed=seed, duplicate=0.1, reorder=0.1, gap=0.1))
    log, clock = SqliteLog(tmp_path_factory.mktemp("log"), {FEED: 3}), FakeTime()
    flaky = FlakyLog(log, iter(fates))
    for at_s in [*sorted(stops), None]:
        for _ in range(20):  # a writer that gave up is started again
            try:
                writer_for(flaky, clock).play([match], 1, stop=_after(clock, at_s))
                break
            except StoreUnavailable:
                continue
    state = fold(new_match(match.fixture), stored(log))
    undisturbed = fold(new_match(match.fixture), (timed.record for timed in match.schedule))
    log.close()
    assert state.summary == undisturbed.summary
    assert (state.rejected, state.clock) == ({}, undisturbed.clock)
    assert all(sequence.is_whole for sequence in state.sequences.values())


def _after(clock: FakeTime, at_s: float | None) -> Callable[[], bool]:
    return lambda: at_s is not None and clock.passed_s > at_s


def test_ticks_are_among_what_is_written(log: SqliteLog, clock: FakeTime) -> None:
    writer_for(log, clock).play([playing(a_feed())], 0)
    assert sum(isinstance(record.payload, Tick) for record in stored(log)) == 179
