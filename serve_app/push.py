"""The hub: takes batches from the reader, hands shared frames to subscribers, resumes them from the log."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from actors.domain.errors import OffsetOutOfRange, Overloaded, StoreUnavailable
from actors.domain.ports import FORECASTS, EventLog, LiveView, ViewEntry
from serve_app.background import Background
from serve_app.body import Shown, changed_keys, read_forecast, show
from serve_app.conflate import Waiting, conflate, is_decisive
from serve_app.counters import Counters
from serve_app.cursor import NOWHERE, Position, decode_position, encode_position
from serve_app.deps import Limits
from serve_app.frames import Beat, Frame, UpdateMessage
from serve_app.freshness import Freshness
from serve_app.subscriber import Subscriber
from serve_app.view import Batch, ForecastReader, Update

logger = logging.getLogger(__name__)
PAGE = 100  # entries that a resuming client gets in one piece, about 400 KB
AHEAD_S = 5.0  # how long a position may be ahead of this replica before it is taken for lost
_encoder = msgspec.json.Encoder()


class PositionLost(Exception):
    """A position cannot be resumed: the log or this replica no longer holds what followed it."""


class Hub:
    """All streams of this replica. Everything but `_from_reader` runs on the event loop, so nothing needs a lock."""

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
        self._log, self._view, self._reader, self._limits, self._now = log, view, reader, limits, now
        self._counters = counters
        self._loop: asyncio.AbstractEventLoop | None = None
        self._subscribers: set[Subscriber] = set()
        self._opened = 0
        self._current: dict[str, Shown] = {}
        self._moved = asyncio.Event()
        self._heartbeats = Background("heartbeats", self._beat_for_ever)
        self.position: dict[int, int] = {}
        reader.listen(self._from_reader)

    async def start(self) -> None:
        """Bind to the running loop; call it before the reader starts."""
        self._loop = asyncio.get_running_loop()
        self._heartbeats.start()

    async def stop(self) -> None:
        """End all streams."""
        self._heartbeats.stop()
        self._loop = None
        for subscriber in tuple(self._subscribers):
            subscriber.close("the server goes down")

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

    async def stream(
        self, watched: frozenset[str] | None, after: Position, conflate_s: float
    ) -> AsyncGenerator[list[Frame], None]:
        """Yield frames for ever: images or what was missed since `after`, then deltas and heartbeats.

        A reader that cannot keep up falls behind and is served from the log, like one that went and came back: it
        misses nothing, and costs no memory. One that takes nothing at all is for the caller to drop.
        """
        self._open(1)
        self._counters.count("stream_resumed" if after.offsets else "stream_new")
        subscriber = Subscriber(watched, conflate_s, self._limits)
        try:
            while subscriber.closed is None:
                cursor: str | None = None
                async for frames in self._served(subscriber, after):
                    cursor = next((each.cursor for each in reversed(frames) if each.cursor), cursor)
                    yield frames
                after = decode_position(cursor) if cursor else after
                if subscriber.closed is None:
                    self._counters.count("reader_behind")
                subscriber = subscriber.successor()
            logger.info("Stream ended", extra={"reason": subscriber.closed})
        except StoreUnavailable as error:  # the client comes back with its position
            logger.warning("Stream ended", extra={"reason": str(error)})
        finally:
            self._open(-1)
            subscriber.close("the reader is gone")
            self._subscribers.discard(subscriber)

    def _open(self, more: int) -> None:
        self._opened += more
        self._counters.streams_open(self._opened)

    async def _served(self, subscriber: Subscriber, after: Position) -> AsyncIterator[list[Frame]]:
        """Yield frames until the reader is behind or the stream closed."""
        try:
            async for frames in self._beginning(subscriber, after):
                yield frames
            while frames := await subscriber.take():
                yield frames
        finally:
            self._subscribers.discard(subscriber)

    async def _beginning(self, subscriber: Subscriber, after: Position) -> AsyncIterator[list[Frame]]:
        """Yield what comes before live updates: what was missed, then images where the client has nothing yet.

        The subscriber is registered without a pause behind the last look at what there is, so nothing slips between.
        """
        try:
            async for frames in self._missed(subscriber, after):
                yield frames
        except (PositionLost, OffsetOutOfRange) as lost:
            after = NOWHERE
            self._counters.count("stream_resync")
            yield [_resync(str(lost))]
        frames = [] if after.is_complete else self._images(subscriber, frozenset(after.offsets))
        self._subscribers.add(subscriber)
        if frames:
            yield frames

    def _images(self, subscriber: Subscriber, done: frozenset[int] = frozenset()) -> list[Frame]:
        """Return an image per match outside the partitions that the client has already.

        An image's position is complete only if it is the last; before, it names the partitions that are done.
        """
        watched = (each for each in self._current.values() if subscriber.watches(each.entry.match_id))
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

    async def _missed(self, subscriber: Subscriber, after: Position) -> AsyncIterator[list[Frame]]:
        await self._reach(after.offsets)
        catch_up = _CatchUp(self._reader, subscriber, after, self._now)
        while target := catch_up.target(self.position):
            entries = await self._page(catch_up.positions, target)
            if frames := catch_up.frames(entries):
                yield frames
            await asyncio.sleep(0)  # nothing here need wait, and others have streams too

    async def _reach(self, after: dict[int, int]) -> None:
        """Wait until this replica has read as far as a client that comes from another one."""
        try:
            async with asyncio.timeout(AHEAD_S):
                while any(self.position.get(p, 0) < offset for p, offset in after.items()):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise PositionLost("the position is ahead of this server") from error

    async def _page(self, positions: dict[int, int], target: dict[int, int]) -> list[ViewEntry]:
        """Return the next accepted entries of one partition before its target; moves `positions` past them."""
        partition = min(target)
        start, end = positions.get(partition, 0), target[partition]
        if start < self._reader.horizon(partition):
            raise PositionLost("the position is older than what is kept")
        kept = self._view.tail(partition, start - 1)
        if kept is None:
            return await asyncio.to_thread(self._read_log, positions, partition, end)
        entries = [entry for entry in kept if entry.offset < end]
        positions[partition] = end if len(entries) <= PAGE else entries[PAGE - 1].offset + 1
        return entries[:PAGE]

    def _read_log(self, positions: dict[int, int], partition: int, end: int) -> list[ViewEntry]:
        """Read a page of the log itself; raises OffsetOutOfRange, StoreUnavailable."""
        records = self._log.read(FORECASTS, {partition: positions.get(partition, 0)}, PAGE, 0.0)
        inside = [record for record in records if record.offset < end]
        positions[partition] = inside[-1].offset + 1 if inside and len(records) == PAGE else end
        counting = [record for record in inside if self._reader.counts(partition, record.offset)]
        if inside and inside[0].offset < self._reader.horizon(partition):  # it moved while we read
            raise PositionLost("the position is older than what is kept")
        return [_entry(partition, record.offset, record.value or b"") for record in counting]

    def _from_reader(self, batch: Batch) -> None:
        """Hand a batch over to the event loop; runs in the reader's thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(self.deliver, batch)

    def deliver(self, batch: Batch) -> None:
        """Give a batch's updates to the subscribers.

        If that fails, all streams end: their clients come back with a position and read from the log what they missed.
        """
        try:
            self._deliver(batch)
        except Exception:
            logger.exception("Updates not delivered")
            self._counters.count("fault")
            self._current |= {each.shown.entry.match_id: each.shown for each in batch.updates}
            self.position = dict(batch.positions)
            self._moved.set()
            for subscriber in tuple(self._subscribers):
                subscriber.close("an update could not be delivered")

    def _deliver(self, batch: Batch) -> None:
        for update in batch.updates:
            entry = update.shown.entry
            self.position[entry.partition] = entry.offset + 1
            self._current[entry.match_id] = update.shown
            if self._subscribers:
                self._spread(update, self._cursor())
                age = self._now() - update.shown.forecast.stamps.published
                self._counters.pushed(max(0.0, age.total_seconds()))
        for match_id in batch.forgotten:
            self._current.pop(match_id, None)
        self.position = dict(batch.positions)
        self._moved.set()
        if batch.lost is not None:
            self._restart_all(batch.lost)

    def _spread(self, update: Update, cursor: str) -> None:
        match_id = update.shown.entry.match_id
        message = UpdateMessage(
            update.shown, update.keys, self._reader.freshness(match_id), cursor, image=update.is_first
        )
        waiting = Waiting(message=message, match_id=match_id, keys=update.keys, decisive=update.decisive)
        for subscriber in tuple(self._subscribers):
            if subscriber.watches(match_id):
                subscriber.offer(waiting)

    def _restart_all(self, reason: str) -> None:
        for subscriber in tuple(self._subscribers):
            self._counters.count("stream_resync")
            subscriber.restart([_resync(reason), *self._images(subscriber)])

    def _cursor(self) -> str:
        return encode_position(Position(offsets=self.position, is_complete=True))

    async def _beat_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + self._limits.heartbeat_s, loop.time())
            await asyncio.sleep(due_s - loop.time())
            self.beat()

    def beat(self) -> None:
        """Send a heartbeat to every subscriber."""
        self._counters.streams_open(self._opened)  # again, since a gauge is forgotten once it was read
        if not self._subscribers:
            return
        position = Position(offsets=dict(self.position), is_complete=True)
        matches = {match_id: self._sign_of(match_id) for match_id in self._current}
        beat = Beat(self._now().isoformat(), matches, lambda: encode_position(position))
        for subscriber in tuple(self._subscribers):
            subscriber.beat(beat)

    def _sign_of(self, match_id: str) -> bytes:
        reader = self._reader
        sign = {
            "freshness": reader.freshness(match_id),
            "clock": reader.clock(match_id),
            "phase": reader.phase(match_id),
        }
        return _encoder.encode(sign)


class _CatchUp:
    """Turns missed entries into frames for one subscriber, page by page."""

    def __init__(
        self, reader: ForecastReader, subscriber: Subscriber, after: Position, now: Callable[[], datetime]
    ) -> None:
        self._reader, self._subscriber, self._now = reader, subscriber, now
        self._after = after
        self._told = dict(after.offsets)  # the position behind the last frame
        self._sent: dict[str, Shown] = {}
        self.positions = dict(after.offsets)

    def target(self, ends: dict[int, int]) -> dict[int, int]:
        """Return how far to go on in each partition where something may be missed; empty at the end."""
        known = ends if self._after.is_complete else ends.keys() & self._after.offsets.keys()
        return {p: ends[p] for p in known if self.positions.get(p, 0) < ends[p]}

    def frames(self, entries: Sequence[ViewEntry]) -> list[Frame]:
        waiting = [self._waiting(entry) for entry in entries if self._subscriber.watches(entry.match_id)]
        if self._subscriber.conflate_s:
            waiting = conflate(waiting)
        messages = ((each.message, each.keys) for each in waiting)
        return [message.frame_with(keys) for message, keys in messages if isinstance(message, UpdateMessage)]

    def _waiting(self, entry: ViewEntry) -> Waiting:
        """Make the message of one missed entry. The first of a match names all its keys, whatever the client has."""
        forecast = read_forecast(entry.value)
        shown = show(entry, forecast, 0.0)
        before = self._sent.get(entry.match_id)
        keys = changed_keys(before.parts if before else None, shown.parts)
        decisive = is_decisive(before.forecast if before else None, forecast)
        self._sent[entry.match_id] = shown
        self._told[entry.partition] = entry.offset + 1
        message = UpdateMessage(
            shown,
            keys,
            self._freshness(shown),
            encode_position(Position(offsets=self._told, is_complete=self._after.is_complete)),
            image=before is None and self._is_new(entry),
        )
        return Waiting(message=message, match_id=entry.match_id, keys=keys, decisive=decisive)

    def _is_new(self, entry: ViewEntry) -> bool:
        first = self._reader.first_offset(entry.match_id)
        return first is not None and first >= self._after.offsets.get(entry.partition, 0)

    def _freshness(self, shown: Shown) -> Freshness:
        """A forecast that was superseded while the client was away is not fresh, however alive the feed is."""
        freshness = self._reader.freshness(shown.entry.match_id)
        newest = self._reader.shown(shown.entry.match_id)
        if newest is None or newest.entry.offset == shown.entry.offset:
            return freshness
        age_s = max(0.0, (self._now() - shown.forecast.stamps.published).total_seconds())
        state = "STALE" if freshness.state == "FRESH" else freshness.state
        return msgspec.structs.replace(freshness, state=state, age_s=round(age_s, 3))


def _resync(reason: str) -> Frame:
    return Frame("resync", None, _encoder.encode({"reason": reason}))


def _entry(partition: int, offset: int, value: bytes) -> ViewEntry:
    forecast = read_forecast(value)
    return ViewEntry(
        match_id=forecast.match_id,
        epoch=forecast.epoch,
        seq=forecast.seq,
        partition=partition,
        offset=offset,
        value=value,
    )
