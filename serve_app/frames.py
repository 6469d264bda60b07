"""Messages of a stream and how they are written: as server-sent events, and as WebSocket text. Encoded once, shared."""

from collections.abc import Callable
from functools import cached_property

import msgspec

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
    """One heartbeat; made once for all subscribers that watch the same matches."""

    def __init__(self, at: str, matches: dict[str, bytes], cursor: Callable[[], str]) -> None:
        self._at, self._matches, self._cursor = at, matches, cursor
        self._made: dict[tuple[frozenset[str] | None, bool], Frame] = {}

    def frame(self, watched: frozenset[str] | None, *, with_cursor: bool) -> Frame:
        """Return the heartbeat for the watched matches (None: all)."""
        key = (watched, with_cursor)
        if key not in self._made:
            cursor = self._cursor() if with_cursor else None
            self._made[key] = Frame("heartbeat", cursor, self._data(watched))
        return self._made[key]

    def _data(self, watched: frozenset[str] | None) -> bytes:
        names = self._matches.keys() if watched is None else self._matches.keys() & watched
        matches = {name: msgspec.Raw(self._matches[name]) for name in sorted(names)}
        return _encoder.encode({"at": self._at, "matches": matches})
