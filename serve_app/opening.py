"""The head of a request on a bare connection, read by httptools; nothing of it is left behind the answer."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import httptools
from starlette.datastructures import Headers, QueryParams

from serve_app.problem import Problem

MOST_HEAD_BYTES = 64 * 1024  # as much as uvicorn takes; a position has at most 4 KB


class Opening(asyncio.Protocol):
    """A connection until its request is read: then `asked(self, None)`, or `asked(self, why it cannot be answered)`.

    Whoever answers ends it, or gives its transport another protocol.
    """

    def __init__(
        self,
        within_s: float,
        connected: Callable[["Opening"], Exception | None],
        asked: Callable[["Opening", Exception | None], None],
        gone: Callable[["Opening"], None],
    ) -> None:
        self._within_s, self._connected, self._asked, self._gone = within_s, connected, asked, gone
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._headers, self._read, self._is_read = b"", list[tuple[bytes, bytes]](), 0, False
        self.transport: asyncio.Transport
        self.method, self.path, self.query = "", "", QueryParams()

    @property
    def headers(self) -> Headers:
        return Headers(raw=self._headers)

    def answer(self, whole: bytes) -> None:
        """Write a whole answer and close, unless the client has gone."""
        if not self.transport.is_closing():
            self.transport.write(whole)
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        self._timer = asyncio.get_running_loop().call_later(self._within_s, self._too_late)
        if refused := self._connected(self):
            self._end_reading(refused)

    def data_received(self, data: bytes) -> None:
        if self._is_read:
            return
        self._read += len(data)
        if self._read > MOST_HEAD_BYTES:
            self._end_reading(Problem(431, f"at most {MOST_HEAD_BYTES} bytes of a request are read"))
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.on_message_complete()
        except httptools.HttpParserError as error:
            self._end_reading(Problem(400, f"this is no HTTP request: {error}"))

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        if self._is_read:
            return
        try:
            url = httptools.parse_url(self._url)
            self.path, self.query = url.path.decode("ascii"), QueryParams((url.query or b"").decode("ascii"))
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._end_reading(Problem(400, "the request's target is no URL"))
            return
        self.method = self._parser.get_method().decode("ascii")
        self._end_reading(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._gone(self)

    def _too_late(self) -> None:
        self._end_reading(Problem(408, f"the request did not end within {self._within_s:g} s"))

    def _end_reading(self, error: Exception | None) -> None:
        if self._is_read:
            return
        self._is_read = True
        self._timer.cancel()
        self._asked(self, error)


def head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the head of an answer behind which the connection ends."""
    lines = b"".join(b"%b: %b\r\n" % each for each in headers)
    return b"HTTP/1.1 %d %b\r\n%bconnection: close\r\n\r\n" % (status, HTTPStatus(status).phrase.encode(), lines)
