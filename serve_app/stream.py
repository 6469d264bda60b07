"""One open stream, whatever door it came by; and the queue of those that ASGI serves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from serve_app.cursor import NOWHERE, Position
from serve_app.frames import Frame

if TYPE_CHECKING:
    from serve_app.audience import Audience

Wire = Callable[[Sequence[Frame]], Any]  # what a door makes of frames, once for all of its streams that get the same


class Want(NamedTuple):
    """What a stream is to get; streams that want the same share all that is made for them."""

    watched: frozenset[str] | None  # None: every match
    conflate_s: float
    wire: Wire

    def watches(self, match_id: str) -> bool:
        return self.watched is None or match_id in self.watched


class Stream:
    """What the hub knows of one reader. On the event loop only.

    A stream is live, in an `audience`, or it is served what it missed `after` a position. One that `is_full` is sent
    nothing; its door tells the hub when it takes more (`Hub.drained`).
    """

    __slots__ = ("after", "audience", "is_full", "want")

    def __init__(self, want: Want) -> None:
        self.want = want
        self.audience: Audience | None = None
        self.after: Position = NOWHERE
        self.is_full = False

    def write(self, payload: Any) -> None:
        """Send what `want.wire` made. It may set `is_full`, and raises nothing."""
        raise NotImplementedError

    def end(self, reason: str) -> None:
        """Let the reader know that no more comes: it resumes with its position."""
        raise NotImplementedError


class QueuedStream(Stream):
    """Frames wait, up to a bound, until `take` hands them out: for doors that await what they send."""

    __slots__ = ("_drained", "_is_ended", "_most", "_waiting", "_wake")

    def __init__(
        self, watched: frozenset[str] | None, conflate_s: float, most: int, drained: Callable[[Stream], None]
    ) -> None:
        super().__init__(Want(watched, conflate_s, tuple))
        self._most, self._drained = most, drained
        self._waiting: list[Frame] = []
        self._wake = asyncio.Event()
        self._is_ended = False

    def write(self, payload: Sequence[Frame]) -> None:
        self._waiting += payload
        self.is_full = len(self._waiting) >= self._most
        self._wake.set()

    def end(self, reason: str) -> None:
        """End it; what waits is not handed out."""
        self._is_ended = True
        self._wake.set()

    async def take(self) -> list[Frame]:
        """Wait for the next frames; empty once the stream has ended."""
        await self._wake.wait()
        if self._is_ended:
            return []
        self._wake.clear()
        frames, self._waiting = self._waiting, []
        if self.is_full:
            self.is_full = False
            self._drained(self)
        return frames
