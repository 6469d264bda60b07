"""The supervisor on a real log, with match actors that are played by hand."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.domain.errors import StoreUnavailable
from actors.domain.fixtures import Fixture, Lease, Team, decode_fixture
from actors.domain.ports import FEED, FIXTURES, FORECASTS, NewRecord
from actors.machines.fixtures import SupervisorSettings
from actors.match import Progress
from actors.supervisor import FixtureBook, FixtureSupervisor
from tests.conftest import eventually
from tests.unit.audited import PARTITIONS, announce, open_log
from tests.unit.fakes import Fate, MemoryLog

NOW = datetime(2026, 8, 1, 15, tzinfo=UTC)
SETTINGS = SupervisorSettings(partitions=PARTITIONS, shared_partitions=1)
NEVER_S = 3_600.0  # rounds are done by the tests


class Runner:
    """A MatchRunner whose actors are entries of a dict; what they say is set by the test."""

    def __init__(self) -> None:
        self.running: dict[str, Progress] = {}
        self.calls: list[tuple[str, str]] = []
        self.silent: set[str] = set()
        self.broken: dict[str, Exception] = {}  # what starting a match raises

    def start(self, fixture: Fixture) -> None:
        self.calls.append(("start", fixture.match_id))
        if fixture.match_id in self.broken:
            raise self.broken[fixture.match_id]
        assert fixture.lease is not None
        self.running.setdefault(fixture.match_id, progress(fixture.match_id))

    def progress(self, match_ids: Sequence[str]) -> dict[str, Progress]:
        return {i: self.running[i] for i in match_ids if i in self.running and i not in self.silent}

    def stop(self, match_id: str) -> None:
        self.calls.append(("stop", match_id))
        self.running.pop(match_id, None)

    def says(self, match_id: str, **changes: object) -> None:
        self.running[match_id] = replace(self.running[match_id], **changes)


def progress(match_id: str, **changes: object) -> Progress:
    told = Progress(
        match_id=match_id,
        epoch=0,
        offset=-1,
        next_offset=0,
        phase="scheduled",
        is_settled=False,
        failed=None,
        is_fenced=False,
    )
    return replace(told, **changes)


class World:
    """A supervisor whose clock is moved by hand."""

    def __init__(self, log: SqliteLog | MemoryLog) -> None:
        self.log, self.runner, self.clock_s = log, Runner(), 1_000.0
        self.supervisor = self.supervise()

    def supervise(self) -> FixtureSupervisor:
        return FixtureSupervisor(
            lambda: self.log,
            lambda: self.runner,
            SETTINGS,
            every_s=NEVER_S,
            monotonic=lambda: self.clock_s,
            now=lambda: NOW + timedelta(seconds=self.clock_s - 1_000),
        )

    def restart(self) -> None:
        """The supervisor dies and is started again; the actors go on."""
        self.supervisor.stop()
        self.supervisor = self.supervise()

    def tend(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.supervisor.tend()
            self.clock_s += 1.0

    def fixture(self, match_id: str) -> Fixture:
        book = FixtureBook(self.log)
        book.refresh()
        return book.fixtures[match_id]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    log = open_log(tmp_path)
    world = World(log)
    yield world
    world.supervisor.stop()
    log.close()


def a_fixture(match_id: str, kick_off: datetime = NOW) -> Fixture:
    return Fixture(match_id=match_id, kick_off=kick_off, home=Team(name="A"), away=Team(name="B"))


def feed(world: World, partition: int, count: int) -> None:
    world.log.append(FEED, partition, [NewRecord(key="x", value=b"{}")] * count)


def test_an_announced_match_is_leased_where_the_log_ends_and_started(world: World) -> None:
    feed(world, 0, 3)
    world.log.append(FORECASTS, 0, [NewRecord(key="x", value=b"{}")] * 2)
    announce(world.log, a_fixture("m"))
    world.tend(2)
    lease = world.fixture("m").lease
    assert lease is not None
    assert (lease.partition, lease.start_offset, lease.forecasts_from, lease.shared) == (0, 3, 2, False)
    assert world.runner.calls == [("start", "m")]
    assert world.supervisor.status()["m"].is_running


def test_more_matches_than_partitions_share_the_last_one(world: World) -> None:
    announce(world.log, *[a_fixture(f"m{number}") for number in range(5)])
    world.tend(2)
    leases = [world.fixture(f"m{number}").lease for number in range(5)]
    assert [(lease.partition, lease.shared) for lease in leases if lease] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (3, True),
    ]
    assert len(world.runner.running) == 5


def test_a_match_that_failed_is_started_again_each_time_a_little_later(world: World) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    starts = []
    for _ in range(20):
        if "m" in world.runner.running:
            starts.append(world.clock_s)
            world.runner.says("m", failed="disk full")
        world.tend()
    assert [later - sooner for sooner, later in pairwise(starts)] == [2, 2, 3, 5]
    assert world.runner.calls[:3] == [("start", "m"), ("stop", "m"), ("start", "m")]


@pytest.mark.parametrize("how", ["gone", "silent", "stuck"])
def test_a_match_that_does_not_move_is_started_again(world: World, how: str) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    feed(world, 0, 10)
    world.runner.says("m", offset=5, next_offset=6)
    world.tend()
    if how == "gone":
        del world.runner.running["m"]
    elif how == "silent":
        world.runner.silent = {"m"}
    world.tend(20)
    assert world.runner.calls == [("start", "m"), ("stop", "m"), ("start", "m")]


def test_a_match_that_was_fenced_is_started_again_at_once(world: World) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    world.runner.says("m", is_fenced=True)
    world.tend(2)
    assert world.runner.calls[1:] == [("stop", "m"), ("start", "m")]


def test_a_quiet_match_on_a_partition_that_others_used_is_left_alone(world: World) -> None:
    feed(world, 0, 30)
    announce(world.log, a_fixture("m"))
    world.tend(2)
    world.runner.says("m", next_offset=30)
    world.tend(200)
    assert world.runner.calls == [("start", "m")]


def test_a_settled_match_is_retired_and_its_partition_is_given_to_the_next(world: World) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    feed(world, 0, 10)
    world.runner.says("m", offset=9, next_offset=10, is_settled=True)
    world.tend(70)
    assert world.fixture("m").status == "retired"
    assert world.runner.running == {}
    assert "m" not in world.supervisor.status()
    announce(world.log, a_fixture("next"))
    world.tend(2)
    lease = world.fixture("next").lease
    assert lease is not None
    assert (lease.partition, lease.start_offset) == (0, 10)


def test_an_abandoned_match_is_retired_hours_after_its_last_record(world: World) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    world.runner.says("m", phase="abandoned", offset=4, next_offset=5)
    world.tend()
    world.clock_s += SETTINGS.retire_unfinished_after_s - 10
    world.tend()
    assert world.fixture("m").status == "scheduled"
    world.clock_s += 10
    world.tend()
    assert world.fixture("m").status == "retired"
    assert world.runner.running == {}


def test_a_supervisor_that_was_restarted_finds_what_runs_and_starts_nothing_twice(world: World) -> None:
    announce(world.log, a_fixture("m"), a_fixture("n"))
    world.tend(2)
    world.runner.says("m", offset=7, next_offset=8)
    del world.runner.running["n"]  # it died with the supervisor
    before = {match_id: world.fixture(match_id) for match_id in ("m", "n")}
    world.restart()
    world.tend(3)
    assert {match_id: world.fixture(match_id) for match_id in ("m", "n")} == before
    assert world.runner.running["m"].offset == 7
    assert set(world.runner.running) == {"m", "n"}
    assert ("stop", "m") not in world.runner.calls
    world.runner.says("m", is_settled=True)
    world.tend(70)
    assert world.fixture("m").status == "retired"


def test_one_match_that_cannot_be_started_does_not_hold_up_the_others(world: World) -> None:
    world.runner.broken = {"a": RuntimeError("no such thing")}
    announce(world.log, a_fixture("a"), a_fixture("b"))
    world.tend(2)
    assert set(world.runner.running) == {"b"}
    world.runner.broken = {}
    world.tend(2)
    assert set(world.runner.running) == {"a", "b"}
    assert world.supervisor.status()["a"].failures == 1


def test_announcing_a_match_again_moves_it_and_leaves_it_its_partition(world: World) -> None:
    announce(world.log, a_fixture("m"))
    world.tend(2)
    lease = world.fixture("m").lease
    announce(world.log, a_fixture("m", kick_off=NOW + timedelta(days=2)))
    world.tend(2)
    assert world.fixture("m").lease == lease
    assert world.fixture("m").kick_off == NOW + timedelta(days=2)
    assert world.runner.calls == [("start", "m")]


def test_an_unreadable_fixture_is_passed_over(world: World) -> None:
    world.log.append(FIXTURES, 0, [NewRecord(key="bad", value=b"{"), NewRecord(key="gone", value=None)])
    announce(world.log, a_fixture("m"))
    world.tend(2)
    assert set(world.runner.running) == {"m"}


@pytest.mark.parametrize("failing", range(1, 9))
def test_whatever_the_log_refuses_or_forgets_to_answer_the_match_gets_one_lease_and_one_actor(failing: int) -> None:
    for fate in (Fate(before={failing}), Fate(after={failing})):
        log = MemoryLog(partitions=PARTITIONS)
        announce(log, a_fixture("m"))
        world = World(log)
        log.fate = fate
        for _ in range(4):
            try:
                world.tend()
            except StoreUnavailable:
                world.clock_s += 1.0
        world.supervisor.stop()
        log.fate = Fate()
        announced = [decode_fixture(record.value or b"") for record in log.topics[FIXTURES][0]]
        assert len({repr(fixture.lease) for fixture in announced if fixture.lease}) == 1
        assert list(world.runner.running) == ["m"]
        assert [call for call in world.runner.calls if call[0] == "start"] == [("start", "m")]


@pytest.mark.parametrize("trouble", [StoreUnavailable("log", "read", "gone"), RuntimeError("a bug of ours")])
def test_supervision_goes_on_after_any_error(trouble: Exception) -> None:
    class Sick(MemoryLog):
        rounds = 0

        def end_offsets(self, topic: str) -> dict[int, int]:
            self.rounds += topic == FEED
            if self.rounds in (1, 2):
                raise trouble
            return super().end_offsets(topic)

    log, runner = Sick(partitions=PARTITIONS), Runner()
    announce(log, a_fixture("m", kick_off=datetime.now(UTC)))
    supervisor = FixtureSupervisor(lambda: log, lambda: runner, SETTINGS, every_s=0.01)
    try:
        eventually(lambda: "m" in runner.running)
    finally:
        supervisor.stop()


class TestLeases:
    """Which lease counts is decided by the log alone, whoever wrote it and whatever compaction leaves of it."""

    def leases(self, log: SqliteLog | MemoryLog) -> dict[str, int | None]:
        book = FixtureBook(log)
        book.refresh()
        return {i: fixture.lease and fixture.lease.partition for i, fixture in book.fixtures.items()}

    def test_of_two_supervisors_that_lease_one_match_the_first_in_the_log_counts(self) -> None:
        log = MemoryLog()
        announce(log, a_fixture("a:1"))
        one, two = FixtureBook(log), FixtureBook(log)
        one.refresh()
        two.refresh()
        one.save(replace(one.fixtures["a:1"], lease=Lease(partition=1, start_offset=0)))
        two.save(replace(two.fixtures["a:1"], lease=Lease(partition=2, start_offset=0)))
        assert [book.fixtures["a:1"].lease.partition for book in (one, two)] == [1, 1]  # type: ignore[union-attr]
        two.say_again()
        assert self.leases(log) == {"a:1": 1}
        newest = decode_fixture(log.topics[FIXTURES][0][-1].value or b"")
        assert newest.lease is not None and newest.lease.partition == 1, "what compaction keeps says so too"

    def test_a_partition_that_two_supervisors_lease_is_the_first_matchs_and_the_other_gets_another(self) -> None:
        log = MemoryLog()
        announce(log, a_fixture("a:1"), a_fixture("b:2"))
        one, two = FixtureBook(log), FixtureBook(log)
        one.refresh()
        two.refresh()
        one.save(replace(one.fixtures["a:1"], lease=Lease(partition=0, start_offset=0)))
        two.save(replace(two.fixtures["b:2"], lease=Lease(partition=0, start_offset=0)))
        assert self.leases(log) == {"a:1": 0, "b:2": None}
        World(log).supervisor.tend()
        assert self.leases(log) == {"a:1": 0, "b:2": 1}

    def test_a_match_that_is_announced_again_keeps_its_lease_also_behind_compaction(self) -> None:
        log = MemoryLog()
        announce(log, a_fixture("a:1"))
        world = World(log)
        world.supervisor.tend()
        announce(log, a_fixture("a:1"))
        world.supervisor.tend()
        compacted = MemoryLog()
        last = log.topics[FIXTURES][0][-1]
        compacted.append(FIXTURES, 0, [NewRecord(key=last.key or "", value=last.value)])
        assert self.leases(compacted) == self.leases(log) == {"a:1": 0}

    def ended(self) -> MemoryLog:
        """Return a log in which `a:1` had partition 0 and is retired."""
        log = MemoryLog()
        announce(log, a_fixture("a:1"))
        World(log).supervisor.tend()
        book = FixtureBook(log)
        book.refresh()
        book.save(replace(book.fixtures["a:1"], status="retired"))
        return log

    def test_a_retired_match_that_is_announced_as_before_stays_retired(self) -> None:
        log = self.ended()
        announce(log, a_fixture("a:1"))
        world = World(log)
        world.supervisor.tend()
        assert world.fixture("a:1").status == "retired"
        assert world.runner.calls == []
        assert decode_fixture(log.topics[FIXTURES][0][-1].value or b"").status == "retired"

    def test_a_retired_match_that_is_played_later_goes_on_where_its_snapshots_and_its_history_are(self) -> None:
        log = self.ended()
        announce(log, a_fixture("b:2"))
        lease = World(log).fixture("a:1").lease
        announce(log, a_fixture("a:1", NOW + timedelta(hours=1)))
        world = World(log)
        assert (world.fixture("a:1").lease, world.fixture("a:1").status) == (lease, "scheduled")
        world.supervisor.tend()
        assert ("start", "a:1") in world.runner.calls
        assert self.leases(log) == {"a:1": 0, "b:2": 1}

    def test_a_retired_match_whose_partition_is_another_s_now_stays_retired(self) -> None:
        log = self.ended()
        announce(log, a_fixture("b:2"))
        World(log).supervisor.tend()
        announce(log, a_fixture("a:1", NOW + timedelta(hours=1)))
        world = World(log)
        world.supervisor.tend()
        assert self.leases(log) == {"a:1": 0, "b:2": 0}
        assert world.fixture("a:1").status == "retired"
