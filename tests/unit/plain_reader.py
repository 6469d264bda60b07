"""A reader of a plain stream without a socket: its transport holds what was written until it is taken."""

import asyncio
from typing import cast

from serve_app.cursor import NOWHERE, Position
from serve_app.plain_stream import PlainStream
from serve_app.push import Hub
from tests.unit.push_client import Client, events


class PlainReader:
    """Transport, host and client of one stream. Beyond `most` bytes it pauses the writer, until `take`."""

    message_bytes = 4096

    def __init__(
        self,
        hub: Hub,
        *,
        after: Position = NOWHERE,
        watched: frozenset[str] | None = None,
        conflate_s: float = 0.0,
        most: int = 1 << 20,
        client: Client | None = None,
    ) -> None:
        self._hub, self._most = hub, most
        self.buffer, self.is_closed, self.writes = bytearray(), False, 0
        self.client = client or Client()
        self.stream = PlainStream(self, cast(asyncio.Transport, self), watched, conflate_s)
        hub.open(self.stream, after)

    def write(self, data: bytes) -> None:
        assert not self.stream.is_full, "written to a reader that takes no more"
        self.buffer += data
        self.writes += 1
        if len(self.buffer) > self._most:
            self.stream.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True
        self.stream.connection_lost(None)

    def take(self) -> None:
        """Read all that was written."""
        lines = self.buffer.decode().splitlines()
        self.buffer.clear()
        for event in events(iter([*lines, ""])):
            self.client.take(*event)
        if self.stream.is_full:
            self.stream.resume_writing()

    def stalled(self, stream: PlainStream) -> None:
        """Hear nothing: the reader knows."""

    def drained(self, stream: PlainStream) -> None:
        self._hub.drained(stream)

    def gone(self, stream: PlainStream) -> None:
        self._hub.leave(stream)
