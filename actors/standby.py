"""Bridges the seconds in which a match that lost its process has no owner: a process that has all it needs already.

The match's own actor is started again by Ray, claims the next epoch, and so fences the standby, which is free then.
Nothing is handed over: each claims the match and goes on from the log, as any owner does.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from actors.domain.errors import ForecastingError
from actors.domain.fixtures import Fixture
from actors.domain.ports import FORECASTS
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSettings

logger = logging.getLogger("touchline.standby")

_LOOK_EVERY_S = 0.5


class Standby:
    """Owns one match at a time, for as long as its own actor is not there."""

    def __init__(self, ports: Callable[[], MatchPorts], settings: MatchSettings) -> None:
        self._ports, self._settings = ports, settings
        self._lock = threading.Lock()
        self._owner: MatchActor | None = None
        self._bridged: str | None = None
        self._ready = _connected(ports())
        threading.Thread(target=self._tend, name="standby", daemon=True).start()

    def bridge(self, fixture: Fixture) -> bool:
        """Own a match until somebody else claims it; False where this one is busy with another."""
        with self._lock:
            self._let_go_if_fenced()
            if self._owner is None:
                ports = self._ready
                self._owner, self._bridged = MatchActor(fixture, lambda: ports, self._settings), fixture.match_id
                logger.info("Match bridged", extra={"match_id": fixture.match_id})
            return self._bridged == fixture.match_id

    def release(self, match_ids: Sequence[str] | None = None) -> None:
        """End what is bridged of these matches, or of all; called when they are over."""
        with self._lock:
            if self._owner is not None and (match_ids is None or self._bridged in match_ids):
                self._let_go()

    def _tend(self) -> None:
        """Make ready for the next match as soon as the one that is bridged has its own actor again."""
        while True:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                self._let_go_if_fenced()

    def _let_go_if_fenced(self) -> None:
        if self._owner is not None and self._owner.progress().is_fenced:
            self._let_go()

    def _let_go(self) -> None:
        assert self._owner is not None
        self._owner.stop()
        self._owner = self._bridged = None
        self._ready = _connected(self._ports())


def _connected(ports: MatchPorts) -> MatchPorts:
    """Return ports that are open: their first use is what takes time."""
    try:
        ports.log.end_offsets(FORECASTS)
        ports.snapshots.load("standby")
    except ForecastingError as error:
        logger.warning("Standby not connected yet", extra={"problem": str(error)})
    return ports
