"""The fan-out: which audiences an update concerns, and in which order they get what waits for them."""

import asyncio
import logging
from collections.abc import Callable, Iterator

from serve_app.audience import MOST, Audience, Offsets
from serve_app.conflate import Waiting
from serve_app.frames import Frame, UpdateMessage
from serve_app.stream import Stream, Want

logger = logging.getLogger(__name__)
SLICE = 1_000  # streams written to before the loop sees to sockets, accepts and timers again


class FanOut:
    """All live streams by what they want. An update touches only those that watch its match.

    The unit of work is an audience, which always gets all that waits for it, in the log's order: so a decisive update
    can go before the ticks of other audiences, and no position that a stream is told is ever ahead of what it has.
    """

    def __init__(
        self,
        heartbeat_s: float,
        beat: Callable[[Want], Frame],
        fell_behind: Callable[[Stream, Offsets], None],
        failed: Callable[[], None],
    ) -> None:
        self._heartbeat_s, self._beat = heartbeat_s, beat
        self._fell_behind, self._failed = fell_behind, failed
        self._by_want: dict[Want, list[Audience]] = {}
        self._by_match: dict[str | None, dict[Audience, None]] = {}  # None: of those who watch every match
        self._urgent: dict[Audience, None] = {}
        self._ordinary: dict[Audience, None] = {}
        self._is_running = False

    def __len__(self) -> int:
        return sum(len(audience) for audience in self.audiences())

    def audiences(self) -> Iterator[Audience]:
        return (audience for audiences in self._by_want.values() for audience in audiences)

    def streams(self) -> list[Stream]:
        return [stream for audience in self.audiences() for stream in audience.streams()]

    def join(self, stream: Stream, position: Offsets) -> None:
        """Make a stream live that has everything before `position`, which is where the last update led to."""
        audience = self._with_room(stream.want)
        stream.audience, stream.want = audience, audience.want  # the same set of matches, held once
        audience.join(stream, position)

    def leave(self, stream: Stream) -> None:
        """Let go of a live stream; others change nothing."""
        audience, stream.audience = stream.audience, None
        if audience is None:
            return
        audience.leave(stream)
        if not len(audience):
            self._forget(audience)

    def spread(self, match_id: str, waiting: Waiting[UpdateMessage], before: Offsets) -> None:
        """Let an update wait for everybody who watches its match; `run` writes it."""
        for key in (match_id, None):
            for audience in self._by_match.get(key, ()):
                audience.offer(waiting, before)
                if waiting.decisive or not audience.want.conflate_s:
                    self._line_up(audience, urgent=waiting.decisive)
                elif not audience.is_timed:
                    audience.is_timed = True
                    loop = asyncio.get_running_loop()
                    loop.call_at(max(audience.due_s, loop.time()), self._come_due, audience)

    def beat(self) -> None:
        """Send a heartbeat to each audience that is due for one, if no update took it along meanwhile."""
        now_s = asyncio.get_running_loop().time()
        for audience in self.audiences():
            if now_s >= audience.beat_due_s:
                self._line_up(audience, urgent=False)
        self.run()

    def run(self) -> None:
        """Write to who waits, decisive updates first, one slice after the other."""
        if not self._is_running:
            self._run()

    def _run(self) -> None:
        try:
            self._write_slice()
        except Exception:
            logger.exception("Updates not delivered")
            self._failed()
        self._is_running = bool(self._urgent or self._ordinary)
        if self._is_running:
            asyncio.get_running_loop().call_soon(self._run)

    def _write_slice(self) -> None:
        written = 0
        while written < SLICE and (self._urgent or self._ordinary):
            queue = self._urgent or self._ordinary
            audience = next(iter(queue))
            del queue[audience]
            written += len(audience)
            self._deliver(audience)

    def _deliver(self, audience: Audience) -> None:
        now_s, beat = asyncio.get_running_loop().time(), None
        if now_s >= audience.beat_due_s - self._heartbeat_s / 2:  # with an update it costs no write of its own
            beat, audience.beat_due_s = self._beat(audience.want), now_s + self._heartbeat_s
        for stream, since in audience.deliver(beat, now_s):
            self.leave(stream)
            self._fell_behind(stream, since)

    def _line_up(self, audience: Audience, *, urgent: bool) -> None:
        if urgent:
            self._ordinary.pop(audience, None)
            self._urgent[audience] = None
        elif audience not in self._urgent:
            self._ordinary[audience] = None

    def _come_due(self, audience: Audience) -> None:
        audience.is_timed, audience.due_s = False, 0.0  # a timer may be a millisecond early
        self._line_up(audience, urgent=False)
        self.run()

    def _with_room(self, want: Want) -> Audience:
        audiences = self._by_want.setdefault(want, [])
        for audience in audiences:
            if len(audience) < MOST:
                return audience
        audience = Audience(
            audiences[0].want if audiences else want, asyncio.get_running_loop().time() + self._heartbeat_s
        )
        audiences.append(audience)
        for match_id in _keys(want):
            self._by_match.setdefault(match_id, {})[audience] = None
        return audience

    def _forget(self, audience: Audience) -> None:
        want = audience.want
        self._by_want[want].remove(audience)
        if not self._by_want[want]:
            del self._by_want[want]
        for match_id in _keys(want):
            watching = self._by_match[match_id]
            del watching[audience]
            if not watching:
                del self._by_match[match_id]
        self._urgent.pop(audience, None)
        self._ordinary.pop(audience, None)


def _keys(want: Want) -> tuple[str | None, ...]:
    return (None,) if want.watched is None else tuple(want.watched)
