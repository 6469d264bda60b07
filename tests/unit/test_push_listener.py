"""The listener of streams: what it answers to those who want something else, and how it lets go of those it has."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2 as httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from serve_app.app import Api
from serve_app.deps import Limits, PushAddress
from serve_app.plain_stream import PlainStream
from tests.conftest import eventually
from tests.unit.api_world import MATCH, Doors, World, a_fixture, a_forecast, a_world, both_doors, opened
from tests.unit.tally import Tally


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    limits = Limits(heartbeat_s=0.2, body_timeout_s=0.3, streams=1)
    with a_world(tmp_path_factory.mktemp("world"), limits=limits) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=1))
        yield world


@pytest.fixture(scope="module")
def doors(world: World) -> Iterator[Doors]:
    with both_doors(world) as doors:
        yield doors


def _sent(address: str, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    host, port = address.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(request)
        with contextlib.suppress(ConnectionResetError):  # it closed before it had read all that we sent
            while more := client.recv(65536):
                answer += more
    return answer


def test_everything_but_streams_is_at_the_other_port(doors: Doors) -> None:
    answer = httpx.get(f"{doors.push}/v1/matches")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"].endswith(f"at port {doors.api.rpartition(':')[2]}")


def test_a_wrong_method_is_told_which_are_right(doors: Doors) -> None:
    answer = httpx.post(f"{doors.push}/v1/stream", content=b"x" * 100)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_head_is_answered_without_a_stream(doors: Doors) -> None:
    answer = httpx.head(f"{doors.push}/v1/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_the_head_of_a_stream_is_the_same_at_both_doors(doors: Doors) -> None:
    heads = [httpx.head(f"{address}/v1/stream").headers for address in doors]
    own = {"server", "date", "connection", "content-length"}  # of uvicorn, and of a connection that ends
    first, second = ({k: v for k, v in head.items() if k not in own} for head in heads)
    assert first == second


def test_who_cannot_read_events_is_told(doors: Doors) -> None:
    assert httpx.get(f"{doors.push}/v1/stream", headers={"Accept": "application/json"}).status_code == 406


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
        (b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n", 408),
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
        (b"GET http://[x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_for_a_stream_is_answered_and_the_connection_ends(
    doors: Doors, request_: bytes, status: int
) -> None:
    assert _sent(doors.push, request_).startswith(b"HTTP/1.1 %d " % status)


def test_streams_that_are_open_end_in_order_when_the_server_stops(world: World) -> None:
    with both_doors(world) as doors:
        host, port = doors.push.removeprefix("http://").split(":")
        events = socket.create_connection((host, int(port)), timeout=5)
        events.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: httpx.get(f"{doors.api}/readyz").json()["streams"] == 1)
    said = b""
    while more := events.recv(65536):
        said += more
    events.close()
    assert b"event: image" in said
    assert said.endswith(b"\n\n"), "cut within an event"


def test_a_websocket_is_told_to_come_back_when_the_server_stops(world: World) -> None:
    with contextlib.ExitStack() as stack:
        with both_doors(world) as doors:
            client = stack.enter_context(connect(doors.push.replace("http", "ws") + "/v1/ws"))
            client.recv(timeout=5)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


class Stuck:
    """A transport of which nobody reads; or, now and then, a little."""

    def __init__(self) -> None:
        self.waiting, self.is_aborted = 100_000, False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True


def test_who_takes_nothing_for_too_long_is_dropped_and_who_takes_a_little_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        with a_world(tmp_path, limits=Limits(slow_s=30)) as world:
            tally, address = Tally(), PushAddress(host="127.0.0.1", port=0, api_port=1)
            api = Api(world.deps(counters=tally, push=address))
            assert api.push is not None
            stuck, slow = Stuck(), Stuck()
            streams = [PlainStream(api.push, cast(Any, transport), None, 0.0) for transport in (stuck, slow)]
            for stream in streams:
                stream.pause_writing()
            began_s = asyncio.get_running_loop().time()
            for second in range(32):
                slow.waiting -= 100
                assert not stuck.is_aborted or second > 30
                api.push.sweep(began_s + second)
            assert stuck.is_aborted
            assert not slow.is_aborted
            assert tally.events["reader_dropped"] == 1

    asyncio.run(scenario())


def test_a_live_stream_is_a_small_object() -> None:
    stream = PlainStream(cast(Any, None), cast(Any, None), frozenset([MATCH]), 0.0)
    assert not hasattr(stream, "__dict__")
    assert sys.getsizeof(stream) < 200
