"""A replica's listener in this process: its loop in a thread, a hand-written model, a raw client."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import uvloop

from actors.domain.distribution import ForecastInputs, Prediction
from serve_app.batcher import Batcher
from serve_app.deps import ListenerSettings
from serve_app.hosted import Hosted
from tests.conftest import eventually
from tests.unit.api_world import MATCH, World, predict_one
from tests.unit.fakes import joined

PATH = f"/v1/matches/{MATCH}/forecast"


def predict_all(inputs: list[ForecastInputs]) -> list[Prediction]:
    return [predict_one(each) for each in inputs]


@dataclass
class Replica:
    """A listener that is open, the loop that it runs on, and a way to close it early."""

    port: int
    loop: asyncio.AbstractEventLoop
    hosted: Hosted
    is_closed: bool = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.run_coroutine_threadsafe(self.hosted.close(), self.loop).result(15)


def settings(port: int, **changes: object) -> ListenerSettings:
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "requests": 100,
        "connections": 100,
        "waiting": 100,
        "window_s": 0.001,
        "tasks": 100,
        "linger_s": 0.2,
        "drain_s": 2.0,
    }
    return ListenerSettings(**{**values, **changes})  # type: ignore[arg-type]


@contextmanager
def replica(
    world: World,
    *,
    predict: Callable[[list[ForecastInputs]], list[Prediction]] = predict_all,
    deps: dict[str, object] | None = None,
    **changes: object,
) -> Iterator[Replica]:
    """Host the app as a forecaster replica does; yield once it listens."""
    port = int(changes.pop("port", 0)) or free_port()  # type: ignore[call-overload]
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> Hosted:
        batcher = Batcher(lambda rows: joined(predict(rows)), 32)
        hosted = Hosted(
            world.deps(predict=batcher.predict, **(deps or {})), batcher, settings(port, **changes), most_rows=32
        )
        await hosted.start()
        return hosted

    hosted = asyncio.run_coroutine_threadsafe(begin(), loop).result(15)
    running = Replica(port, loop, hosted)
    try:
        eventually(lambda: hosted.listens)
        yield running
    finally:
        running.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class RawClient:
    """A connection that sends exactly what it is told."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._read = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)

    def answer(self) -> Answer:
        """Read one response."""
        status = int(self._read.readline().split()[1])
        headers = dict[str, str]()
        while (line := self._read.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            assert name not in headers, f"{name} came twice"
            headers[name] = value
        return Answer(status, headers, self._read.read(int(headers.get("content-length", 0))))

    def is_ended(self) -> bool:
        """Say whether the server closed the connection and sent nothing more."""
        return self._read.read(1) == b""

    def close(self) -> None:
        self._read.close()
        self._socket.close()


@contextmanager
def client_of(running: Replica) -> Iterator[RawClient]:
    with closing(RawClient(running.port)) as client:
        yield client


def post(body: bytes, path: str = PATH, **headers: str) -> bytes:
    """Return the bytes of a what-if."""
    lines = {"Host": "x", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    return _head("POST", path, lines) + body


def get(path: str = PATH, **headers: str) -> bytes:
    return _head("GET", path, {"Host": "x", **headers})


def _head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
