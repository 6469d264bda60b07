"""Streams that want the same: what they get is encoded and joined once, and written to each in one loop."""

from collections.abc import Iterable

from serve_app.conflate import Waiting, conflate
from serve_app.frames import Frame, UpdateMessage
from serve_app.stream import Stream, Want

MOST = 500  # streams: what is written in one go, about 5 ms; a wanted set with more has several audiences
Offsets = dict[int, int]  # never changed, only replaced
Behind = tuple[Stream, Offsets]  # who took no more, and what it has


class Audience:
    """Up to `MOST` live streams that want the same, and the updates that wait for them.

    With `conflate_s` what waits is conflated, and handed out at most that often but for decisive updates, which go at
    once.
    """

    __slots__ = ("_newcomers", "_pending", "_since", "_streams", "beat_due_s", "due_s", "is_timed", "want")

    def __init__(self, want: Want, beat_due_s: float) -> None:
        self.want, self.beat_due_s = want, beat_due_s
        self.due_s = 0.0  # when conflated updates may go
        self.is_timed = False
        self._streams: set[Stream] = set()
        self._newcomers: dict[Stream, Offsets] = {}  # joined behind some of what waits
        self._pending: list[Waiting[UpdateMessage]] = []
        self._since: Offsets = {}  # before the first that waits

    def __len__(self) -> int:
        return len(self._streams) + len(self._newcomers)

    def streams(self) -> list[Stream]:
        return [*self._streams, *self._newcomers]

    def join(self, stream: Stream, position: Offsets) -> None:
        """Take in a stream that has everything before `position`."""
        if self._pending:
            self._newcomers[stream] = position
        else:
            self._streams.add(stream)

    def leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        self._newcomers.pop(stream, None)

    def offer(self, waiting: Waiting[UpdateMessage], before: Offsets) -> None:
        """Let an update wait; `before` is the position that it moves on from."""
        if not self._pending:
            self._since = before
        self._pending.append(waiting)
        if self.want.conflate_s:
            self._pending = conflate(self._pending)

    def is_due(self, now_s: float) -> bool:
        """Say whether what waits may go now."""
        if not self._pending:
            return False
        return not self.want.conflate_s or now_s >= self.due_s or any(each.decisive for each in self._pending)

    def deliver(self, beat: Frame | None, now_s: float) -> list[Behind]:
        """Write what is due and a heartbeat; return who took no more and so misses an update. A beat is no loss."""
        beats = [] if beat is None else [beat]
        if not self.is_due(now_s):
            self._write(beats, self._streams)
            return []
        frames = [each.message.frame_with(each.keys) for each in self._pending]
        behind = [(stream, self._since) for stream in self._write(frames + beats, self._streams)]
        for stream, position in self._newcomers.items():
            news = [f for f, w in zip(frames, self._pending, strict=True) if _is_news(w.message, position)]
            if self._write(news + beats, (stream,)) and news:
                behind.append((stream, position))
        self._settle(now_s)
        return behind

    def restart(self, frames: list[Frame]) -> None:
        """Replace all that waits: the position was lost."""
        self._pending = []
        self._settle(0.0)
        self._write(frames, self._streams)

    def _settle(self, now_s: float) -> None:
        self._streams.update(self._newcomers)
        self._newcomers, self._pending = {}, []
        self.due_s = now_s + self.want.conflate_s

    def _write(self, frames: list[Frame], streams: Iterable[Stream]) -> list[Stream]:
        if not frames:
            return []
        payload, full = self.want.wire(frames), []
        for stream in streams:
            if stream.is_full:
                full.append(stream)
            else:
                stream.write(payload)
        return full


def _is_news(message: UpdateMessage, position: Offsets) -> bool:
    entry = message.shown.entry
    return entry.offset >= position.get(entry.partition, 0)
