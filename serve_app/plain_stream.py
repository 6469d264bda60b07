"""Streams on bare connections: bytes that many share are handed to the transport; no task and no queue of their own."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from websockets.frames import CloseCode, Opcode
from websockets.protocol import SERVER
from websockets.protocol import Protocol as WebSocketProtocol

from serve_app.frames import Frame, as_events, as_websocket
from serve_app.stream import Stream, Want

RENEW = "come back with your position"


class Host(Protocol):
    """Who looks after open streams."""

    message_bytes: int  # that a WebSocket client may send

    def stalled(self, stream: "PlainStream") -> None:
        """Hear of a reader that took so little that no more is written to it."""

    def drained(self, stream: "PlainStream") -> None:
        """Hear that it takes more again."""

    def gone(self, stream: "PlainStream") -> None:
        """Hear that its connection ended."""


class PlainStream(asyncio.Protocol, Stream):
    """Server-sent events. What a client sends is not read but for its end."""

    __slots__ = ("_host", "transport")

    def __init__(
        self, host: Host, transport: asyncio.Transport, watched: frozenset[str] | None, conflate_s: float
    ) -> None:
        Stream.__init__(self, Want(watched, conflate_s, self.wire))
        self._host, self.transport = host, transport

    @staticmethod
    def wire(frames: Sequence[Frame]) -> bytes:
        return as_events(frames)

    def write(self, payload: bytes) -> None:
        self.transport.write(payload)

    def end(self, reason: str) -> None:
        """Close the connection behind what is written."""
        self.transport.close()

    def pause_writing(self) -> None:
        self.is_full = True
        self._host.stalled(self)

    def resume_writing(self) -> None:
        self.is_full = False
        self._host.drained(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.gone(self)


class WebSocketStream(PlainStream):
    """WebSocket messages; the protocol's own frames are the library's business. A client's messages are refused."""

    __slots__ = ("_protocol",)

    def __init__(
        self, host: Host, transport: asyncio.Transport, watched: frozenset[str] | None, conflate_s: float
    ) -> None:
        super().__init__(host, transport, watched, conflate_s)
        self._protocol: WebSocketProtocol | None = None  # of a client that sent something: few do

    @staticmethod
    def wire(frames: Sequence[Frame]) -> bytes:
        return as_websocket(frames)

    def end(self, reason: str) -> None:
        protocol = self._library()
        if protocol.close_sent is None:
            protocol.send_close(CloseCode.GOING_AWAY, RENEW)
        self._flush(protocol)

    def data_received(self, data: bytes) -> None:
        protocol = self._library()
        protocol.receive_data(data)
        for event in protocol.events_received():
            match getattr(event, "opcode", None):
                case Opcode.BINARY:
                    protocol.fail(CloseCode.UNSUPPORTED_DATA, "binary messages are not read")
                case Opcode.TEXT:
                    protocol.fail(CloseCode.POLICY_VIOLATION, "this stream takes no messages; subscribe by the query")
        self._flush(protocol)

    def _library(self) -> WebSocketProtocol:
        if self._protocol is None:
            self._protocol = WebSocketProtocol(SERVER, max_size=self._host.message_bytes)
        return self._protocol

    def _flush(self, protocol: WebSocketProtocol) -> None:
        for data in protocol.data_to_send():
            if data:
                self.transport.write(data)
        if protocol.close_sent is not None:
            self.transport.close()
