"""A circuit breaker: what fails again and again is left alone for a while, since each failure costs a timeout."""

import threading
from collections.abc import Callable


class Breaker:
    """Opens after some failures in a row; then lets one try through every now and then, until one succeeds.

    Threads may share it. Who asks `allows` and gets yes tells how it went; if that never comes, the next try is let
    through all the same.
    """

    def __init__(self, break_after: int, break_s: float, monotonic: Callable[[], float]) -> None:
        """Begin closed.

        Args:
            break_after: Failures in a row that open it, at least 1.
            break_s: Seconds from a failure to the next try.
            monotonic: A clock that never goes back, in seconds.
        """
        self._break_after, self._break_s, self._monotonic = break_after, break_s, monotonic
        self._lock = threading.Lock()
        self._failures, self._try_at_s = 0, float("-inf")

    @property
    def is_open(self) -> bool:
        """Say whether it is open. Who can do without an answer does not ask then, and leaves the try to others."""
        return self._failures >= self._break_after

    def allows(self) -> bool:
        """Say whether to try now; yes to one caller per `break_s` while it is open."""
        with self._lock:
            if not self.is_open:
                return True
            now_s = self._monotonic()
            if now_s < self._try_at_s:
                return False
            self._try_at_s = now_s + self._break_s
            return True

    def wait_s(self) -> float:
        """Return the seconds until something may be tried."""
        return max(0.0, self._try_at_s - self._monotonic()) if self.is_open else 0.0

    def succeeded(self) -> None:
        """Close it."""
        self._failures = 0

    def failed(self) -> None:
        """Count a failure."""
        with self._lock:
            self._failures += 1
            self._try_at_s = self._monotonic() + self._break_s
