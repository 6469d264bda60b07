"""What the stream does when the log fails, or no longer holds what was missed."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

from actors.domain.errors import StoreUnavailable
from actors.domain.ports import FORECASTS, LogRecord
from serve_app.app import Api
from serve_app.cursor import NOWHERE, Position
from serve_app.deps import Limits
from tests.conftest import eventually
from tests.unit.api_world import MATCH, World, a_forecast, a_pulse, a_world, beat_until, opened, serving
from tests.unit.push_client import Client

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
