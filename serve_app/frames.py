"""Messages of a stream and how they are written: as server-sent events, and as WebSocket text. Encoded once, shared."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import msgspec
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from serve_app.body import Shown, delta, spliced
from serve_app.freshness import Freshness

_encoder = msgspec.json.Encoder()


class Frame:
    """One message; `data` is JSON without line breaks, `cursor` the position that a reader of it has reached."""

    def __init__(self, event: str, cursor: str | None, data: bytes) -> None:
        self.event, self.cursor, self.data = event, cursor, data

    @cached_property
    def sse(self) -> bytes:
        """As a server-sent event."""
        identity = b"" if self.cursor is None else b"id: %b\n" % self.cursor.encode()
        return b"event: %b\n%bdata: %b\n\n" % (self.event.encode(), identity, self.data)

    @cached_property
    def text(self) -> str:
        """As the text of a WebSocket message."""
        message = {"event": self.event, "id": self.cursor, "data": msgspec.Raw(self.data)}
        return _encoder.encode(message).decode()

    @cached_property
    def websocket(self) -> bytes:
        """As the bytes of a WebSocket message."""
        return WebSocketFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False)


def as_events(frames: Sequence[Frame]) -> bytes:
    """Write frames as server-sent events."""
    return frames[0].sse if len(frames) == 1 else b"".join([frame.sse for frame in frames])


def as_websocket(frames: Sequence[Frame]) -> bytes:
    """Write frames as WebSocket messages."""
    return b"".join([frame.websocket for frame in frames])


class UpdateMessage:
    """One forecast on its way to subscribers; the frame of its own delta or image is made once for all of them."""

    def __init__(
        self, shown: Shown, keys: frozenset[str], freshness: Freshness, cursor: str | None, *, image: bool
    ) -> None:
        self.shown, self.keys, self.freshness, self.cursor, self.image = shown, keys, freshness, cursor, image

    @cached_property
    def frame(self) -> Frame:
        return self._frame(self.keys)

    def frame_with(self, keys: frozenset[str]) -> Frame:
        """Return the frame of a delta with these keys: its own, or what a subscriber's conflation made of them."""
        return self.frame if keys == self.keys or self.image else self._frame(keys)

    def _frame(self, keys: frozenset[str]) -> Frame:
        if self.image:
            return Frame("image", self.cursor, spliced(self.shown, self.freshness))
        return Frame("delta", self.cursor, delta(self.shown, keys, self.freshness))


class Beat:
    """A heartbeat, made once for all who watch the same matches; `sign_of` says how a match is."""

    def __init__(self, at: str, matches: Iterable[str], sign_of: Callable[[str], bytes], cursor: str) -> None:
        self._at, self._matches, self._sign_of, self._cursor = at, sorted(matches), sign_of, cursor
        self._signs: dict[str, msgspec.Raw] = {}
        self._made: dict[tuple[frozenset[str] | None, bool], Frame] = {}

    def frame(self, watched: frozenset[str] | None, *, with_cursor: bool) -> Frame:
        """Return the heartbeat for the watched matches (None: all)."""
        key = (watched, with_cursor)
        if key not in self._made:
            self._made[key] = Frame("heartbeat", self._cursor if with_cursor else None, self._data(watched))
        return self._made[key]

    def _data(self, watched: frozenset[str] | None) -> bytes:
        names = (name for name in self._matches if watched is None or name in watched)
        return _encoder.encode({"at": self._at, "matches": {name: self._sign(name) for name in names}})

    def _sign(self, match_id: str) -> msgspec.Raw:
        if match_id not in self._signs:
            self._signs[match_id] = msgspec.Raw(self._sign_of(match_id))
        return self._signs[match_id]
