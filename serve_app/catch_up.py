"""What a client missed: read from the view's tail, or from the log where that begins too late, and told again."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import msgspec

from actors.domain.ports import FORECASTS, EventLog, LiveView, ViewEntry
from serve_app.body import Shown, changed_keys, read_forecast, show
from serve_app.conflate import Waiting, conflate, is_decisive
from serve_app.cursor import Position, encode_position
from serve_app.frames import Frame, UpdateMessage
from serve_app.freshness import Freshness
from serve_app.stream import Want
from serve_app.view import ForecastReader

PAGE = 100  # entries that are read from the log at a time
BURST = 32  # frames that a client gets in one piece, about 150 KB; behind them others have their turn
RECENT = 512  # decoded forecasts that are held, 20 KB each: those who resume missed the same ones


class PositionLost(Exception):
    """A position cannot be resumed: the log or this replica no longer holds what followed it."""


class Backlog:
    """The accepted forecasts of the last while, for those who come back. On the loop, but for reads of the log."""

    def __init__(self, log: EventLog, view: LiveView, reader: ForecastReader, now: Callable[[], datetime]) -> None:
        self._log, self._view, self._reader, self._now = log, view, reader, now
        self._recent: OrderedDict[tuple[int, int], Shown] = OrderedDict()

    def keep(self, shown: Shown) -> None:
        """Remember a forecast as it was decoded; the oldest are forgotten."""
        self._recent[shown.entry.partition, shown.entry.offset] = shown
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    async def missed(
        self, want: Want, after: Position, ends: Callable[[], dict[int, int]]
    ) -> AsyncIterator[tuple[list[Frame], Position]]:
        """Yield frames with the position that they lead to, until that is where `ends` says then; it may be none.

        Raises:
            PositionLost, OffsetOutOfRange: What followed is gone. StoreUnavailable: The log does not answer.
        """
        catch_up = _CatchUp(self, want, after)
        frames: list[Frame] = []
        while target := catch_up.target(ends()):
            frames += catch_up.frames(await self._page(catch_up.positions, target))
            if len(frames) >= BURST:
                yield frames, catch_up.told
                frames = []
                await asyncio.sleep(0)  # nothing here need wait, and others have streams too
        if frames:
            yield frames, catch_up.told

    async def _page(self, positions: dict[int, int], target: dict[int, int]) -> list[ViewEntry]:
        """Return the next accepted entries of one partition before its target; moves `positions` past them."""
        partition = min(target)
        start, end = positions.get(partition, 0), target[partition]
        if start < self._reader.horizon(partition):
            raise PositionLost("the position is older than what is kept")
        if not self._reader.counts_from(partition, start):
            positions[partition] = end
            return []
        kept = self._view.tail(partition, start - 1)
        if kept is None:
            return await asyncio.to_thread(self._read_log, positions, partition, end)
        entries = [entry for entry in kept if entry.offset < end]
        positions[partition] = end if len(entries) <= BURST else entries[BURST - 1].offset + 1
        return entries[:BURST]

    def _read_log(self, positions: dict[int, int], partition: int, end: int) -> list[ViewEntry]:
        """Read a page of the log itself; raises OffsetOutOfRange, StoreUnavailable."""
        records = self._log.read(FORECASTS, {partition: positions.get(partition, 0)}, PAGE, 0.0)
        inside = [record for record in records if record.offset < end]
        positions[partition] = inside[-1].offset + 1 if inside and len(records) == PAGE else end
        counting = [record for record in inside if self._reader.counts(partition, record.offset)]
        if inside and inside[0].offset < self._reader.horizon(partition):  # it moved while we read
            raise PositionLost("the position is older than what is kept")
        return [_entry(partition, record.offset, record.value or b"") for record in counting]

    def shown(self, entry: ViewEntry) -> Shown:
        """Return an entry decoded."""
        shown = self._recent.get((entry.partition, entry.offset))
        if shown is None:
            shown = show(entry, read_forecast(entry.value), 0.0)
            self.keep(shown)
        return shown

    def is_new(self, entry: ViewEntry, after: Position) -> bool:
        """Say whether all that there is of a match came after a position."""
        first = self._reader.first_offset(entry.match_id)
        return first is not None and first >= after.offsets.get(entry.partition, 0)

    def freshness(self, shown: Shown) -> Freshness:
        """A forecast that was superseded while the client was away is not fresh, however alive the feed is."""
        freshness = self._reader.freshness(shown.entry.match_id)
        newest = self._reader.shown(shown.entry.match_id)
        if newest is None or newest.entry.offset == shown.entry.offset:
            return freshness
        age_s = max(0.0, (self._now() - shown.forecast.stamps.published).total_seconds())
        state = "STALE" if freshness.state == "FRESH" else freshness.state
        return msgspec.structs.replace(freshness, state=state, age_s=round(age_s, 3))


class _CatchUp:
    """Turns missed entries into frames for one stream, page by page."""

    def __init__(self, backlog: Backlog, want: Want, after: Position) -> None:
        self._backlog, self._want, self._after = backlog, want, after
        self._told = dict(after.offsets)  # the position behind the last frame
        self._sent: dict[str, Shown] = {}
        self.positions = dict(after.offsets)

    @property
    def told(self) -> Position:
        return Position(offsets=dict(self._told), is_complete=self._after.is_complete)

    def target(self, ends: dict[int, int]) -> dict[int, int]:
        """Return how far to go on in each partition where something may be missed; empty at the end."""
        known = ends if self._after.is_complete else ends.keys() & self._after.offsets.keys()
        return {p: ends[p] for p in known if self.positions.get(p, 0) < ends[p]}

    def frames(self, entries: Sequence[ViewEntry]) -> list[Frame]:
        waiting = [self._waiting(entry) for entry in entries if self._want.watches(entry.match_id)]
        if self._want.conflate_s:
            waiting = conflate(waiting)
        return [each.message.frame_with(each.keys) for each in waiting]

    def _waiting(self, entry: ViewEntry) -> Waiting[UpdateMessage]:
        """Make the message of one missed entry. The first of a match names all its keys, whatever the client has."""
        shown = self._backlog.shown(entry)
        before = self._sent.get(entry.match_id)
        keys = changed_keys(before.parts if before else None, shown.parts)
        decisive = is_decisive(before.forecast if before else None, shown.forecast)
        self._sent[entry.match_id] = shown
        self._told[entry.partition] = entry.offset + 1
        message = UpdateMessage(
            shown,
            keys,
            self._backlog.freshness(shown),
            encode_position(self.told),
            image=before is None and self._backlog.is_new(entry, self._after),
        )
        return Waiting(message=message, match_id=entry.match_id, keys=keys, decisive=decisive)


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
