"""Tells matches what ratings and form say, in a process of its own that gives way to everybody. A thin shell."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from actors.domain.errors import ForecastingError, ModelRejected, SetupError
from actors.domain.ports import EventLog, SnapshotStore
from cluster.stores import AllHistory

logger = logging.getLogger("touchline.priors")

_NICE = 19
_EVERY_S = 10.0


class PriorTask:
    """Looks for matches without a prior every few seconds; a look that fails is made anew."""

    def __init__(
        self,
        log: Callable[[], EventLog],
        history: Callable[[], AllHistory],
        snapshots: Callable[[], SnapshotStore],
        root: Path,
        every_s: float = _EVERY_S,
    ) -> None:
        """Begin in a thread. `root` is data.root."""
        self._log, self._history, self._snapshots, self._root = log, history, snapshots, root
        self._every_s, self._problem = every_s, ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="priors", daemon=True)
        self._thread.start()

    def problem(self) -> str:
        """Say why nobody is told anything, as of the last look; empty where nothing is wrong."""
        return self._problem

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(timeout=3.0)

    def _run(self) -> None:
        os.nice(_NICE)  # of this thread alone
        while not self._stop.is_set():
            try:
                self._look_on()
            except ForecastingError as error:
                self._note(str(error))
            except Exception:  # whatever it was, the next matches are to be told
                logger.exception("Priors not looked at")
            self._stop.wait(self._every_s)

    def _look_on(self) -> None:
        if not self._root.is_dir():
            raise SetupError(f"data.root: no folder {self._root}")
        from cluster.priors import Priors  # torch and numba, which the process that starts this one does without

        log, history, snapshots = self._log(), self._history(), self._snapshots()
        try:
            priors = Priors(log, history, snapshots, self._root)
            while not self._stop.is_set():
                try:
                    priors.look(datetime.now(UTC))
                    self._note("")
                except (SetupError, ModelRejected) as error:  # what has been read stays
                    self._note(str(error))
                self._stop.wait(self._every_s)
        finally:
            for each in (log, history, snapshots):
                each.close()

    def _note(self, problem: str) -> None:
        """Log a problem when it is a new one: without data.root it stays for good."""
        if problem and problem != self._problem:
            logger.warning("Matches without prices have no prior", extra={"problem": problem})
        self._problem = problem
