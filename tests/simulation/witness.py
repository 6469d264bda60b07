"""Sees everything that takes effect, by rules of its own, and objects at once where a promise is broken.

The readers' rule is written here once more, in other words: a bug in the one that readers use must not hide itself.
"""

from collections.abc import Callable

from actors.domain.forecast import GENESIS, ChainHead, EpochOpen, Forecast, Published
from actors.domain.match import MatchState
from actors.domain.ports import DEAD_LETTERS, MatchSnapshot, NewRecord
from tests.simulation.expected import Expected
from tests.simulation.hub import Violation


class Witness:
    """What readers may count and snapshots may hold."""

    def __init__(self, expected: Expected, decode: Callable[[bytes], Published], is_conflating: bool) -> None:
        self._expected, self._decode, self._is_conflating = expected, decode, is_conflating
        self.epoch = -1  # of the newest owner
        self.counted: list[tuple[int, Forecast, bytes]] = []  # the forecasts that count, with their offsets in the log
        self.heads: list[tuple[int, ChainHead]] = []  # the chain heads that count, with theirs
        self.letters: dict[str, bytes | None] = {}
        self.zombies = 0  # records of an owner that was no longer one
        self.lost_races = 0  # markers that came too late
        self._at = 0  # the place of the forecast that is due next

    def appended(self, topic: str, offset: int, new: NewRecord) -> None:
        """See a record of feed.dlq or forecasts.v1 that was stored."""
        if topic == DEAD_LETTERS:
            self.letters[new.key] = new.value
            return
        value = new.value or b""
        record = self._decode(value)
        if isinstance(record, EpochOpen):
            self.lost_races += record.epoch <= self.epoch
            self.epoch = max(self.epoch, record.epoch)
        elif record.epoch < self.epoch:
            self.zombies += 1
        elif record.epoch > self.epoch:
            raise Violation(f"a record of epoch {record.epoch} has no marker before it")
        elif isinstance(record, Forecast):
            self._count(offset, record, value)
        elif isinstance(record, ChainHead):
            self._head(offset, record)

    def saving(self, kept: MatchSnapshot | None, snapshot: MatchSnapshot, state: MatchState) -> None:
        """See a snapshot that is about to replace `kept`, and the state that its bytes hold."""
        expected, offset = self._expected, snapshot.offset
        if kept is not None and (snapshot.epoch, offset) < (kept.epoch, kept.offset):
            raise Violation(f"{_named(snapshot)} replaced {_named(kept)}")
        if (due := self.due()) is not None and due <= offset:
            raise Violation(f"{_named(snapshot)} includes seq {due}, which no reader has")
        for place, key in expected.letter_places:
            if place <= offset and key not in self.letters:
                raise Violation(
                    f"{_named(snapshot)} includes the refused record at {place}, of which there is no dead letter"
                )
        if state.offset != offset or snapshot.state_hash != expected.hashes[offset]:
            raise Violation(f"{_named(snapshot)} is not the undisturbed fold up to there")

    def due(self) -> int | None:
        """Return the seq of the next forecast that must not be left out."""
        rows, at = self._expected.rows, self._at
        while self._is_conflating and at < len(rows) and rows[at].may_be_left_out:
            at += 1
        return rows[at].seq if at < len(rows) else None

    def _count(self, offset: int, forecast: Forecast, value: bytes) -> None:
        rows, seq = self._expected.rows, forecast.seq
        last_seq, last_hash = self._last()
        if seq <= last_seq:
            raise Violation(f"the owner of the match published seq {seq} again, behind {last_seq}")
        if (due := self.due()) is not None and due < seq:
            raise Violation(f"seq {seq} was published, {due} before it was not")
        while self._at < len(rows) and rows[self._at].seq < seq:
            self._at += 1
        if self._at == len(rows) or rows[self._at].seq != seq:
            raise Violation(f"seq {seq} was published, which no undisturbed owner would have done")
        if forecast.prev_hash != last_hash:
            raise Violation(f"seq {seq} is not chained to the forecast before it")
        if forecast.row_hash != rows[self._at].row_hash and not self._is_conflating:
            raise Violation(f"seq {seq} is not what an undisturbed owner would have published")
        self._at += 1
        self.counted.append((offset, forecast, value))

    def _head(self, offset: int, head: ChainHead) -> None:
        last = *self._last(), len(self.counted)
        if (head.seq, head.row_hash, head.count) != last:
            raise Violation(f"the chain's head was said to be at seq {head.seq}, number {head.count}; it is {last}")
        self.heads.append((offset, head))

    def _last(self) -> tuple[int, str]:
        if not self.counted:
            return -1, GENESIS
        _, forecast, _ = self.counted[-1]
        return forecast.seq, forecast.row_hash


def _named(snapshot: MatchSnapshot) -> str:
    return f"the snapshot at {snapshot.offset} of epoch {snapshot.epoch}"
