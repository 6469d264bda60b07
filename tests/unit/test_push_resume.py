"""A client that drops its stream and comes back misses nothing and sees nothing twice, wherever it was cut."""

import asyncio
import tempfile
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.adapters.memory_view import MemoryView
from actors.domain.events import Score
from actors.domain.forecast import Forecast, Published, encode_published
from actors.domain.ports import FORECASTS, NewRecord
from actors.domain.published import read_all
from serve_app.app import Api
from serve_app.cursor import NOWHERE, Position, decode_position
from serve_app.deps import Limits
from tests.unit.api_world import MATCH, OTHER, World, a_forecast, a_pulse, a_world, opened
from tests.unit.push_client import Client

PARTITION = {MATCH: 0, OTHER: 1}
QUIET = Limits(heartbeat_s=3600)


@dataclass(frozen=True)
class Publish:
    """A forecast is appended: seq steps on, or back (a zombie or a repetition, which nobody may see).

    A seq is an offset of the feed, so it never goes below 0.
    """

    match_id: str
    step: int = 1
    epoch: int = 1
    goals: int = 0


@dataclass(frozen=True)
class Read:
    """The client takes at most this many frames, then its line is cut."""

    frames: int


@dataclass(frozen=True)
class Garble:
    """A record that nobody can read is appended under a match's key."""

    match_id: str


@dataclass(frozen=True)
class Restart:
    """The server is replaced by one that knows only the log."""


Action = Publish | Garble | Read | Restart

ACTIONS = st.lists(
    st.one_of(
        st.builds(
            Publish, st.sampled_from([MATCH, OTHER]), st.sampled_from([1, 1, 2, 0, -3]), st.integers(1, 2),
            st.integers(0, 3),
        ),
        st.builds(Publish, st.sampled_from([MATCH, OTHER])),
        st.builds(Read, st.integers(0, 6)),
        st.builds(Garble, st.sampled_from([MATCH, OTHER])),
        st.just(Restart()),
    ),
    max_size=25,
)  # fmt: skip


class Scene:
    """One log, servers that come and go, one client."""

    def __init__(self, world: World, tail: int) -> None:
        self.world, self._tail = world, tail
        self.client = Client()
        self.seq = {MATCH: 0, OTHER: 0}
        self.log: dict[str, list[Published]] = {MATCH: [], OTHER: []}
        self.api = self._server()

    def _server(self) -> Api:
        return Api(self.world.deps(view=MemoryView(tail_per_partition=self._tail)))

    async def start(self) -> None:
        await self.api.hub.start()
        assert self.api.reader.tail.begin()
        await self.follow()

    async def follow(self) -> None:
        """Let the server read all that is in the log."""
        while self.api.reader.tail.step(wait_s=0.0):
            pass
        await asyncio.sleep(0)

    async def do(self, action: Action) -> None:
        match action:
            case Publish():
                await self._publish(action)
            case Garble(match_id=match_id):
                record = NewRecord(key=match_id, value=b'{"type":"forecast","epoch":9}')
                self.world.log.append(FORECASTS, PARTITION[match_id], [record])
                await self.follow()
            case Read(frames=frames):
                await self.read(frames)
            case Restart():
                await self.api.hub.stop()
                self.api = self._server()
                await self.start()

    async def _publish(self, action: Publish) -> None:
        seq = max(0, self.seq[action.match_id] + action.step)
        self.seq[action.match_id] = max(seq, self.seq[action.match_id])
        forecast = a_forecast(action.match_id, seq, epoch=action.epoch, score=Score(action.goals, 0))
        pulse = a_pulse(action.match_id, offset=seq, epoch=action.epoch)
        self.log[action.match_id] += [forecast, pulse]
        self.world.publish(forecast, pulse, partition=PARTITION[action.match_id])
        await self.follow()

    async def read(self, most: int) -> None:
        """Take up to `most` frames of a new connection; what was sent beyond them is lost with the line."""
        after = decode_position(self.client.cursor) if self.client.cursor else NOWHERE
        left = most
        async with aclosing(self.api.hub.stream(None, after, 0.0)) as stream:
            while left > 0:
                try:
                    frames = await asyncio.wait_for(anext(stream), 0.01 if self.is_served else 2.0)
                except TimeoutError:
                    return
                for frame in frames[:left]:
                    self.client.take_frame(frame)
                left -= len(frames)

    @property
    def is_served(self) -> bool:
        """Whether the client has all that it can get."""
        return all(self.expected(m)[-1:] == self.client.seqs.get(m, [])[-1:] for m in PARTITION)

    def expected(self, match_id: str) -> list[int]:
        return [each.seq for each in read_all(self.log[match_id])[1] if isinstance(each, Forecast)]


async def _play(actions: list[Action], folder: Path, tail: int) -> None:
    with a_world(folder, limits=QUIET) as world:
        scene = Scene(world, tail)
        await scene.start()
        for action in [*actions, Read(1_000)]:
            await scene.do(action)
        for match_id in PARTITION:
            _check(scene, match_id)
        await scene.api.hub.stop()


def _check(scene: Scene, match_id: str) -> None:
    expected, seen = scene.expected(match_id), scene.client.seqs.get(match_id, [])
    if not expected:
        assert seen == []
        return
    assert seen == expected[len(expected) - len(seen) :], "missed or seen twice"
    last = next(each for each in reversed(scene.log[match_id]) if isinstance(each, Forecast) and each.seq == seen[-1])
    first_of_seq = next(
        each for each in read_all(scene.log[match_id])[1] if isinstance(each, Forecast) and each.seq == last.seq
    )
    body = {key: value for key, value in scene.client.bodies[match_id].items() if key != "freshness"}
    assert body == msgspec.json.decode(encode_published(first_of_seq))


@example([Publish(MATCH), Publish(OTHER), Read(1), Publish(MATCH), Read(1), Publish(OTHER)], 500)
@example([Publish(MATCH), Publish(OTHER), Read(1), Restart(), Publish(MATCH)], 0)
@example([Publish(MATCH, step=-3, epoch=2), Publish(MATCH)], 0)  # the second is a zombie's
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, st.sampled_from([0, 2, 500]))
def test_nothing_is_missed_and_nothing_seen_twice(actions: list[Action], tail: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(actions, Path(folder), tail))


def test_a_long_absence_is_read_from_the_log_page_by_page(tmp_path: Path) -> None:
    actions: list[Action] = [Publish(MATCH), Read(1)]
    actions += [Publish(MATCH) for _ in range(450)] + [Publish(OTHER) for _ in range(3)]
    asyncio.run(_play(actions, tmp_path, 2))


def test_a_position_that_is_no_longer_kept_gets_a_resync_and_images(tmp_path: Path) -> None:
    async def scenario() -> Client:
        with a_world(tmp_path, limits=Limits(heartbeat_s=3600, backlog_records=4)) as world:
            scene = Scene(world, 500)
            await scene.start()
            await scene.do(Publish(MATCH))
            await scene.do(Read(1))
            for _ in range(9):
                await scene.do(Publish(MATCH))
            await scene.do(Restart())
            await scene.read(2)
            await scene.api.hub.stop()
            return scene.client

    client = asyncio.run(scenario())
    assert client.events == ["image", "resync", "image"]
    assert client.seqs[MATCH] == [1, 10]


def test_a_superseded_forecast_is_told_as_stale_and_without_its_edge(tmp_path: Path) -> None:
    from tests.unit.api_world import a_price

    async def scenario() -> list[tuple[int, str]]:
        with a_world(tmp_path, limits=QUIET) as world:
            scene = Scene(world, 500)
            world.publish(opened())
            await scene.start()
            await scene.follow()
            told = []
            start = Position(offsets=dict(scene.api.hub.position), is_complete=True)
            scene.api.reader.tail.step(wait_s=0.0)
            for seq in (1, 2):
                world.publish(a_forecast(seq=seq, price=a_price()), a_pulse(offset=seq))
                await scene.follow()
            async with aclosing(scene.api.hub.stream(None, start, 0.0)) as stream:
                while len(told) < 2:
                    for frame in await asyncio.wait_for(anext(stream), 2):
                        data = msgspec.json.decode(frame.data)
                        told.append((data["seq"], data["freshness"]["state"], data["price"]["edge"] is not None))
            await scene.api.hub.stop()
            return told

    assert asyncio.run(scenario()) == [(1, "STALE", False), (2, "FRESH", True)]
