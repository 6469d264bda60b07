"""One reader of the stream: what waits for it, and what happens when it is slow. Lives on the event loop."""

import asyncio

from serve_app.conflate import Waiting, conflate
from serve_app.deps import Limits
from serve_app.frames import Beat, Frame, UpdateMessage


class Subscriber:
    """A bounded queue. A reader that lets it fill is `behind`: the hub then reads the log for it, at its own pace.

    With `conflate_s` what waits is conflated, and handed out at most that often but for decisive updates, which go at
    once.
    """

    def __init__(self, watched: frozenset[str] | None, conflate_s: float, limits: Limits) -> None:
        self.watched, self.conflate_s = watched, conflate_s
        self._limits = limits
        self._waiting: list[Waiting] = []
        self._beat: Frame | None = None  # of a conflating reader: heartbeats pass by what waits
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self.closed: str | None = None  # why no more comes
        self.behind = False  # what waited was thrown away; the log has it

    def watches(self, match_id: str) -> bool:
        return self.watched is None or match_id in self.watched

    def offer(self, waiting: Waiting) -> None:
        """Queue an update."""
        if self.behind:
            return
        self._waiting.append(waiting)
        if self.conflate_s:
            self._waiting = conflate(self._waiting)
        if len(self._waiting) > self._limits.queue:
            self._fall_behind()
            return
        if not self.conflate_s or waiting.decisive:
            self._wake.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._due_s, loop.time()), self._flush)

    def beat(self, beat: Beat) -> None:
        """Queue a heartbeat, unless one waits already. It has a position only if everything before it was read."""
        if self.behind:
            return
        if self.conflate_s:
            self._beat = beat.frame(self.watched, with_cursor=False)
        elif not any(isinstance(each.message, Frame) for each in self._waiting):
            self._waiting.append(Waiting(message=beat.frame(self.watched, with_cursor=True)))
        self._wake.set()

    def restart(self, frames: list[Frame]) -> None:
        """Replace all that waits: the position was lost."""
        self._waiting = [Waiting(message=frame) for frame in frames]
        self._due_s = 0.0
        self._wake.set()

    def close(self, reason: str) -> None:
        """End the stream; what waits is not sent."""
        self.closed = self.closed or reason
        self._fall_behind()

    def _fall_behind(self) -> None:
        self.behind = True
        self._waiting = []
        self._cancel_timer()
        self._wake.set()

    def successor(self) -> "Subscriber":
        """Return a new queue for a reader that fell behind; of a closed stream, this one."""
        return self if self.closed is not None else Subscriber(self.watched, self.conflate_s, self._limits)

    async def take(self) -> list[Frame]:
        """Wait for the next frames; empty once the reader is behind or the stream closed."""
        while not self.behind:
            await self._wake.wait()
            self._wake.clear()
            if frames := self._ready():
                return frames
        return []

    def _ready(self) -> list[Frame]:
        frames = [] if self._beat is None else [self._beat]
        self._beat = None
        if self._is_due():
            frames += [_rendered(each) for each in self._waiting]
            if self.conflate_s and self._waiting:
                self._due_s = asyncio.get_running_loop().time() + self.conflate_s
            self._waiting = []
            self._cancel_timer()
        return frames

    def _is_due(self) -> bool:
        decisive = any(each.decisive for each in self._waiting)
        return not self.conflate_s or decisive or asyncio.get_running_loop().time() >= self._due_s

    def _flush(self) -> None:
        self._timer = None
        self._wake.set()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _rendered(waiting: Waiting) -> Frame:
    message = waiting.message
    if isinstance(message, UpdateMessage):
        return message.frame_with(waiting.keys)
    assert isinstance(message, Frame)
    return message
