"""One connection of the replicas' own listener: uvicorn's protocol, with the hot routes taken out before it.

A request is hot if it is one of `serve_app.hot_routes` and plain: what headers it has leave nothing to decide. It is
then answered by one write, without a scope, a task or a queue. Every other request goes uvicorn's way to the app, so
there is one implementation of everything that is not plain. Answers keep the order of their requests: hot ones wait
for each other in `_waiting`; behind one that is the app's all are the app's; one of the app's waits for hot ones.
"""

import re
from asyncio import TimerHandle
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve_app.body import Shown
from serve_app.problem import Problem
from serve_app.requests import body_too_slow

if TYPE_CHECKING:
    from serve_app.listener import Listener

_PATH = re.compile(rb"/v1/matches/([A-Za-z0-9_.:~@-]{1,200})/forecast")  # what else may stand there, the app unquotes
_ANY = frozenset({b"*/*", b"application/json", b"application/*", b"application/json, text/plain, */*"})
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_NOT_PLAIN = frozenset({b"expect", b"upgrade", b"content-encoding", b"transfer-encoding"})
_MATTER = _NOT_PLAIN | {b"accept", b"content-type", b"content-length", b"if-none-match"}
_MOST_HEAD_BYTES = 64 * 1024  # 431
_CLOSE = {"Connection": "close"}
_MOST_PIPELINED = 64  # of one connection, then it is not read until they are answered
_HOT_FIRST: Any = SimpleNamespace(response_complete=False)  # in uvicorn's eyes: a request that is under way


class HotExchange:
    """One hot request. `response` is None until it is known."""

    __slots__ = ("_protocol", "body", "is_last", "is_read", "response", "shown", "tags")

    def __init__(self, protocol: "HotProtocol", shown: Shown, tags: str, *, is_read: bool, is_last: bool) -> None:
        self._protocol, self.shown, self.tags = protocol, shown, tags
        self.is_read, self.is_last = is_read, is_last
        self.body: bytes = b""
        self.response: bytes | None = None

    def reply(self, response: bytes) -> None:
        self.response = response
        self._protocol.write_answered()


class HotProtocol(HttpToolsProtocol):
    """See above. Made by the listener for each connection."""

    def __init__(self, listener: "Listener") -> None:
        super().__init__(listener.config, listener.state, {})
        self._listener, self._routes = listener, listener.routes
        self._hot: HotExchange | None = None  # the one that is being read
        self._waiting: deque[HotExchange] = deque()
        self._served = 0
        self._is_last = False  # nothing is read behind the request that has begun
        self._is_apps = False  # the request that is being read
        self._is_reading = False  # a request has begun and not ended
        self._app_waits = False  # a request of the app's waits for hot ones
        self._is_refused = len(self.connections) >= listener.settings.connections
        self._head_bytes = 0  # of a head that did not come in one piece
        self._timer: TimerHandle | None = None
        self.used_at_s = self.loop.time()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.used_at_s = self.loop.time()
        if self._is_reading and not self._is_apps:  # the app has a timer of its own
            self._await_rest(len(data))
        if len(self._waiting) > _MOST_PIPELINED:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._is_reading, self._is_apps, self._head_bytes = True, False, 0

    def on_headers_complete(self) -> None:
        if self._is_last:
            return
        self._served += 1
        listener = self._listener
        self._is_last = self._is_refused or listener.is_closing or self._served >= listener.settings.requests
        self._hot = None if self._is_refused else self._as_hot()
        if self._hot is None:
            self._hand_over()

    def on_body(self, body: bytes) -> None:
        if self._hot is not None:
            self._hot.body += body
        elif self._is_apps:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_reading = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hot, self._hot = self._hot, None
        if hot is not None:
            self._serve(hot)
        elif self._is_apps:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()  # who does not read answers is not asked for more

    def resume_writing(self) -> None:
        super().resume_writing()
        self.flow.resume_reading()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._is_reading or self._waiting) and (self.cycle is None or self.cycle.response_complete)

    def write_answered(self) -> None:
        """Write the answers that are known, up to the first that is not; then it is the app's turn."""
        waiting = self._waiting
        while waiting and (response := waiting[0].response) is not None:
            self._write(response, is_last=waiting.popleft().is_last)
        if waiting:
            return
        if self._app_waits:
            self._app_waits = False
            self._start_asgi_task(*self.pipeline.pop())
        elif not self.flow.write_paused:
            self.flow.resume_reading()

    def _as_hot(self) -> HotExchange | None:
        """Return the request as a hot one, None if it is the app's."""
        if (path := _PATH.fullmatch(self.url)) is None or not (self.cycle is None or self.cycle.response_complete):
            return None
        method = self.parser.get_method()
        if method not in (b"GET", b"POST") or self.parser.get_http_version() != "1.1":
            return None
        is_read = method == b"GET"
        tags = self._tags_if_plain(is_read)
        if tags is None or (shown := self._routes.shown(path[1].decode())) is None:
            return None
        is_last = self._is_last = self._is_last or not self.parser.should_keep_alive()
        return HotExchange(self, shown, tags, is_read=is_read, is_last=is_last)

    def _tags_if_plain(self, is_read: bool) -> str | None:
        """Look at every header that matters; return If-None-Match, empty if there is none; None if it is not plain."""
        tags, is_json, has_length = "", False, False
        for name, value in self.headers:
            if name not in _MATTER:
                continue
            match name:
                case b"accept":
                    if value not in _ANY:
                        return None
                case b"content-type":
                    if value not in _JSON:
                        return None
                    is_json = True
                case b"content-length":
                    has_length = True
                    if not value.isdigit() or int(value[:20]) > self._listener.limits.body_bytes:
                        return None
                case b"if-none-match":
                    if tags:
                        return None
                    tags = value.decode("latin-1")
                case _:
                    return None
        is_plain = not has_length if is_read else is_json and has_length
        return tags if is_plain else None

    def _serve(self, hot: HotExchange) -> None:
        if not hot.is_read:
            self._waiting.append(hot)
            self._routes.ask(hot)
            return
        response = self._routes.read(hot.shown, hot.tags)
        if self._waiting:
            self._waiting.append(hot)
            hot.reply(response)
        else:
            self._write(response, is_last=hot.is_last)

    def _write(self, response: bytes, *, is_last: bool) -> None:
        if self.transport.is_closing():
            return
        if is_last:
            response = response.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
        self.transport.write(response)
        if is_last:
            self.transport.close()

    def _hand_over(self) -> None:
        """Let uvicorn begin the request as if it had read its head."""
        if self._waiting and self.parser.should_upgrade():  # there is no sense in it
            self.transport.close()
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers = self.scope["headers"] = headers
        self._is_apps = True
        if self._waiting:
            self.cycle, self._app_waits = _HOT_FIRST, True
        self.app = self._listener.app_for(is_refused=self._is_refused)
        super().on_headers_complete()
        if self._is_last and self.cycle is not None:  # a WebSocket has none
            self.cycle.keep_alive = False

    def _await_rest(self, count: int) -> None:
        """Bound a request that did not come in one piece: in time, and its head in bytes, as its body is already."""
        if self._timer is None:
            self._timer = self.loop.call_later(self._listener.limits.body_timeout_s, self._too_slow)
        if self._hot is None:
            self._head_bytes += count
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._end(Problem(431, f"at most {_MOST_HEAD_BYTES} bytes of a head are read", headers=_CLOSE))

    def _too_slow(self) -> None:
        self._end(body_too_slow(self._listener.limits.body_timeout_s))

    def _end(self, problem: Problem) -> None:
        """Refuse the request that is being read, and end the connection."""
        shown = None if self._hot is None else self._hot.shown
        self._hot, self._is_reading, self._is_last = None, False, True
        if not self.transport.is_closing():
            self.transport.write(self._routes.refusal(problem, shown))
            self.transport.close()
