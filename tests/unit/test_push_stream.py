"""Push over real connections: server-sent events and WebSocket carry the same."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from actors.domain.events import Score
from serve_app.cursor import Position, encode_position
from serve_app.deps import Limits
from tests.conftest import eventually
from tests.unit.api_world import (
    MATCH,
    OTHER,
    Doors,
    World,
    a_fixture,
    a_forecast,
    a_price,
    a_pulse,
    a_world,
    beat_until,
    both_doors,
    listening,
    opened,
)
from tests.unit.push_client import Client, events
from tests.unit.tally import Tally

FAST = Limits(heartbeat_s=0.2, slow_s=1.0, queue=8, streams=6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("world"), limits=FAST) as world:
        world.announce(a_fixture(), a_fixture(OTHER, partition=1))
        world.publish(opened(), a_forecast(seq=1, price=a_price()))
        world.publish(opened(OTHER), a_forecast(OTHER, seq=1), partition=1)
        yield world


@pytest.fixture(scope="module")
def tally() -> Tally:
    return Tally()


@pytest.fixture(scope="module")
def doors(world: World, tally: Tally) -> Iterator[Doors]:
    with both_doors(world, counters=tally) as doors:
        yield doors


@pytest.fixture
def address(doors: Doors) -> str:
    return doors.api


@pytest.fixture(params=["asgi", "listener"])
def streams_at(request: pytest.FixtureRequest, doors: Doors) -> str:
    return doors.api if request.param == "asgi" else doors.push


@pytest.fixture
def next_seq(address: str) -> Callable[[], int]:
    def number() -> int:
        return int(httpx.get(f"{address}/v1/matches/{MATCH}/forecast").json()["seq"]) + 1

    return number


@contextlib.contextmanager
def stream(address: str, query: str = "", **headers: str) -> Iterator[tuple[Client, Callable[[], None]]]:
    """Open a stream; the second value takes one event."""
    client = Client()
    with httpx.stream("GET", f"{address}/v1/stream{query}", headers=headers, timeout=5) as response:
        assert response.status_code == 200, response.read()
        found = events(response.iter_lines())
        yield client, lambda: client.take(*next(found))


def _until(take: Callable[[], None], condition: Callable[[], object], most: int = 60) -> None:
    for _ in range(most):
        if condition():
            return
        take()
    raise AssertionError("the stream did not bring it")


def test_a_stream_begins_with_an_image_per_match_and_goes_on_with_deltas(
    world: World, address: str, streams_at: str, next_seq: Callable[[], int]
) -> None:
    seq = next_seq()
    with stream(streams_at) as (client, take):
        _until(take, lambda: set(client.bodies) == {MATCH, OTHER})
        assert client.events[:2] == ["image", "image"]
        world.publish(a_forecast(seq=seq, score=Score(1, 0)))
        _until(take, lambda: client.seqs[MATCH][-1] == seq)
        assert client.bodies[MATCH]["score"] == [1, 0]
        latest = httpx.get(f"{address}/v1/matches/{MATCH}/forecast").json()
        assert {**client.bodies[MATCH], "freshness": None} == {**latest, "freshness": None}


def test_a_delta_names_only_what_changed(world: World, streams_at: str, next_seq: Callable[[], int]) -> None:
    seq = next_seq()
    world.publish(a_forecast(seq=seq))
    with httpx.stream("GET", f"{streams_at}/v1/stream?matches={MATCH}", timeout=5) as response:
        found = events(response.iter_lines())
        image = next(data for event, _, data in found if event == "image" and data["seq"] == seq)
        world.publish(a_forecast(seq=seq + 1))
        delta = next(data for event, _, data in found if event == "delta")
    assert delta["seq"] == image["seq"] + 1
    assert {"match_id", "seq", "epoch", "markets", "freshness", "as_of"} <= delta.keys()
    assert not {"home", "away", "score", "status", "model_version", "runtime"} & delta.keys()


@pytest.mark.parametrize("where", ["header", "query"])
def test_who_comes_back_with_the_last_id_gets_what_was_missed_and_no_image(
    world: World, streams_at: str, next_seq: Callable[[], int], tally: Tally, where: str
) -> None:
    first, resumed = next_seq(), tally.events["stream_resumed"]
    with stream(streams_at, f"?matches={MATCH}") as (client, take):
        _until(take, lambda: client.cursor)
    for seq in range(first, first + 5):
        world.publish(a_forecast(seq=seq))
    eventually(lambda: next_seq() == first + 5)
    headers = {"Last-Event-ID": client.cursor} if where == "header" else {}
    query = f"?matches={MATCH}&after={client.cursor}" if where == "query" else f"?matches={MATCH}"
    with stream(streams_at, query, **headers) as (again, take):
        again.bodies = client.bodies
        _until(take, lambda: again.seqs.get(MATCH, [0])[-1] == first + 4)
    assert again.seqs[MATCH] == list(range(first, first + 5))
    assert tally.events["stream_resumed"] == resumed + 1
    assert "image" not in again.events


def test_heartbeats_tell_freshness_clock_and_phase_and_move_the_position(
    world: World, streams_at: str, next_seq: Callable[[], int]
) -> None:
    offset = next_seq()
    with stream(streams_at, f"?matches={MATCH}") as (client, take):
        _until(take, lambda: client.cursor)
        before = client.cursor
        world.publish(a_pulse(offset=offset))
        _until(take, lambda: client.cursor != before)
        _until(take, lambda: client.beats)
    beat = client.beats[-1]
    assert list(beat["matches"]) == [MATCH]
    assert beat["matches"][MATCH].keys() == {"freshness", "clock", "phase"}
    assert beat["matches"][MATCH]["freshness"].keys() == {"state", "age_s", "feed_silent_s", "own_lag_s"}


def test_the_edge_comes_and_goes_with_freshness_in_what_is_pushed(
    world: World, address: str, streams_at: str, next_seq: Callable[[], int]
) -> None:
    seq = next_seq()

    def state() -> object:
        return httpx.get(f"{address}/v1/matches/{MATCH}/forecast").json()["freshness"]["state"]

    beat_until(world, lambda: state() == "FRESH", a_pulse(offset=seq))
    with stream(streams_at, f"?matches={MATCH}") as (client, take):
        world.publish(a_forecast(seq=seq, price=a_price()), a_pulse(offset=seq))
        _until(take, lambda: client.bodies.get(MATCH, {}).get("seq") == seq)
        assert client.bodies[MATCH]["price"]["edge"] == [0.05, -0.1, -0.1]
        world.publish(a_pulse(offset=seq, own_lag_s=5.0), a_forecast(seq=seq + 1, price=a_price()))
        _until(take, lambda: client.bodies[MATCH]["seq"] == seq + 1)
        assert client.bodies[MATCH]["price"]["edge"] is None
        assert client.bodies[MATCH]["freshness"]["state"] == "SUSPENDED"


def test_conflation_leaves_out_time_but_no_goal(world: World, streams_at: str, next_seq: Callable[[], int]) -> None:
    seq = next_seq()
    world.publish(a_forecast(seq=seq))
    eventually(lambda: next_seq() == seq + 1)
    with stream(streams_at, f"?matches={MATCH}&conflate_ms=60000") as (client, take):
        _until(take, lambda: client.bodies)
        for step in range(1, 31):
            goals = 1 if step >= 15 else 0
            world.publish(a_forecast(seq=seq + step, score=Score(goals, 0)))
        _until(take, lambda: client.bodies[MATCH]["score"] == [1, 0])
        told = len(client.seqs[MATCH])
        assert seq + 15 in client.seqs[MATCH], "the goal itself is told"
        for _ in range(3):
            _until(take, lambda: client.events[-1] == "heartbeat")
            take()
    assert told <= 5
    assert client.seqs[MATCH] == sorted(set(client.seqs[MATCH]))


def test_a_restarted_server_goes_on_where_the_client_was(tmp_path: Path) -> None:
    with a_world(tmp_path, limits=FAST) as world:
        world.publish(opened(), a_forecast(seq=1))
        with listening(world) as address, stream(address) as (client, take):
            _until(take, lambda: client.cursor)
        for seq in (2, 3):
            world.publish(a_forecast(seq=seq))
        with listening(world) as address, stream(address, f"?after={client.cursor}") as (again, take):
            again.bodies = client.bodies
            _until(take, lambda: again.seqs.get(MATCH, [0])[-1] == 3)
    assert again.seqs[MATCH] == [2, 3]


@pytest.mark.parametrize("cursor", ["garbage", "-1", "0", "AQAA", "9" * 5_000, "☃".encode().decode("latin-1")])
def test_a_garbage_position_is_400_saying_what_is_expected(streams_at: str, cursor: str) -> None:
    answer = httpx.get(f"{streams_at}/v1/stream", headers={"Last-Event-ID": cursor.encode("latin-1")})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "expected a cursor as an earlier answer gave it" in answer.json()["detail"]


@pytest.mark.parametrize("offsets", [{0: 10**9}, {77: 5}])
def test_a_position_ahead_of_the_log_is_400(streams_at: str, offsets: dict[int, int]) -> None:
    cursor = encode_position(Position(offsets=offsets, is_complete=True))
    answer = httpx.get(f"{streams_at}/v1/stream?after={cursor}")
    assert answer.status_code == 400
    assert "ahead of the log" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("conflate_ms=-1", 422, "conflate_ms"),
        ("conflate_ms=120001", 422, "conflate_ms"),
        ("conflate_ms=soon", 422, "conflate_ms"),
        ("matches=,", 422, "matches"),
        ("matches=" + ",".join(map(str, range(10_000))), 422, "matches"),
        ("matches=nobody:1", 404, None),
    ],
)
def test_a_wrong_subscription_is_refused_before_the_stream_begins(
    streams_at: str, query: str, status: int, field: str | None
) -> None:
    answer = httpx.get(f"{streams_at}/v1/stream?{query}")
    assert (answer.status_code, answer.json().get("field")) == (status, field)


def test_more_streams_than_the_limit_are_429(address: str, streams_at: str, tally: Tally) -> None:
    begun, refused = tally.events["stream_new"], tally.events["stream_refused"]
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            _, take = stack.enter_context(stream(streams_at))
            take()
        answer = httpx.get(f"{streams_at}/v1/stream")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert (tally.streams, tally.events["stream_new"] - begun) == (6, 6)
        assert tally.events["stream_refused"] == refused + 1
    eventually(lambda: httpx.get(f"{address}/readyz").json()["streams"] == tally.streams == 0)


def test_a_reader_that_takes_nothing_is_dropped_and_holds_up_nobody(
    world: World, address: str, streams_at: str, next_seq: Callable[[], int], tally: Tally
) -> None:
    host, port = streams_at.removeprefix("http://").split(":")
    seq, dropped = next_seq(), tally.events["reader_dropped"]
    with socket.socket() as idle, stream(streams_at, f"?matches={MATCH}") as (client, take):
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        idle.connect((host, int(port)))
        idle.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: httpx.get(f"{address}/readyz").json()["streams"] == 2)
        _until(take, lambda: client.bodies)

        def flood() -> bool:
            nonlocal seq
            world.publish(*(a_forecast(seq=seq + step, score=Score(step % 2, 0)) for step in range(40)))
            seq += 40
            _until(take, lambda: client.bodies[MATCH]["seq"] == seq - 1, most=100)
            return bool(httpx.get(f"{address}/readyz").json()["streams"] == 1)

        eventually(flood, timeout_s=20)
    seen = client.seqs[MATCH]
    assert seen == list(range(seen[0], seq)), "missed or seen twice"
    assert tally.events["reader_dropped"] == dropped + 1
    assert len(tally.ages) >= seq - seen[0]


@pytest.mark.parametrize("door", ["sse", "ws"])
def test_a_stream_ends_when_it_carried_enough_and_goes_on_in_the_next(tmp_path: Path, door: str) -> None:
    tally, client = Tally(), Client()
    small = Limits(heartbeat_s=0.2, stream_bytes=50_000)
    with a_world(tmp_path, limits=small) as world, listening(world, counters=tally) as address:
        world.publish(opened(), a_forecast(seq=1))
        for number in range(4):
            query = f"?after={client.cursor}" if client.cursor else ""
            with _following(address, door, query, client) as take:
                while take():
                    seq = client.seqs.get(MATCH, [1])[-1]
                    world.publish(*(a_forecast(seq=seq + step) for step in (1, 2)))
            assert tally.events["stream_renewed"] == number + 1
    seen = client.seqs[MATCH]
    assert seen == list(range(seen[0], seen[-1] + 1)), "missed or seen twice"
    assert len(seen) > 20


@contextlib.contextmanager
def _following(address: str, door: str, query: str, client: Client) -> Iterator[Callable[[], bool]]:
    """Open either door; the value takes one message, and is false at the end of the stream."""
    if door == "sse":
        with httpx.stream("GET", f"{address}/v1/stream{query}", timeout=5) as response:
            found = events(response.iter_lines())

            def take() -> bool:
                message = next(found, None)
                if message is not None:
                    client.take(*message)
                return message is not None

            yield take
    else:
        with _ws(address, query) as socket:

            def take() -> bool:
                try:
                    _take(socket, client)
                except ConnectionClosed as closed:
                    assert closed.rcvd is not None
                    assert closed.rcvd.code == 1001
                    return False
                return True

            yield take


def _ws(address: str, query: str = "", **options: Any) -> ClientConnection:
    return connect(address.replace("http", "ws") + f"/v1/ws{query}", **options)


def _take(socket: ClientConnection, client: Client) -> None:
    message = msgspec.json.decode(socket.recv(timeout=5))
    client.take(message["event"], message["id"], message["data"])


def test_a_websocket_carries_the_same_messages_and_resumes(
    world: World, streams_at: str, next_seq: Callable[[], int]
) -> None:
    seq, client = next_seq(), Client()
    with _ws(streams_at, f"?matches={MATCH}") as socket:
        _until(lambda: _take(socket, client), lambda: client.cursor)
        assert client.events[0] == "image"
    for step in range(3):
        world.publish(a_forecast(seq=seq + step))
    with _ws(streams_at, f"?matches={MATCH}&after={client.cursor}") as socket:
        _until(lambda: _take(socket, client), lambda: client.seqs[MATCH][-1] == seq + 2)
        _until(lambda: _take(socket, client), lambda: client.beats)
    assert client.seqs[MATCH][1:] == [seq, seq + 1, seq + 2]


@pytest.mark.parametrize(
    ("message", "code"), [(b"\x00\x01", 1003), ("hello", 1008), ('{"subscribe":"all"}', 1008), ("x" * 1_000_000, 1009)]
)
def test_a_websocket_client_has_nothing_to_say(streams_at: str, message: str | bytes, code: int) -> None:
    with _ws(streams_at) as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


@pytest.mark.parametrize(
    ("query", "origin", "status"),
    [
        ("", "https://evil.example", 403),
        ("", "null", 403),
        ("?after=garbage", None, 400),
        ("?conflate_ms=x", None, 422),
        ("?matches=nobody:1", None, 404),
    ],
)
def test_a_websocket_that_may_not_be_is_refused_with_a_problem(
    streams_at: str, query: str, origin: str | None, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused, _ws(streams_at, query, origin=origin):
        pass
    assert refused.value.response.status_code == status
    assert msgspec.json.decode(refused.value.response.body or b"")["status"] == status


def test_the_page_itself_may_open_a_websocket(streams_at: str) -> None:
    with _ws(streams_at, origin=streams_at) as socket:
        assert msgspec.json.decode(socket.recv(timeout=5))["event"] == "image"


def test_a_websocket_reader_that_went_away_is_noticed(address: str, streams_at: str) -> None:
    socket = _ws(streams_at, legacy=True)
    socket.recv(timeout=5)
    eventually(lambda: httpx.get(f"{address}/readyz").json()["streams"] == 1)
    socket.socket.close()
    eventually(lambda: httpx.get(f"{address}/readyz").json()["streams"] == 0)
