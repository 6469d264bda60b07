"""The fan-out to plain streams: shared writes, slow readers, what is decisive first, nothing missed or told twice."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.adapters.memory_view import MemoryView
from actors.domain.events import Score
from serve_app import fan_out
from serve_app.app import Api
from serve_app.cursor import NOWHERE, decode_position
from serve_app.deps import Limits
from tests.unit.api_world import MATCH, OTHER, World, a_forecast, a_pulse, a_world, opened
from tests.unit.plain_reader import PlainReader
from tests.unit.push_client import Client
from tests.unit.tally import Tally

QUIET = Limits(heartbeat_s=3600)
PARTITION = {MATCH: 0, OTHER: 1}


class Server:
    """An app on a log, driven step by step; and the pen that writes the log."""

    def __init__(self, world: World, tail: int = 500) -> None:
        self._world, self.tally = world, Tally()
        self.api = Api(world.deps(view=MemoryView(tail_per_partition=tail), counters=self.tally))
        self.seqs = {MATCH: 0, OTHER: 0}
        self.goals = 0

    async def start(self) -> None:
        await self.api.hub.start()
        assert self.api.reader.tail.begin()

    def append(self, match_id: str, *, is_goal: bool = False) -> None:
        self.seqs[match_id] += 1
        self.goals += is_goal
        seq = self.seqs[match_id]
        forecast = a_forecast(match_id, seq, score=Score(self.goals, 0))
        before = (opened(match_id),) if seq == 1 else ()
        self._world.publish(*before, forecast, a_pulse(match_id, offset=seq), partition=PARTITION[match_id])

    async def follow(self) -> None:
        """Read the log to its end, and let every task and timer that is due run."""
        while self.api.reader.tail.step(wait_s=0.0):
            pass
        await settle()

    async def publish(self, match_id: str, *, is_goal: bool = False) -> None:
        self.append(match_id, is_goal=is_goal)
        await self.follow()


async def settle() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


async def all_taken(reader: PlainReader, expected: dict[str, int]) -> None:
    """Take until the reader has the newest of every match; pages of the log come from a thread."""
    async with asyncio.timeout(5):
        while any(reader.client.seqs.get(m, [0])[-1] < seq for m, seq in expected.items()):
            reader.take()
            await asyncio.sleep(0.001)


def in_a_world(scenario: Callable[[Server], Awaitable[None]], *, limits: Limits = QUIET, tail: int = 500) -> None:
    async def play(folder: Path) -> None:
        with a_world(folder, limits=limits) as world:
            server = Server(world, tail)
            await server.start()
            await scenario(server)
            await server.api.hub.stop()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder)))


@dataclass(frozen=True)
class Publish:
    match_id: str
    is_goal: bool = False


@dataclass(frozen=True)
class Take:
    reader: int


@dataclass(frozen=True)
class Cut:
    """A reader's line is cut, and it comes back with its position; what it had not taken is lost."""

    reader: int


ACTIONS = st.lists(
    st.one_of(
        st.builds(Publish, st.sampled_from([MATCH, OTHER]), st.booleans()),
        st.builds(Take, st.integers(0, 2)),
        st.builds(Cut, st.integers(0, 2)),
    ),
    max_size=30,
)


@example([Publish(MATCH)] * 5 + [Take(0)] + [Publish(OTHER), Publish(MATCH)] * 4, 0)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, st.sampled_from([0, 2, 500]))
def test_whoever_reads_however_slowly_misses_nothing_and_sees_nothing_twice(
    actions: list[Publish | Take | Cut], tail: int
) -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        await server.publish(OTHER)
        hub = server.api.hub
        wanted = [None, None, frozenset([OTHER])]
        mosts = [1, 30_000, 1]  # the first and the last take one write at a time
        readers = [PlainReader(hub, watched=w, most=most) for w, most in zip(wanted, mosts, strict=True)]
        await settle()
        for action in actions:
            match action:
                case Publish(match_id=match_id, is_goal=is_goal):
                    await server.publish(match_id, is_goal=is_goal)
                case Take(reader=number):
                    readers[number].take()
                    await settle()
                case Cut(reader=number):
                    client = readers[number].client
                    readers[number].abort()
                    after = decode_position(client.cursor) if client.cursor else NOWHERE
                    readers[number] = PlainReader(
                        hub, after=after, watched=wanted[number], most=mosts[number], client=client
                    )
                    await settle()
        for reader, watched in zip(readers, wanted, strict=True):
            expected = {m: seq for m, seq in server.seqs.items() if watched is None or m in watched}
            await all_taken(reader, expected)
            for match_id, seq in expected.items():
                seen = reader.client.seqs[match_id]
                assert seen == list(range(seen[0], seq + 1)), "missed or seen twice"
            assert reader.client.seqs.keys() == expected.keys()
            assert len(reader.buffer) == 0
        assert hub.streams == 3

    in_a_world(scenario, tail=tail)


def test_an_update_touches_only_those_who_watch_its_match_and_is_encoded_once() -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        await server.publish(OTHER)
        readers = [PlainReader(server.api.hub, watched=frozenset([MATCH])) for _ in range(3)]
        bystander = PlainReader(server.api.hub, watched=frozenset([OTHER]))
        await settle()
        written = [reader.writes for reader in (*readers, bystander)]
        await server.publish(MATCH)
        assert [reader.writes for reader in (*readers, bystander)] == [n + 1 for n in written[:3]] + written[3:]
        assert len({bytes(reader.buffer[-200:]) for reader in readers}) == 1
        assert len({id(reader.stream.want) for reader in readers}) == 1, "what they want is held once"

    in_a_world(scenario)


def test_a_decisive_update_goes_before_ticks_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "SLICE", 1)
    order: list[str] = []

    class Noting(PlainReader):
        def write(self, data: bytes) -> None:
            order.append(next(iter(self.stream.want.watched or ())))
            super().write(data)

    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        await server.publish(OTHER)
        readers = [Noting(server.api.hub, watched=frozenset([MATCH, f"x{n}"])) for n in range(3)]
        readers += [Noting(server.api.hub, watched=frozenset([OTHER])) for _ in range(2)]
        await settle()
        order.clear()
        server.append(MATCH)
        server.append(OTHER, is_goal=True)
        await server.follow()
        assert order[:2] == [OTHER, OTHER]
        assert len(order) == 5

    in_a_world(scenario)


def test_what_waits_for_many_is_written_in_slices_between_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fan_out, "SLICE", 2)
    monkeypatch.setattr(fan_out, "MOST", 2)

    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        readers = [PlainReader(server.api.hub) for _ in range(7)]
        await settle()
        for reader in readers:
            reader.take()
        server.append(MATCH)
        while server.api.reader.tail.step(wait_s=0.0):
            pass
        reached = []
        for _ in range(5):
            await asyncio.sleep(0)
            reached.append(sum(len(reader.buffer) > 0 for reader in readers))
        assert reached == [2, 4, 6, 7, 7]
        late = PlainReader(server.api.hub)
        await settle()
        late.take()
        assert late.client.events == ["image"]

    in_a_world(scenario)


def test_who_joins_behind_an_update_that_waits_is_not_told_it_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "SLICE", 1)

    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        others = [PlainReader(server.api.hub, watched=frozenset([MATCH, f"x{n}"])) for n in range(4)]
        early = PlainReader(server.api.hub, watched=frozenset([MATCH]))
        await settle()
        server.append(MATCH)
        while server.api.reader.tail.step(wait_s=0.0):
            pass
        await asyncio.sleep(0)
        late = PlainReader(server.api.hub, watched=frozenset([MATCH]))
        await settle()
        await server.publish(MATCH)
        for reader in (*others, early, late):
            reader.take()
        assert early.client.seqs[MATCH] == [1, 2, 3]
        assert late.client.seqs[MATCH] == [2, 3]

    in_a_world(scenario)


def test_conflated_readers_get_what_is_decisive_at_once_and_the_newest_when_due() -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        readers = [PlainReader(server.api.hub, conflate_s=1.0) for _ in range(2)]
        await settle()
        await server.publish(MATCH)
        await asyncio.sleep(0.01)
        for _ in range(5):
            await server.publish(MATCH)
        late = PlainReader(server.api.hub, conflate_s=1.0)
        await settle()
        await server.publish(MATCH, is_goal=True)
        for reader in (*readers, late):
            reader.take()
        assert [reader.client.seqs[MATCH] for reader in readers] == [[1, 2, 8]] * 2
        assert late.client.seqs[MATCH] == [7, 8]
        await server.publish(MATCH)
        await server.publish(MATCH)
        await all_taken(readers[0], {MATCH: 10})
        assert readers[0].client.seqs[MATCH] == [1, 2, 8, 10]
        assert readers[0].client.bodies[MATCH]["score"] == [1, 0]

    in_a_world(scenario)


def test_a_heartbeat_goes_with_an_update_and_alone_only_where_there_is_none() -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        await server.publish(OTHER)
        busy = PlainReader(server.api.hub, watched=frozenset([MATCH]))
        idle = PlainReader(server.api.hub, watched=frozenset([OTHER]))
        await settle()
        for reader in (busy, idle):
            reader.take()
            assert reader.stream.audience is not None
            reader.stream.audience.beat_due_s = asyncio.get_running_loop().time()
        await server.publish(MATCH)
        server.api.hub._fan_out.beat()
        for reader in (busy, idle):
            reader.take()
        assert (busy.client.events, busy.writes) == (["image", "delta", "heartbeat"], 2)
        assert (idle.client.events, idle.writes) == (["image", "heartbeat"], 2)

    in_a_world(scenario)


def test_many_who_come_back_with_one_position_share_what_is_made_for_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        first = PlainReader(server.api.hub)
        await settle()
        first.take()
        for _ in range(3):
            await server.publish(MATCH)
        asked = 0
        missed = server.api.hub._backlog.missed

        def counted(*given: object) -> object:
            nonlocal asked
            asked += 1
            return missed(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(server.api.hub._backlog, "missed", counted)
        after = decode_position(first.client.cursor or "")
        again = [PlainReader(server.api.hub, after=after, client=Client(dict(first.client.bodies))) for _ in range(20)]
        await settle()
        for reader in again:
            reader.take()
            assert reader.client.seqs[MATCH] == [2, 3, 4]
        assert asked == 1

    in_a_world(scenario)


def test_a_write_that_fails_ends_every_stream_and_later_ones_are_served() -> None:
    class Failing(PlainReader):
        def write(self, data: bytes) -> None:
            if self.writes:
                raise ZeroDivisionError
            super().write(data)

    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        readers = [Failing(server.api.hub), PlainReader(server.api.hub, watched=frozenset([MATCH]))]
        await settle()
        await server.publish(MATCH)
        assert all(reader.is_closed for reader in readers)
        assert server.tally.events["fault"] == 1
        later = PlainReader(server.api.hub)
        await settle()
        await server.publish(MATCH)
        later.take()
        assert later.client.seqs[MATCH] == [2, 3]

    in_a_world(scenario)


def test_a_stream_that_ends_leaves_nothing_behind() -> None:
    async def scenario(server: Server) -> None:
        await server.publish(MATCH)
        readers = [PlainReader(server.api.hub, watched=frozenset([MATCH, f"x{n % 3}"])) for n in range(9)]
        await settle()
        slow = PlainReader(server.api.hub, most=1)
        await settle()
        slow.take()
        await settle()
        await server.publish(MATCH)
        await server.publish(MATCH)
        assert server.tally.events["reader_behind"] == 1
        for reader in (*readers, slow):
            reader.abort()
        hub = server.api.hub
        assert (hub.streams, len(hub._fan_out), hub._catching_up) == (0, 0, set())
        assert not hub._fan_out._by_match
        await server.publish(MATCH)

    in_a_world(scenario)
