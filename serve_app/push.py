"""The hub: takes batches from the reader, hands shared frames to the streams, lets those who come back catch up."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from actors.domain.errors import OffsetOutOfRange, Overloaded, StoreUnavailable
from actors.domain.ports import EventLog, LiveView
from serve_app.audience import Offsets
from serve_app.background import Background
from serve_app.body import Shown
from serve_app.catch_up import Backlog, PositionLost
from serve_app.conflate import Waiting
from serve_app.counters import Counters
from serve_app.cursor import NOWHERE, Position, encode_position
from serve_app.deps import Limits
from serve_app.fan_out import FanOut
from serve_app.frames import Beat, Frame, UpdateMessage
from serve_app.stream import QueuedStream, Stream, Want
from serve_app.view import Batch, ForecastReader, Update

logger = logging.getLogger(__name__)
AHEAD_S = 5.0  # how long a position may be ahead of this replica before it is taken for lost
SHARED_S = 0.1  # how long what one stream began with may be what the next one begins with
BEATS = 10  # times in a heartbeat's length that somebody looks who is due for one
_encoder = msgspec.json.Encoder()
_Key = tuple[Want, bool, frozenset[tuple[int, int]]]


class Hub:
    """All streams of this replica. Everything but `_from_reader` runs on the event loop, so nothing needs a lock.

    A stream is caught up by a task of its own, in which it gets images or what it missed; then it is live, without a
    task, until it ends or takes no more. A reader that cannot keep up thus falls behind and is served from the log at
    its own pace, like one that went and came back: it misses nothing, and costs no memory. One that takes nothing at
    all is for its door to drop.
    """

    def __init__(
        self,
        log: EventLog,
        view: LiveView,
        reader: ForecastReader,
        *,
        limits: Limits,
        now: Callable[[], datetime],
        counters: Counters,
    ) -> None:
        self._reader, self._limits, self._now, self._counters = reader, limits, now, counters
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fan_out = FanOut(limits.heartbeat_s, self._beat_for, self._fell_behind, self._failed)
        self._backlog = Backlog(log, view, reader, now)
        self._catching_up: set[Stream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._openings: dict[_Key, Any] = {}
        self._opened = 0
        self._current: dict[str, Shown] = {}
        self._moved = asyncio.Event()
        self._beat: Beat | None = None
        self._heartbeats = Background("heartbeats", self._beat_for_ever)
        self.position: Offsets = {}
        reader.listen(self._from_reader)

    async def start(self) -> None:
        """Bind to the running loop; call it before the reader starts."""
        self._loop = asyncio.get_running_loop()
        self._heartbeats.start()

    async def stop(self) -> None:
        """End all streams."""
        self._heartbeats.stop()
        self._loop = None
        self._end_all("the server goes down")

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._opened

    def problem(self) -> str | None:
        """Say what is wrong with the hub itself, None if nothing is."""
        return self._heartbeats.problem

    def admit(self) -> None:
        """Raise Overloaded if no more streams can be taken."""
        if self._opened >= self._limits.streams:
            self._counters.count("stream_refused")
            raise Overloaded("stream", self._limits.streams, retry_after_s=5.0)

    def open(self, stream: Stream, after: Position) -> None:
        """Serve a stream: images or what was missed since `after`, then deltas and heartbeats, until `leave`."""
        self._count(1)
        self._counters.count("stream_resumed" if after.offsets else "stream_new")
        stream.after = after
        self._catching_up.add(stream)
        self.drained(stream)

    def drained(self, stream: Stream) -> None:
        """Go on with a stream that takes more again."""
        if stream in self._catching_up:
            task = asyncio.get_running_loop().create_task(self._catch_up(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self, stream: Stream) -> None:
        """Forget a stream that was opened: its reader is gone."""
        self._count(-1)
        self._catching_up.discard(stream)
        self._fan_out.leave(stream)

    async def stream(
        self, watched: frozenset[str] | None, after: Position, conflate_s: float
    ) -> AsyncGenerator[list[Frame], None]:
        """Yield the frames of a stream until it ends, for a door that awaits what it sends."""
        stream = QueuedStream(watched, conflate_s, self._limits.queue, self.drained)
        self.open(stream, after)
        try:
            while frames := await stream.take():
                yield frames
        finally:
            self.leave(stream)

    def _count(self, more: int) -> None:
        self._opened += more
        self._counters.streams_open(self._opened)

    async def _catch_up(self, stream: Stream) -> None:
        """Bring a stream up to now and let it join those that are live; one that takes no more comes again."""
        try:
            async for payload, told in self._beginning(stream.want, stream.after):
                if stream not in self._catching_up:
                    return
                stream.write(payload)
                stream.after = told
                if stream.is_full:
                    return
        except StoreUnavailable as error:  # the client comes back with its position
            logger.warning("Stream ended", extra={"reason": str(error)})
            self._end(stream, str(error))
        except Exception:
            logger.exception("Stream ended")
            self._counters.count("fault")
            self._end(stream, "what was missed could not be told")
        if stream in self._catching_up:  # there was no pause since the last look at what there is
            self._catching_up.remove(stream)
            stream.after = NOWHERE
            self._fan_out.join(stream, self.position)

    async def _beginning(self, want: Want, after: Position) -> AsyncIterator[tuple[Any, Position]]:
        """Yield what comes before live updates, for the wire, and where it leads to.

        Many open the same thing, or come back with the same position, at the same time: they share what is made.
        """
        key, position, began_s = _key(want, after), self.position, asyncio.get_running_loop().time()
        if key in self._openings:
            yield self._openings[key], Position(offsets=position, is_complete=True)
            return
        pieces = 0
        async for frames, told in self._pieces(want, after):
            payload, pieces = want.wire(frames), pieces + 1
            yield payload, told
        is_now = position is self.position and asyncio.get_running_loop().time() - began_s < SHARED_S
        if pieces == 1 and is_now:
            self._openings[key] = payload

    async def _pieces(self, want: Want, after: Position) -> AsyncIterator[tuple[list[Frame], Position]]:
        """Yield what was missed, then images where the client has nothing yet."""
        try:
            await self._reach(after.offsets)
            async for piece in self._backlog.missed(want, after, lambda: self.position):
                yield piece
        except (PositionLost, OffsetOutOfRange) as lost:
            after = NOWHERE
            self._counters.count("stream_resync")
            yield [_resync(str(lost))], after
        frames = [] if after.is_complete else self._images(want, frozenset(after.offsets))
        if frames:
            yield frames, Position(offsets=self.position, is_complete=True)

    def _images(self, want: Want, done: frozenset[int] = frozenset()) -> list[Frame]:
        """Return an image per match outside the partitions that the client has already.

        An image's position is complete only if it is the last; before, it names the partitions that are done.
        """
        watched = (each for each in self._current.values() if want.watches(each.entry.match_id))
        shown = sorted((e for e in watched if e.entry.partition not in done), key=lambda e: e.entry.partition)
        frames, told = [], {p: self.position[p] for p in done if p in self.position}
        for number, each in enumerate(shown, start=1):
            following = shown[number].entry.partition if number < len(shown) else None
            if following != each.entry.partition:
                told[each.entry.partition] = self.position[each.entry.partition]
            offsets = self.position if following is None else told
            cursor = encode_position(Position(offsets=offsets, is_complete=following is None))
            freshness = self._reader.freshness(each.entry.match_id)
            frames.append(UpdateMessage(each, frozenset(), freshness, cursor, image=True).frame)
        return frames

    async def _reach(self, after: Offsets) -> None:
        """Wait until this replica has read as far as a client that comes from another one."""
        try:
            async with asyncio.timeout(AHEAD_S):
                while any(self.position.get(p, 0) < offset for p, offset in after.items()):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise PositionLost("the position is ahead of this server") from error

    def _from_reader(self, batch: Batch) -> None:
        """Hand a batch over to the event loop; runs in the reader's thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(self.deliver, batch)

    def deliver(self, batch: Batch) -> None:
        """Give a batch's updates to the streams.

        If that fails, all streams end: their clients come back with a position and read from the log what they missed.
        """
        try:
            self._deliver(batch)
        except Exception:
            logger.exception("Updates not delivered")
            self._current |= {each.shown.entry.match_id: each.shown for each in batch.updates}
            self._move(batch.positions)
            self._failed()

    def _deliver(self, batch: Batch) -> None:
        for update in batch.updates:
            entry, before = update.shown.entry, self.position
            self._current[entry.match_id] = update.shown
            self._backlog.keep(update.shown)
            self._move({**before, entry.partition: entry.offset + 1})
            if self._opened:
                self._spread(update, before)
                age = self._now() - update.shown.forecast.stamps.published
                self._counters.pushed(max(0.0, age.total_seconds()))
        for match_id in batch.forgotten:
            self._current.pop(match_id, None)
        self._move(batch.positions)
        if batch.lost is not None:
            self._restart_all(batch.lost)
        self._fan_out.run()

    def _move(self, position: Offsets) -> None:
        self.position = position
        self._openings.clear()
        self._beat = None
        self._moved.set()

    def _spread(self, update: Update, before: Offsets) -> None:
        match_id = update.shown.entry.match_id
        cursor = encode_position(Position(offsets=self.position, is_complete=True))
        message = UpdateMessage(
            update.shown, update.keys, self._reader.freshness(match_id), cursor, image=update.is_first
        )
        waiting = Waiting(message=message, match_id=match_id, keys=update.keys, decisive=update.decisive)
        self._fan_out.spread(match_id, waiting, before)

    def _restart_all(self, reason: str) -> None:
        for audience in self._fan_out.audiences():
            self._counters.count("stream_resync")
            audience.restart([_resync(reason), *self._images(audience.want)])

    def _fell_behind(self, stream: Stream, since: Offsets) -> None:
        self._counters.count("reader_behind")
        stream.after = Position(offsets=since, is_complete=True)
        self._catching_up.add(stream)

    def _failed(self) -> None:
        self._counters.count("fault")
        self._end_all("an update could not be delivered")

    def _end_all(self, reason: str) -> None:
        for stream in (*self._fan_out.streams(), *self._catching_up):
            self._end(stream, reason)

    def _end(self, stream: Stream, reason: str) -> None:
        """End a stream; its door lets it leave. What waits is not sent."""
        self._catching_up.discard(stream)
        self._fan_out.leave(stream)
        stream.end(reason)

    async def _beat_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + self._limits.heartbeat_s / BEATS, loop.time())
            await asyncio.sleep(due_s - loop.time())
            self._counters.streams_open(self._opened)  # again, since a gauge is forgotten once it was read
            self._openings.clear()
            self._beat = None
            self._fan_out.beat()

    def _beat_for(self, want: Want) -> Frame:
        """Return the heartbeat of an audience. It has a position only if everything before it was sent."""
        if self._beat is None:
            cursor = encode_position(Position(offsets=self.position, is_complete=True))
            self._beat = Beat(self._now().isoformat(), self._current, self._sign_of, cursor)
        return self._beat.frame(want.watched, with_cursor=not want.conflate_s)

    def _sign_of(self, match_id: str) -> bytes:
        reader = self._reader
        sign = {
            "freshness": reader.freshness(match_id),
            "clock": reader.clock(match_id),
            "phase": reader.phase(match_id),
        }
        return _encoder.encode(sign)


def _key(want: Want, after: Position) -> _Key:
    return want, after.is_complete, frozenset(after.offsets.items())


def _resync(reason: str) -> Frame:
    return Frame("resync", None, _encoder.encode({"reason": reason}))
