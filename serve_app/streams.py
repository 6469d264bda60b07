"""The two doors of push behind ASGI: server-sent events and WebSocket. Both carry the same messages."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from actors.domain.errors import ForecastingError, NoModel, Unknown
from actors.domain.ports import FORECASTS, EventLog
from serve_app.counters import Counters
from serve_app.cursor import NOWHERE, BadCursor, Position, decode_position
from serve_app.deps import AppDeps
from serve_app.frames import Frame
from serve_app.problem import Problem, as_problem, brief, response
from serve_app.push import Hub
from serve_app.requests import EVENT_STREAM, check_accepts, match_list, whole_number
from serve_app.view import FixtureReader, ForecastReader

logger = logging.getLogger(__name__)
MAX_CONFLATE_MS = 120_000
RETRY_MS = 1_000  # after how long a browser comes back
RENEW_MS = 20  # and after a stream that was full
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
UNSUPPORTED_DATA, POLICY, TOO_BIG, GOING_AWAY, TRY_AGAIN = 1003, 1008, 1009, 1001, 1013


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client wants from the stream."""

    watched: frozenset[str] | None
    after: Position
    conflate_s: float


class Streams:
    """Opens streams for clients."""

    def __init__(self, deps: AppDeps, hub: Hub, reader: ForecastReader, fixtures: FixtureReader) -> None:
        self._deps, self._hub, self._reader, self._fixtures = deps, hub, reader, fixtures

    @property
    def is_ready(self) -> bool:
        """Whether the view is filled."""
        return self._reader.tail.caught_up and self._fixtures.tail.caught_up

    async def sse(self, request: Request) -> Response:
        """Answer `GET /v1/stream`."""
        check_accepts(request.headers, EVENT_STREAM)
        wish = await self.wish(request.query_params, request.headers.get("last-event-id"))
        if request.method == "HEAD":
            return Response(None, 200, HEADERS, media_type=EVENT_STREAM)
        return _EventStream(self._events(wish), self._deps.limits.slow_s, self._deps.counters)

    async def ws(self, socket: WebSocket) -> None:
        """Answer `GET /v1/ws`: subscribed by query, messages from the client are refused."""
        try:
            self.check_origin(socket.headers)
            wish = await self.wish(socket.query_params, None)
        except (Problem, BadCursor, ForecastingError) as error:
            await _deny(socket, as_problem(error))
            return
        await socket.accept()
        await self._serve(socket, wish)

    async def wish(self, query: QueryParams, last_event_id: str | None) -> Wish:
        """Read what a client wants.

        Raises:
            Problem: A parameter is wrong. BadCursor: The position is no cursor, or lies ahead of the log.
            Unknown: A match does not exist. NoModel: The view is not filled yet. Overloaded: Too many streams.
        """
        conflate_ms = whole_number(query, "conflate_ms", default=0, least=0, most=MAX_CONFLATE_MS)
        watched = match_list(query, "matches", most=self._deps.limits.stream_matches)
        cursor = last_event_id or query.get("after")  # a browser that reconnects keeps the URL but has a newer id
        after = decode_position(cursor) if cursor else NOWHERE
        if not self.is_ready:
            raise NoModel("the view is not filled yet")
        self._hub.admit()
        for match_id in watched or ():
            if self._reader.shown(match_id) is None and self._fixtures.get(match_id) is None:
                raise Unknown("match", match_id)
        if any(self._hub.position.get(p, 0) < offset for p, offset in after.offsets.items()):
            await asyncio.to_thread(_check_not_ahead, self._deps.log, after.offsets)
        return Wish(watched=watched, after=after, conflate_s=conflate_ms / 1000)

    async def _events(self, wish: Wish) -> AsyncGenerator[bytes, None]:
        yield b"retry: %d\n\n" % RETRY_MS
        async with aclosing(self._hub.stream(wish.watched, wish.after, wish.conflate_s)) as stream:
            left = self._deps.limits.stream_bytes
            async for frames in stream:
                chunk = b"".join(frame.sse for frame in frames)
                yield chunk
                if (left := left - len(chunk)) <= 0:
                    self._deps.counters.count("stream_renewed")
                    yield b"retry: %d\n\n" % RENEW_MS
                    return

    def check_origin(self, headers: Headers) -> None:
        """CORS does not cover WebSocket: only the page's own host and listed origins may connect from a browser."""
        origin = headers.get("origin")
        if origin is None or origin in self._deps.allowed_origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise Problem(403, f"origin {brief(origin)!r} is not allowed", field="Origin")

    async def _serve(self, socket: WebSocket, wish: Wish) -> None:
        listener = asyncio.create_task(self._listen(socket))
        sender = asyncio.create_task(self._send(socket, wish))
        try:
            done, _ = await asyncio.wait((listener, sender), return_when=asyncio.FIRST_COMPLETED)
            code, reason = done.pop().result()
        finally:
            for task in (listener, sender):
                task.cancel()
            await asyncio.gather(listener, sender, return_exceptions=True)
        if code:
            await _close(socket, code, reason)

    async def _listen(self, socket: WebSocket) -> tuple[int, str]:
        """Wait for the first thing that a client sends; return the code to close with, 0 if it has gone."""
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return 0, ""
        text, raw = message.get("text"), message.get("bytes")
        if len(text or raw or "") > self._deps.limits.message_bytes:
            return TOO_BIG, f"at most {self._deps.limits.message_bytes} bytes a message"
        if text is None:
            return UNSUPPORTED_DATA, "binary messages are not read"
        return POLICY, "this stream takes no messages; subscribe by the query"

    async def _send(self, socket: WebSocket, wish: Wish) -> tuple[int, str]:
        try:
            async with aclosing(self._hub.stream(wish.watched, wish.after, wish.conflate_s)) as stream:
                left = self._deps.limits.stream_bytes
                async for frames in stream:
                    left -= await self._send_all(socket, frames)
                    if left <= 0:
                        self._deps.counters.count("stream_renewed")
                        break
        except TimeoutError:
            self._deps.counters.count("reader_dropped")
            return TRY_AGAIN, "the reader is too slow"
        except (WebSocketDisconnect, RuntimeError):  # it went while we sent
            return 0, ""
        return GOING_AWAY, "come back with your position"

    async def _send_all(self, socket: WebSocket, frames: list[Frame]) -> int:
        async with asyncio.timeout(self._deps.limits.slow_s):
            for frame in frames:
                await socket.send_text(frame.text)
        return sum(len(frame.text) for frame in frames)


class _EventStream(StreamingResponse):
    """An event stream whose reader must take what it is sent within a bound."""

    def __init__(self, events: AsyncGenerator[bytes, None], slow_s: float, counters: Counters) -> None:
        super().__init__(events, 200, HEADERS, media_type=EVENT_STREAM)
        self._events, self._slow_s, self._counters = events, slow_s, counters

    async def stream_response(self, send: Send) -> None:
        async def bounded(message: Message) -> None:
            async with asyncio.timeout(self._slow_s):
                await send(message)

        try:
            await super().stream_response(bounded)
        except OSError as error:  # a timeout too; the response is unfinished, so the server closes the connection
            if isinstance(error, TimeoutError):
                self._counters.count("reader_dropped")
            logger.info("Stream ended", extra={"reason": f"the reader takes no more: {error!r}"})
        finally:
            await self._events.aclose()


def _check_not_ahead(log: EventLog, after: dict[int, int]) -> None:
    ends = log.end_offsets(FORECASTS)
    for partition, offset in after.items():
        if offset > ends.get(partition, 0):
            raise BadCursor(f"it lies ahead of the log (partition {partition}, offset {offset})")


async def _deny(socket: WebSocket, problem: Problem) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(response(problem))
    else:
        await socket.close(POLICY, problem.detail[:120])


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.close(code, reason)
    except RuntimeError:  # it has gone meanwhile
        logger.debug("WebSocket was closed already")
