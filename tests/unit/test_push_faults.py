"""What the stream does when the log fails, or no longer holds what was missed."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.memory_view import MemoryView
from actors.domain.errors import StoreUnavailable
from actors.domain.fixtures import encode_fixture
from actors.domain.ports import FIXTURES, FORECASTS, LogRecord, NewRecord, ViewEntry
from serve_app.app import Api, build_app
from serve_app.background import Background
from serve_app.cursor import NOWHERE, Position, decode_position
from serve_app.deps import Limits
from tests.conftest import eventually
from tests.unit.api_world import (
    MATCH,
    OTHER,
    World,
    a_fixture,
    a_forecast,
    a_pulse,
    a_world,
    beat_until,
    opened,
    serving,
)
from tests.unit.push_client import Client
from tests.unit.tally import Tally

QUIET = Limits(heartbeat_s=3600)


class Flaky:
    """A log of which every second read fails."""

    def __init__(self, world: World) -> None:
        self._log, self._reads = world.log, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        self._reads += 1
        if self._reads % 2:
            raise StoreUnavailable("log", "read", "the broker is away")
        return self._log.read(topic, positions, max_records, wait_s)


def test_a_log_that_fails_now_and_then_is_read_to_its_end(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=1))
        with serving(world, log=Flaky(world)) as client:
            world.publish(a_forecast(seq=2))
            eventually(lambda: client.get(f"/v1/matches/{MATCH}/forecast").json()["seq"] == 2)


class Broken:
    """A log of which one topic cannot be read: it fails in a way that nobody expects, or never answers."""

    def __init__(self, world: World, topic: str, answer: Callable[[], None]) -> None:
        self._log, self._topic, self._answer = world.log, topic, answer

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        if topic == self._topic:
            self._answer()
        return self._log.read(topic, positions, max_records, wait_s)


@pytest.mark.parametrize("topic", [FORECASTS, FIXTURES])
def test_a_reader_that_ends_is_told_so_that_the_process_is_replaced(tmp_path: Path, topic: str) -> None:
    def fail() -> None:
        raise ValueError("the driver has a bug")

    with a_world(tmp_path) as world:
        app = build_app(world.deps(log=Broken(world, topic, fail)))
        with TestClient(app, raise_server_exceptions=False) as client:
            eventually(lambda: client.get("/healthz").status_code == 503)
            answer = client.get("/healthz").json()
            assert answer["detail"] == f"reading {topic} ended: ValueError('the driver has a bug')"
            assert client.get("/readyz").status_code == 503


def test_a_reader_that_hangs_is_told_and_a_log_that_is_only_away_is_not(tmp_path: Path) -> None:
    go_on = threading.Event()
    with a_world(tmp_path) as world:
        app = build_app(world.deps(log=Broken(world, FORECASTS, lambda: go_on.wait(20) and None)))
        with TestClient(app, raise_server_exceptions=False) as client:
            assert client.get("/healthz").status_code == 200
            world.clock.ahead_s += 40
            eventually(lambda: client.get("/healthz").status_code == 503)
            assert "reading forecasts.v1 hangs since" in client.get("/healthz").json()["detail"]
            go_on.set()
            eventually(lambda: client.get("/healthz").status_code == 200)

    def away() -> None:
        raise StoreUnavailable("log", "read", "the broker is away")

    with a_world(tmp_path / "away") as world:
        tail = Api(world.deps(log=Broken(world, FORECASTS, away))).reader.tail
        tail.start()
        eventually(lambda: tail.problem() is None and tail.positions)
        tail.stop()


def test_background_work_that_ends_is_told() -> None:
    async def fail() -> None:
        raise KeyError("x")

    async def scenario() -> str | None:
        background = Background("heartbeats", fail)
        background.start()
        assert background.problem is None
        for _ in range(3):
            await asyncio.sleep(0)
        return background.problem

    assert asyncio.run(scenario()) == "heartbeats ended: KeyError('x')"


class Choking:
    """A view that cannot take one forecast, as if it showed a fault of ours."""

    def __init__(self, world: World, seq: int) -> None:
        self._view, self._seq = world.view, seq

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)

    def put(self, entry: ViewEntry) -> bool:
        if entry.seq == self._seq:
            raise ZeroDivisionError
        return self._view.put(entry)


def test_a_record_that_breaks_us_is_left_out_and_every_other_is_shown(tmp_path: Path) -> None:
    tally = Tally()
    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=1))
        with serving(world, view=Choking(world, 2), counters=tally) as client:
            world.publish(a_forecast(seq=2), a_forecast(seq=3))
            eventually(lambda: client.get(f"/v1/matches/{MATCH}/forecast").json()["seq"] == 3)
            assert client.get("/healthz").status_code == 200
    assert tally.events["record_unreadable"] == 1


class Stumbling(Tally):
    """Counters that fail once, as if delivering had a fault."""

    def pushed(self, age_s: float) -> None:
        super().pushed(age_s)
        if len(self.ages) == 2:
            raise ZeroDivisionError


def test_streams_that_could_not_be_served_resume_from_the_log(tmp_path: Path) -> None:
    tally, client = Stumbling(), Client()

    async def scenario() -> None:
        with a_world(tmp_path, limits=QUIET) as world:
            world.publish(opened(), a_forecast(seq=1))
            api = Api(world.deps(counters=tally))
            await api.hub.start()
            assert api.reader.tail.begin()
            api.reader.tail.step(wait_s=0.0)
            await asyncio.sleep(0)
            async for frames in api.hub.stream(None, NOWHERE, 0.0):
                for frame in frames:
                    client.take_frame(frame)
                world.publish(a_forecast(seq=2), a_forecast(seq=3), a_forecast(seq=4))
                api.reader.tail.step(wait_s=0.0)
            assert client.seqs[MATCH] == [1], "the stream ended, and what waited was not sent"
            async with aclosing(api.hub.stream(None, decode_position(client.cursor or ""), 0.0)) as stream:
                for frame in await asyncio.wait_for(anext(stream), 2):
                    client.take_frame(frame)
            await api.hub.stop()

    asyncio.run(scenario())
    assert client.seqs[MATCH] == [1, 2, 3, 4]
    assert tally.events["fault"] == 1


def test_a_position_that_leaves_the_horizon_while_it_is_read_is_told_as_a_resync(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        with a_world(tmp_path, limits=Limits(heartbeat_s=3600, backlog_records=4)) as world:
            world.publish(opened(), *(a_forecast(seq=seq) for seq in range(1, 9)))
            moves: list[Callable[[], object]] = []
            log = Broken(world, FORECASTS, lambda: moves and moves.pop()() and None)
            api = Api(world.deps(log=log, view=MemoryView(tail_per_partition=0)))
            await api.hub.start()
            api.reader.tail.begin()
            api.reader.tail.positions = api.reader.tail.began_at = {0: 0}
            while api.reader.tail.step(wait_s=0.0):
                pass
            await asyncio.sleep(0)
            world.publish(a_forecast(seq=9))  # the ninth makes the reader forget the first four
            moves.append(lambda: api.reader.tail.step(wait_s=0.0))
            told: list[str] = []
            after = Position(offsets={0: 2}, is_complete=True)
            async with aclosing(api.hub.stream(None, after, 0.0)) as stream:
                while len(told) < 2:
                    told += [frame.event for frame in await asyncio.wait_for(anext(stream), 2)]
            await api.hub.stop()
            return told

    assert asyncio.run(scenario()) == ["resync", "image"]


def test_pulses_that_waited_for_the_log_to_come_back_prove_no_life(tmp_path: Path) -> None:
    outage = threading.Event()

    def away() -> None:
        if outage.is_set():
            raise StoreUnavailable("log", "read", "the broker is away")

    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=1))
        reader = Api(world.deps(log=Broken(world, FORECASTS, away))).reader
        assert reader.tail.begin()
        while reader.tail.step(wait_s=0.0):
            pass
        reader.tail.stop()  # no thread here; so that a failed read is not waited behind
        outage.set()
        world.publish(a_pulse(offset=1))
        for _ in range(5):
            world.clock.ahead_s += 0.9
            assert reader.tail.step(wait_s=0.0) == 0
        outage.clear()
        assert reader.tail.step(wait_s=0.0) == 1
        assert reader.freshness(MATCH).state == "SUSPENDED", "the pulse is as old as the outage is long"
        world.publish(a_pulse(offset=1))
        reader.tail.step(wait_s=0.0)
        assert reader.freshness(MATCH).state == "FRESH"


def test_after_a_restart_a_retired_match_is_as_long_retired_as_before(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        yesterday = SqliteLog(tmp_path / "log", {FIXTURES: 1}, now=lambda: datetime.now(UTC) - timedelta(days=1))
        record = NewRecord(key=MATCH, value=encode_fixture(a_fixture(retired=True)))
        yesterday.append(FIXTURES, 0, [record])
        yesterday.close()
        world.announce(a_fixture(OTHER, retired=True))
        api = Api(world.deps())
        assert api.fixtures.tail.begin()
        api.fixtures.tail.step(wait_s=0.0)
        assert api.fixtures.retired_for_s(MATCH) == pytest.approx(86_400, abs=10)
        assert api.fixtures.retired_for_s(OTHER) == pytest.approx(0, abs=10)


def test_of_matches_that_are_over_only_the_last_are_remembered(tmp_path: Path) -> None:
    """Remembered: a repetition of what was published is not taken for a new match."""
    names = [f"wyscout:{number}" for number in range(4)]
    with a_world(tmp_path, limits=Limits(retired_matches=2, forget_after_s=60)) as world:
        for name in names:
            world.publish(opened(name), a_forecast(name, 1))
        api = Api(world.deps())
        tails = (api.fixtures.tail, api.reader.tail)
        assert all(tail.begin() for tail in tails)
        for over in (names[:2], names[2:]):
            world.announce(*(a_fixture(name, retired=True) for name in over))
            api.fixtures.tail.step(wait_s=0.0)
            world.clock.ahead_s += 100
            world.publish(a_pulse(offset=1))
            api.reader.tail.step(wait_s=0.0)
        assert [fixture.match_id for fixture in api.fixtures.all()] == names[2:]
        assert api.reader.matches() == []
        world.publish(*(a_forecast(name, 1) for name in names))
        api.reader.tail.step(wait_s=0.0)
        assert api.reader.matches() == names[:2]


def test_pulses_read_behind_a_pause_of_our_own_prove_no_life(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=1))
        api = Api(world.deps())
        assert api.reader.tail.begin()
        while api.reader.tail.step(wait_s=0.0):
            pass
        world.publish(a_pulse(offset=1))
        api.reader.tail.step(wait_s=0.0)
        assert api.reader.freshness(MATCH).state == "FRESH"
        world.clock.ahead_s += 20  # as if this process had been stopped
        world.publish(a_pulse(offset=1))
        api.reader.tail.step(wait_s=0.0)
        assert api.reader.freshness(MATCH).state == "SUSPENDED"
        world.publish(a_pulse(offset=1))
        api.reader.tail.step(wait_s=0.0)
        assert api.reader.freshness(MATCH).state == "FRESH"


def test_records_that_retention_took_from_under_the_reader_are_told_as_a_resync(tmp_path: Path) -> None:
    async def scenario() -> Client:
        with a_world(tmp_path, limits=QUIET) as world:
            world.publish(opened(), a_forecast(seq=1))
            api, client = Api(world.deps()), Client()
            await api.hub.start()
            assert api.reader.tail.begin()
            api.reader.tail.step(wait_s=0.0)
            await asyncio.sleep(0)
            async with aclosing(api.hub.stream(None, NOWHERE, 0.0)) as stream:
                for frame in await anext(stream):
                    client.take_frame(frame)
                world.publish(a_forecast(seq=2), a_forecast(seq=3), a_forecast(seq=4))
                world.log.prune(FORECASTS, 0, 4)  # seq 2 and 3 were never read here
                api.reader.tail.step(wait_s=0.0)
                api.reader.tail.step(wait_s=0.0)
                while client.bodies[MATCH]["seq"] != 4:
                    for frame in await asyncio.wait_for(anext(stream), 2):
                        client.take_frame(frame)
            await api.hub.stop()
            return client

    client = asyncio.run(scenario())
    assert client.events == ["image", "resync", "image", "delta"]
    assert client.seqs[MATCH] == [1, 1, 4]


def test_a_position_that_retention_removed_is_told_as_a_resync(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        with a_world(tmp_path, limits=QUIET) as world:
            world.publish(opened(), *(a_forecast(seq=seq) for seq in range(1, 9)))
            world.log.prune(FORECASTS, 0, 6)
            api = Api(world.deps())
            await api.hub.start()
            assert api.reader.tail.begin()
            while not api.reader.tail.caught_up:
                api.reader.tail.step(wait_s=0.0)
            await asyncio.sleep(0)
            after = Position(offsets={0: 3}, is_complete=True)
            told: list[str] = []
            async with aclosing(api.hub.stream(None, after, 0.0)) as stream:
                while len(told) < 2:
                    told += [frame.event for frame in await asyncio.wait_for(anext(stream), 2)]
            await api.hub.stop()
            return told

    assert asyncio.run(scenario()) == ["resync", "image"]


def test_a_server_that_goes_down_ends_its_streams(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        with a_world(tmp_path, limits=QUIET) as world:
            world.publish(opened(), a_forecast(seq=1))
            api = Api(world.deps())
            await api.hub.start()
            assert api.reader.tail.begin()
            api.reader.tail.step(wait_s=0.0)
            await asyncio.sleep(0)
            told = []
            async for frames in api.hub.stream(None, NOWHERE, 0.0):
                told += [frame.event for frame in frames]
                await api.hub.stop()
            return told

    assert asyncio.run(scenario()) == ["image"]


def test_a_pulse_clears_a_start_without_any_forecast_since(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=1))
        with serving(world) as client:

            def state() -> object:
                return client.get(f"/v1/matches/{MATCH}").json()["freshness"]["state"]

            assert state() == "SUSPENDED"
            beat_until(world, lambda: state() == "FRESH", a_pulse(offset=1))
