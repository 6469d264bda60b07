"""The write timestamps by which Cassandra decides which of two writes stays, where a wall clock must not."""

import threading
import time
from collections.abc import Callable

from actors.domain.errors import StoreError

FIRST = 1 << 62  # above every timestamp of a row whose first write stays; what a DELETE of it must say
_OFFSET_BITS = 40
_EPOCHS = 1 << 22


def fence(epoch: int, offset: int) -> int:
    """Return the timestamp of a snapshot: (epoch, offset) in order, whatever any clock says.

    Raises:
        StoreError: They are out of its range.

    >>> fence(2, 0) > fence(1, 10**12)
    True
    """
    if not (0 <= epoch < _EPOCHS and 0 <= offset < 1 << _OFFSET_BITS):
        raise StoreError(f"a snapshot needs 0 <= epoch < 2^22 and 0 <= offset < 2^40, were {epoch} and {offset}")
    return (epoch << _OFFSET_BITS) | offset


class FirstStays:
    """Timestamps that fall with time, so that the first row of a key stays: see cluster/schema/001_history.cql.

    Strictly falling within a process, even if its clock is set back.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns, self._lock, self._last = clock_ns, threading.Lock(), FIRST

    def timestamp(self) -> int:
        """Return one for rows that are written now."""
        with self._lock:
            self._last = min(self._last - 1, FIRST - self._clock_ns() // 1_000)
            return self._last
