"""The live view of a serving replica: in memory, with one behind it that all replicas share."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from actors.adapters.breaker import Breaker
from actors.adapters.memory_view import MemoryView
from actors.adapters.redis_view import RedisView
from actors.adapters.shared_view import Kept, SharedView
from actors.adapters.view_filler import Filler, FillerStats
from actors.domain.errors import StoreUnavailable
from actors.domain.ports import ViewEntry
from conf.stores import RedisViewConfig

logger = logging.getLogger(__name__)
GATHER_S = 0.02  # between two steps: what comes meanwhile goes in one round trip
MOST_FORGOTTEN = 10_000  # match ids that are not asked for behind memory
T = TypeVar("T")


class LayeredView:
    """A LiveView that answers from memory, and fills a shared one in a thread of its own.

    `put`, `matches` and `forget` never wait for the shared view. `latest` of a match that memory does not know, and
    `tail` where memory cannot vouch, ask it once; a failure counts as not knowing, and after some in a row reads no
    longer ask until the thread found that it answers again. So the shared view can be lost, stopped or emptied at any
    time: then less is known of what memory does not hold, and all that it holds is put back.
    """

    def __init__(
        self,
        memory: MemoryView,
        shared: SharedView,
        breaker: Breaker,
        *,
        refresh_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to fill the shared view.

        Args:
            breaker: For the shared view, used by nobody else.
            refresh_s: Seconds from one look whether all is still there to the next.
            monotonic: A clock that never goes back, in seconds.
        """
        self._memory, self._shared, self._breaker, self._refresh_s = memory, shared, breaker, refresh_s
        self._filler = Filler(memory, shared, breaker, refresh_s=refresh_s, monotonic=monotonic)
        self._lock = threading.Lock()
        self._forgotten: dict[str, None] = {}  # oldest first; other replicas may not have forgotten them yet
        self._something_came, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._fill, name="shared-view", daemon=True)
        self._thread.start()

    def put(self, entry: ViewEntry) -> bool:
        taken = self._memory.put(entry)
        if taken:
            with self._lock:
                self._forgotten.pop(entry.match_id, None)
            self._something_came.set()
        return taken

    def latest(self, match_id: str) -> ViewEntry | None:
        known = self._memory.latest(match_id)
        if known is not None or match_id in self._forgotten:
            return known
        return self._ask(lambda: self._shared.latest(match_id))

    def matches(self) -> list[str]:
        """Return the matches that memory knows: each replica reads the log for itself."""
        return self._memory.matches()

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None:
        vouched = self._memory.tail(partition, after_offset)
        if vouched is not None:
            return vouched
        behind = self._ask(lambda: self._shared.tail(partition, after_offset))
        return None if behind is None else joined(behind, self._memory.kept(partition), after_offset)

    def forget(self, match_id: str) -> None:
        with self._lock:
            self._forgotten[match_id] = None
            if len(self._forgotten) > MOST_FORGOTTEN:
                del self._forgotten[next(iter(self._forgotten))]
        self._memory.forget(match_id)
        self._filler.forget(match_id)
        self._something_came.set()

    def stats(self) -> FillerStats:
        """Return how the shared view does."""
        return self._filler.stats()

    def close(self) -> None:
        """End the thread and let go of the shared view; what was not sent is not sent."""
        self._closing.set()
        self._something_came.set()
        self._thread.join()  # what it waits for is bounded
        self._shared.close()

    def _ask(self, read: Callable[[], T | None]) -> T | None:
        if self._breaker.is_open:
            return None
        try:
            answer = read()
        except StoreUnavailable as error:
            logger.debug("Shared view not asked with success", extra={"cause": str(error)})
            self._breaker.failed()
            return None
        self._breaker.succeeded()
        return answer

    def _fill(self) -> None:
        while not self._closing.is_set():
            try:
                self._filler.step()
            except Exception:  # our own mistake; the replica serves on without a shared view
                logger.exception("Shared view not filled")
                self._closing.wait(self._refresh_s)
            self._closing.wait(max(GATHER_S, self._breaker.wait_s()))
            self._something_came.wait(self._filler.wait_s())
            self._something_came.clear()


def joined(behind: list[ViewEntry], kept: Kept | None, after_offset: int) -> list[ViewEntry] | None:
    """Return what the shared view has behind an offset up to where memory vouches, and memory's entries from there on.

    None if the shared view does not reach so far: it may lag, or may have lost its end and not know it.
    """
    if kept is None:
        return behind
    if after_offset >= kept.floor:  # it was filled since it was asked
        return [entry for entry in kept.entries if entry.offset > after_offset]
    if after_offset < kept.sound_from or not behind or behind[-1].offset < kept.floor:
        return None
    return [*(entry for entry in behind if entry.offset <= kept.floor), *kept.entries]


def open_layered_view(config: RedisViewConfig, tail_per_partition: int) -> LayeredView:
    """Open a replica's view in front of Redis, which need not be there yet.

    Args:
        tail_per_partition: Entries held in memory for resuming; Redis holds `config.tail_per_partition`.
    Raises:
        SetupError: The password file cannot be read.
    """
    breaker = Breaker(config.break_after, config.break_s, time.monotonic)
    return LayeredView(MemoryView(tail_per_partition), RedisView(config), breaker, refresh_s=config.refresh_s)
