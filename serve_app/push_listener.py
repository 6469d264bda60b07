"""The door of push that costs least: SSE and WebSocket on a port of each replica's own, past Serve's proxy and ASGI.

All replicas listen on one port (SO_REUSEPORT), and the kernel shares connections out among them. Requests are read by
httptools and websockets; behind its answer's head a connection is a `PlainStream`, and nothing else is left of it.
"""

import asyncio
from collections.abc import Callable

from starlette.responses import Response
from websockets.datastructures import Headers as WebSocketHeaders
from websockets.http11 import Request as WebSocketRequest
from websockets.server import ServerProtocol

from actors.domain.errors import Overloaded
from serve_app.background import Background
from serve_app.counters import Counters
from serve_app.cursor import Position
from serve_app.deps import Limits, PushAddress
from serve_app.opening import Opening, head
from serve_app.plain_stream import PlainStream, WebSocketStream
from serve_app.problem import Problem, tell
from serve_app.push import Hub
from serve_app.requests import EVENT_STREAM, check_accepts
from serve_app.security import ALWAYS
from serve_app.streams import HEADERS, RETRY_MS, Streams

SSE, WEBSOCKET = "/v1/stream", "/v1/ws"
HEADROOM = 100  # connections above the most streams that are read, so that they can be answered 429
BACKLOG = 4_096  # connections that may wait to be accepted, as many as Linux lets by default
LOOK_EVERY_S = 0.05  # whether the view is filled: who came before would be answered 503
SWEEP_EVERY_S = 1.0
DRAIN_S = 2.0  # at a stop, for what is written to be read


class PushListener:
    """Accepts connections, answers requests, and drops readers that take nothing for too long."""

    def __init__(
        self,
        streams: Streams,
        hub: Hub,
        address: PushAddress,
        *,
        limits: Limits,
        counters: Counters,
        count: Callable[[str, int], None],
    ) -> None:
        self._streams, self._hub, self._address, self._limits = streams, hub, address, limits
        self._counters, self._count = counters, count
        self._server: asyncio.Server | None = None
        self._connections = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._openings: set[Opening] = set()
        self._stalled: dict[PlainStream, tuple[int, float]] = {}  # bytes that wait; since when none of them went
        self._tasks: set[asyncio.Task[None]] = set()
        self._work = Background("push listener", self._run)
        begun = Response(None, 200, {**HEADERS, **ALWAYS}, media_type=EVENT_STREAM)
        begun_headers = [each for each in begun.raw_headers if each[0] != b"content-length"]
        self._begun = head(200, begun_headers)
        self.message_bytes = limits.message_bytes
        self.port = 0  # that it listens on; 0: it does not

    def start(self) -> None:
        """Listen as soon as there is something to show."""
        self._work.start()

    def problem(self) -> str | None:
        """Say why nobody is served here any more, None while they are."""
        return self._work.problem

    def stop(self) -> None:
        """Take no more connections; the streams that are open are the hub's to end."""
        self._work.stop()
        self.port = 0
        if self._server is not None:
            self._server.close()
        for opening in self._openings:
            opening.transport.abort()

    async def drain(self) -> None:
        """Wait until every connection has ended, for a bounded time: who reads has all that was written to it."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._is_empty.wait()
        except TimeoutError:
            for stream in self._stalled:
                stream.transport.abort()

    def stalled(self, stream: PlainStream) -> None:
        waiting = stream.transport.get_write_buffer_size()
        self._stalled[stream] = (waiting, asyncio.get_running_loop().time())

    def drained(self, stream: PlainStream) -> None:
        self._stalled.pop(stream, None)
        self._hub.drained(stream)

    def gone(self, stream: PlainStream) -> None:
        self._stalled.pop(stream, None)
        self._hub.leave(stream)
        self._one_less()

    def sweep(self, now_s: float) -> None:
        """Drop who took nothing of what waits for it for too long."""
        for stream, (before, since_s) in list(self._stalled.items()):
            waiting = stream.transport.get_write_buffer_size()
            if waiting < before:
                self._stalled[stream] = (waiting, now_s)
            elif now_s - since_s >= self._limits.slow_s:
                del self._stalled[stream]
                self._counters.count("reader_dropped")
                stream.transport.abort()

    async def _run(self) -> None:
        while not self._streams.is_ready:  # noqa: ASYNC110  the log's threads set it
            await asyncio.sleep(LOOK_EVERY_S)
        loop, address = asyncio.get_running_loop(), self._address
        self._server = await loop.create_server(
            lambda: Opening(self._limits.body_timeout_s, self._connected, self._asked, self._closed),
            address.host,
            address.port,
            reuse_port=True,
            backlog=BACKLOG,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            self.sweep(loop.time())

    def _connected(self, opening: Opening) -> Exception | None:
        self._connections += 1
        self._is_empty.clear()
        self._openings.add(opening)
        opening.transport.set_write_buffer_limits(high=self._limits.buffer_bytes)
        if self._connections <= self._limits.streams + HEADROOM:
            return None
        self._counters.count("stream_refused")
        return Overloaded("connection", self._limits.streams + HEADROOM, retry_after_s=5.0)

    def _closed(self, opening: Opening) -> None:
        self._openings.discard(opening)
        self._one_less()

    def _one_less(self) -> None:
        self._connections -= 1
        if not self._connections:
            self._is_empty.set()

    def _asked(self, opening: Opening, error: Exception | None) -> None:
        if error is not None:
            self._refuse(opening, error)
            return
        task = asyncio.get_running_loop().create_task(self._answer(opening))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, opening: Opening) -> None:
        try:
            if opening.path == SSE:
                await self._begin_events(opening)
            elif opening.path == WEBSOCKET:
                await self._begin_websocket(opening)
            else:
                raise Problem(404, f"this port has streams only; everything else is at port {self._address.api_port}")
        except Exception as error:  # noqa: BLE001  told to the client, and logged if it is ours
            self._refuse(opening, error)

    def _refuse(self, opening: Opening, error: Exception) -> None:
        answer = tell(error, opening.path)
        self._count(opening.path if opening.path in (SSE, WEBSOCKET) else "unknown", answer.status_code)
        opening.answer(head(answer.status_code, answer.raw_headers) + bytes(answer.body))

    async def _begin_events(self, opening: Opening) -> None:
        if opening.method not in ("GET", "HEAD"):
            raise Problem(405, f"{SSE} is read by GET", headers={"Allow": "GET, HEAD"})
        check_accepts(opening.headers, EVENT_STREAM)
        wish = await self._streams.wish(opening.query, opening.headers.get("last-event-id"))
        self._count(SSE, 200)
        if opening.method == "HEAD":
            opening.answer(self._begun)
            return
        stream = PlainStream(self, opening.transport, wish.watched, wish.conflate_s)
        self._begin(opening, self._begun + b"retry: %d\n\n" % RETRY_MS, stream, wish.after)

    async def _begin_websocket(self, opening: Opening) -> None:
        self._streams.check_origin(opening.headers)
        headers = WebSocketHeaders([(name.title(), value) for name, value in opening.headers.items()])
        answer = ServerProtocol().accept(WebSocketRequest(opening.path, headers, opening.method))
        if answer.status_code != 101:
            raise Problem(answer.status_code, (answer.body or b"").decode().strip(), headers=dict(answer.headers))
        wish = await self._streams.wish(opening.query, None)
        self._count(WEBSOCKET, 101)
        stream = WebSocketStream(self, opening.transport, wish.watched, wish.conflate_s)
        self._begin(opening, answer.serialize(), stream, wish.after)

    def _begin(self, opening: Opening, begun: bytes, stream: PlainStream, after: Position) -> None:
        if opening.transport.is_closing():  # it went while we looked
            return
        opening.transport.write(begun)
        self._openings.discard(opening)
        opening.transport.set_protocol(stream)
        self._hub.open(stream, after)
