"""Tells matches what ratings and form say, in a process of its own that gives way to everybody. A thin shell."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from actors.domain.errors import ModelRejected, SetupError
from actors.domain.ports import EventLog, SnapshotStore
from cluster.aside import Aside
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
        self._aside = Aside("priors", _NICE, every_s, self._look_on, lambda error: self._note(str(error)))
        self._aside.start()

    def stop(self) -> None:
        """Look no more."""
        self._aside.stop()

    def _look_on(self) -> None:
        if not self._root.is_dir():
            raise SetupError(f"data.root: no folder {self._root}")
        from cluster.priors import Priors  # torch and numba, which the process that starts this one does without

        log, history, snapshots = self._log(), self._history(), self._snapshots()
        try:
            priors = Priors(log, history, snapshots, self._root)
            while self._aside.goes_on:
                try:
                    priors.look(datetime.now(UTC))
                    self._note("")
                except (SetupError, ModelRejected) as error:  # what has been read stays
                    self._note(str(error))
                self._aside.rest(self._every_s)
        finally:
            for each in (log, history, snapshots):
                each.close()

    def _note(self, problem: str) -> None:
        """Log a problem when it is a new one: without data.root it stays for good."""
        if problem and problem != self._problem:
            logger.warning("Matches without prices have no prior", extra={"problem": problem})
        self._problem = problem
