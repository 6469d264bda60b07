"""A shared view in memory that is away, hangs, or forgets where it is told to."""

import threading
from collections.abc import Sequence

from actors.adapters.shared_view import Held, Kept, Outcome, Seen, SeenMatch, SeenTail
from actors.domain.errors import StoreUnavailable
from actors.domain.ports import ViewEntry

SIZE = 4


def an_entry(
    offset: int, match_id: str = "a:1", epoch: int = 1, seq: int | None = None, partition: int = 0
) -> ViewEntry:
    return ViewEntry(
        match_id=match_id,
        epoch=epoch,
        seq=offset if seq is None else seq,
        partition=partition,
        offset=offset,
        value=f"{match_id} {epoch} {offset}".encode(),
    )


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeShared:
    """Keeps the entries of each partition by offset, with the offset from which on none is missing."""

    def __init__(self) -> None:
        self.is_away, self.asked = False, 0
        self.hangs: threading.Event | None = None  # every call waits for it
        self.is_closed = False
        self.empty()

    def empty(self) -> None:
        self.held: dict[str, Held] = {}
        self.tails: dict[int, tuple[int, list[ViewEntry]]] = {}

    def close(self) -> None:
        self.is_closed = True

    def latest(self, match_id: str) -> ViewEntry | None:
        self._enter()
        return self.held[match_id].entry if match_id in self.held else None

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None:
        self._enter()
        floor, entries = self.tails.get(partition, (after_offset + 1, []))
        return None if after_offset < floor else [entry for entry in entries if entry.offset > after_offset]

    def put_all(self, linked: Sequence[tuple[ViewEntry, int]]) -> list[Outcome]:
        self._enter()
        return [self._put(entry, link) for entry, link in linked]

    def forget(self, match_id: str) -> None:
        self._enter()
        self.held.pop(match_id, None)

    def look(self, match_ids: Sequence[str], partitions: Sequence[int]) -> Seen:
        self._enter()
        held = {i: self.held[i] for i in match_ids if i in self.held}
        tails = {p: self.tails[p] for p in partitions if p in self.tails}
        return Seen(
            matches={i: SeenMatch(fence=each.fence, seq=each.entry.seq) for i, each in held.items()},
            tails={
                p: SeenTail(floor=floor, newest=entries[-1].offset if entries else floor, is_full=len(entries) >= SIZE)
                for p, (floor, entries) in tails.items()
            },
        )

    def restore(self, held: Sequence[Held]) -> None:
        self._enter()
        for each in held:
            self._take(each.entry, each.fence)

    def restore_tail(self, partition: int, kept: Kept) -> None:
        self._enter()
        floor, entries = self.tails.get(partition, (kept.newest, []))
        together = {entry.offset: entry for entry in (*kept.entries, *entries)}
        self._save(partition, min(floor, kept.floor), [together[offset] for offset in sorted(together)])

    def _enter(self) -> None:
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait(10)
        if self.is_away:
            raise StoreUnavailable("fake", "anything", "away")

    def _put(self, entry: ViewEntry, link: int) -> Outcome:
        outcome = self._take(entry, entry.epoch)
        if outcome is Outcome.TAKEN:
            floor, entries = self.tails.get(entry.partition, (entry.offset - 1, []))
            newest = entries[-1].offset if entries else floor
            hole = link > newest
            self._save(entry.partition, link if hole else floor, [*([] if hole else entries), entry])
        return outcome

    def _take(self, entry: ViewEntry, fence: int) -> Outcome:
        before = self.held.get(entry.match_id)
        if before is not None and entry.epoch < before.fence:
            return Outcome.REFUSED
        if before is not None and entry.seq <= before.entry.seq:
            self.held[entry.match_id] = Held(entry=before.entry, fence=max(fence, before.fence))
            return Outcome.KNOWN if entry.offset <= before.entry.offset else Outcome.REFUSED
        self.held[entry.match_id] = Held(entry=entry, fence=max(fence, before.fence if before else fence))
        return Outcome.TAKEN

    def _save(self, partition: int, floor: int, entries: list[ViewEntry]) -> None:
        if len(entries) > SIZE:
            floor = entries[-SIZE - 1].offset
        self.tails[partition] = floor, entries[-SIZE:]
