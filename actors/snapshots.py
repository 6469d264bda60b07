"""Snapshots that delay nobody: the newest one of a match is saved in a thread of its own, for as long as that takes.

A snapshot only spares its match's next owner some folding: what it lacks is folded again from the log. So a store that
is slow or away costs no forecast.
"""

import logging
import threading
from collections.abc import Callable

from actors.domain.errors import ForecastingError, StoreUnavailable
from actors.domain.ports import MatchSnapshot, SnapshotStore

logger = logging.getLogger("touchline.snapshots")

_RETRY_S = 1.0
_CLOSE_WITHIN_S = 3.0


class PatientSnapshots:
    """A SnapshotStore for one match's owner. Unlike others it has taken a save when it returns, not made it durable."""

    def __init__(self, open_store: Callable[[], SnapshotStore]) -> None:
        """Take what opens the store behind it: opened when first needed, and again after it failed to."""
        self._open_store = open_store
        self._store: SnapshotStore | None = None
        self._lock = threading.Condition()
        self._waiting: MatchSnapshot | None = None  # the newest; one that it replaces need not be saved any more
        self._is_saving = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def load(self, match_id: str) -> MatchSnapshot | None:
        """Return the newest snapshot that is durable, or waits to be; raises StoreUnavailable."""
        with self._lock:
            if self._waiting is not None and self._waiting.match_id == match_id:
                return self._waiting
        return self._opened().load(match_id)

    def save(self, snapshot: MatchSnapshot) -> None:
        """Take a snapshot, in place of an older one that still waits."""
        with self._lock:
            self._waiting = snapshot
            self._lock.notify_all()

    def flush(self, within_s: float) -> bool:
        """Wait until what was taken is durable; say whether it is."""
        with self._lock:
            return self._lock.wait_for(lambda: self._waiting is None and not self._is_saving, within_s)

    def close(self) -> None:
        """Save what waits, if the store answers soon, and end."""
        self.flush(_CLOSE_WITHIN_S)
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        self._thread.join(_CLOSE_WITHIN_S)

    def _run(self) -> None:
        while (snapshot := self._next()) is not None:
            try:
                self._opened().save(snapshot)
            except ForecastingError as error:
                logger.warning("Snapshot waits for its store", extra={"problem": str(error)})
                self._take_back(snapshot)
            finally:
                with self._lock:
                    self._is_saving = False
                    self._lock.notify_all()
        if self._store is not None:
            self._store.close()

    def _next(self) -> MatchSnapshot | None:
        with self._lock:
            self._lock.wait_for(lambda: self._closed or self._waiting is not None)
            if self._closed:
                return None
            snapshot, self._waiting, self._is_saving = self._waiting, None, True
            return snapshot

    def _take_back(self, snapshot: MatchSnapshot) -> None:
        """Try it again after a while, unless a newer one has come."""
        with self._lock:
            self._waiting = self._waiting or snapshot
            self._lock.wait_for(lambda: self._closed, _RETRY_S)

    def _opened(self) -> SnapshotStore:
        try:
            self._store = self._store or self._open_store()
        except StoreUnavailable:
            raise
        except ForecastingError as error:  # at a start it would be a mistake in the options; here it may pass
            raise StoreUnavailable("the snapshot store", "open", str(error)) from error
        return self._store
