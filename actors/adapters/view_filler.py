"""Keeps a shared view as full as the view in memory: tells it what came, and puts back what it lost."""

import logging
import os
import threading
from collections.abc import Callable, Iterable

from msgspec import Struct

from actors.adapters.breaker import Breaker
from actors.adapters.memory_view import MemoryView
from actors.adapters.shared_view import Held, Kept, Outcome, SeenMatch, SeenTail, SharedFiller
from actors.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)
PIECE = 100  # entries that are told in one go
MOST_TO_FORGET = 10_000  # matches while the shared view is away; more of them live there until their time is over


class FillerStats(Struct, frozen=True, kw_only=True):
    """For operators: how the shared view does, and what was told to it since the start."""

    is_available: bool  # the last try succeeded
    sent: int  # entries
    refused: int  # of them, by the view's own bounds; what another replica told before does not count
    dropped: int  # entries that left memory before they could be sent
    refills: int  # how often something was missing there and was put back


class _Sent(Struct, frozen=True):
    """How far a partition was told: up to an offset, and so many of the entries that its tail ever got."""

    offset: int
    taken: int


class Filler:
    """What there is to do, one step at a time; one thread steps. Nothing waits in a queue: memory has it all.

    While the shared view is away, what memory lets go of is dropped, and the shared view told so when it is back.
    """

    def __init__(
        self,
        memory: MemoryView,
        shared: SharedFiller,
        breaker: Breaker,
        *,
        refresh_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._memory, self._shared, self._breaker = memory, shared, breaker
        self._refresh_s, self._monotonic = refresh_s, monotonic
        self._lock = threading.Lock()
        self._to_forget: set[str] = set()
        self._sent: dict[int, _Sent] = {}
        self._look_at_s = monotonic()
        self._is_available, self._count = False, dict.fromkeys(("sent", "refused", "dropped", "refills"), 0)

    def stats(self) -> FillerStats:
        return FillerStats(is_available=self._is_available, **self._count)

    def forget(self, match_id: str) -> None:
        """Let the next step drop a match."""
        with self._lock:
            if len(self._to_forget) < MOST_TO_FORGET:
                self._to_forget.add(match_id)

    def wait_s(self) -> float:
        """Return the seconds until a step may have something to do by itself."""
        return max(self._breaker.wait_s(), self._look_at_s - self._monotonic(), 0.0)

    def step(self) -> None:
        """Do what is due, if the shared view may be asked. A failure ends the step; the next one goes on from there."""
        is_time_to_look = self._monotonic() >= self._look_at_s
        if not (is_time_to_look or self._to_forget or self._unsent()) or not self._breaker.allows():
            return
        try:
            self._forget_and_send()
            if is_time_to_look:
                self._look()
                self._look_at_s = self._monotonic() + self._refresh_s
        except StoreUnavailable as error:
            self._look_at_s = self._monotonic()  # as soon as it is back: who knows what it lost
            self._tell(False, str(error))
            self._breaker.failed()
        else:
            self._tell(True, "")
            self._breaker.succeeded()

    def _tell(self, is_available: bool, cause: str) -> None:
        if is_available and not self._is_available:
            logger.info("Shared view answers", extra={"refills": self._count["refills"]})
        if self._is_available and not is_available:
            logger.warning("Shared view does not answer", extra={"cause": cause})
        self._is_available = is_available

    def _unsent(self) -> list[int]:
        return [p for p, newest in self._memory.ends().items() if p not in self._sent or newest > self._sent[p].offset]

    def _forget_and_send(self) -> None:
        """Send between forgetting and forgetting again: unsent entries may come from before a match was forgotten."""
        with self._lock:
            gone = frozenset(self._to_forget)
        self._forget(gone)
        for partition in self._unsent():
            if (kept := self._memory.kept(partition)) is not None:
                self._send(partition, kept)
        self._forget(match_id for match_id in gone if self._memory.latest(match_id) is None)
        with self._lock:
            self._to_forget -= gone

    def _forget(self, match_ids: Iterable[str]) -> None:
        for match_id in match_ids:
            self._shared.forget(match_id)

    def _send(self, partition: int, kept: Kept) -> None:
        sent = self._sent.get(partition, _Sent(kept.floor, 0))
        link = max(sent.offset, kept.floor)
        entries = [entry for entry in kept.entries if entry.offset > link]
        self._count["dropped"] += max(0, kept.taken - len(entries) - sent.taken)
        self._sent[partition] = _Sent(link, kept.taken - len(entries))
        for start in range(0, len(entries), PIECE):
            piece = entries[start : start + PIECE]
            links = [link, *(entry.offset for entry in piece)]
            outcomes = self._shared.put_all(list(zip(piece, links, strict=False)))
            link = links[-1]
            self._sent[partition] = _Sent(link, self._sent[partition].taken + len(piece))
            self._count["sent"] += len(piece)
            self._count["refused"] += outcomes.count(Outcome.REFUSED)

    def _look(self) -> None:
        """Compare what is there with what was sent, and put back what is missing, in the log's order."""
        held = [each for each in self._memory.held() if self._was_sent(each)]
        tails = [(p, kept) for p in self._memory.ends() if (kept := self._memory.kept(p)) is not None]
        seen = self._shared.look([each.entry.match_id for each in held], [partition for partition, _ in tails])
        lost = [each for each in held if lacks_match(each, seen.matches.get(each.entry.match_id))]
        short = [(p, kept) for p, kept in tails if lacks_tail(kept, self._sent_to(p), seen.tails.get(p))]
        self._shared.restore(sorted(lost, key=lambda each: each.entry.offset))
        self._restore_tails(short)
        self._count["refills"] += bool(lost or short)

    def _restore_tails(self, short: list[tuple[int, Kept]]) -> None:
        """Share the work with other replicas: begin elsewhere than they do, leave out what they have put back."""
        first = os.getpid() % len(short) if short else 0
        for partition, kept in short[first:] + short[:first]:
            seen = self._shared.look((), (partition,))
            if lacks_tail(kept, self._sent_to(partition), seen.tails.get(partition)):
                self._shared.restore_tail(partition, kept)

    def _was_sent(self, held: Held) -> bool:
        return held.entry.offset <= self._sent_to(held.entry.partition)

    def _sent_to(self, partition: int) -> int:
        return self._sent[partition].offset if partition in self._sent else -1


def lacks_match(held: Held, seen: SeenMatch | None) -> bool:
    """Say whether the shared view has less of a match than we do, and would take it."""
    if seen is None or seen.fence < held.fence:
        return True
    return seen.seq < held.entry.seq and seen.fence <= held.entry.epoch


def lacks_tail(kept: Kept, sent_to: int, seen: SeenTail | None) -> bool:
    """Say whether the shared view vouches for less of a partition than we do, and could vouch for more."""
    if seen is None or seen.newest < min(kept.newest, sent_to):
        return True
    return kept.floor < seen.floor <= kept.newest and not seen.is_full
