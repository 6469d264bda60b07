"""The embedded twin of the live view: in the memory of one process, rebuilt from the log when that starts."""

import threading
from collections import deque

from actors.adapters.shared_view import Held, Kept
from actors.domain.ports import ViewEntry


class _Tail:
    """The newest entries of one partition. Of entries above `floor` none is missing."""

    def __init__(self, size: int, floor: int) -> None:
        self._entries: deque[ViewEntry] = deque()
        self._size, self._floor, self.newest = size, floor, floor
        self._sound_from, self._taken = -1, 0

    def add(self, entry: ViewEntry) -> None:
        if entry.offset <= self.newest:  # not in the log's order: nobody may have been shown it, so vouch for nothing
            self._entries.clear()
            self._floor = self._sound_from = self.newest
            return
        self._entries.append(entry)
        self.newest = entry.offset
        self._taken += 1
        if len(self._entries) > self._size:
            self._floor = self._entries.popleft().offset

    def behind(self, offset: int) -> list[ViewEntry] | None:
        if offset < self._floor:
            return None
        newer: list[ViewEntry] = []
        for entry in reversed(self._entries):  # those who resume are usually close to the end
            if entry.offset <= offset:
                break
            newer.append(entry)
        return newer[::-1]

    def kept(self) -> Kept:
        return Kept(
            floor=self._floor,
            newest=self.newest,
            sound_from=self._sound_from,
            taken=self._taken,
            entries=tuple(self._entries),
        )


class MemoryView:
    """A LiveView for one process; its threads may share it. Entries of a partition come in the log's order."""

    def __init__(self, tail_per_partition: int) -> None:
        self._size = tail_per_partition
        self._lock = threading.Lock()
        self._latest: dict[str, ViewEntry] = {}
        self._epochs: dict[str, int] = {}  # highest epoch met, also with an entry that was refused for its seq
        self._tails: dict[int, _Tail] = {}

    def put(self, entry: ViewEntry) -> bool:
        with self._lock:
            fence = self._epochs.get(entry.match_id, entry.epoch)
            self._epochs[entry.match_id] = max(fence, entry.epoch)
            newest = self._latest.get(entry.match_id)
            if entry.epoch < fence or (newest is not None and entry.seq <= newest.seq):
                return False
            self._latest[entry.match_id] = entry
            if entry.partition not in self._tails:
                self._tails[entry.partition] = _Tail(self._size, entry.offset - 1)
            self._tails[entry.partition].add(entry)
            return True

    def latest(self, match_id: str) -> ViewEntry | None:
        with self._lock:
            return self._latest.get(match_id)

    def matches(self) -> list[str]:
        with self._lock:
            return sorted(self._latest)

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None:
        with self._lock:
            kept = self._tails.get(partition)
            return None if kept is None else kept.behind(after_offset)

    def forget(self, match_id: str) -> None:
        """Drop a match. The tails keep its entries: they are pieces of the log, which others still resume from."""
        with self._lock:
            self._latest.pop(match_id, None)
            self._epochs.pop(match_id, None)

    def held(self) -> list[Held]:
        """Return what is known of every match."""
        with self._lock:
            return [Held(entry=entry, fence=self._epochs[match_id]) for match_id, entry in self._latest.items()]

    def ends(self) -> dict[int, int]:
        """Return {partition: offset of the newest entry that its tail got}."""
        with self._lock:
            return {partition: tail.newest for partition, tail in self._tails.items()}

    def kept(self, partition: int) -> Kept | None:
        """Return all that is kept of a partition, None if nothing ever came."""
        with self._lock:
            tail = self._tails.get(partition)
            return None if tail is None else tail.kept()

    def close(self) -> None:
        """Do nothing: there is nothing to let go."""
