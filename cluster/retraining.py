"""Starts a retraining when it is due: `python -m training.retrain` as a process of its own, beside what serves.

Whether it is due is read from the record of decisions, so a restart forgets nothing. The process takes a lock, so one
that an operator started is not joined by another; it ends with this one, and the next goes on where it was.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Protocol

from conf.ray import OF_EVERY_RAY
from conf.schema import Config
from training.decisions import FOLDER, Decision, due_at, last_decision

logger = logging.getLogger("touchline.retraining")

_ROOT = Path(__file__).resolve().parent.parent
_LOG = "retrain.log"
_AGAIN_AFTER = timedelta(hours=1)  # where one ended without a decision
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}


class Running(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        ...


class Retraining:
    """To be tended every few seconds; does nothing where `retrain.every_h` is 0."""

    def __init__(
        self,
        config: Config,
        overrides: Sequence[str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        start: Callable[[Sequence[str], Path], Running] | None = None,
    ) -> None:
        """Args: what the system was started with, and the same as `key=value`."""
        self._folder = Path(config.store.folder).resolve() / FOLDER
        self._every, self._at = timedelta(hours=config.retrain.every_h), _time(config.retrain.at)
        self._command = [sys.executable, "-m", "training.retrain", "when=now", *overrides]
        self._now, self._start = now, start or start_process
        self._started_at = now()
        self._not_before = self._started_at
        self._running: Running | None = None

    def tend(self) -> None:
        """Start a retraining if one is due and none runs; say what came of one that ended."""
        if not self._every:
            return
        if self._running is not None:
            if (code := self._running.poll()) is None:
                return
            self._running = None
            self._ended(code)
        if self._now() >= max(self._not_before, due_at(self._last(), self._started_at, self._every, self._at)):
            self._begin()

    def _begin(self) -> None:
        try:
            self._running = self._start(self._command, self._folder)
            logger.info("Retraining started", extra={"folder": str(self._folder)})
        except OSError as error:
            self._not_before = self._now() + _AGAIN_AFTER
            logger.warning("Retraining not started", extra={"problem": str(error)})

    def _ended(self, code: int) -> None:
        last = self._last()
        if last is None or last.ended_at is None or last.ended_at < self._started_at:
            self._not_before = self._now() + _AGAIN_AFTER
            logger.warning("Retraining without a decision", extra={"exit_code": code, "log": str(self._folder / _LOG)})
            return
        facts = {"outcome": last.outcome, "candidate": last.candidate, "reasons": last.reasons}
        logger.info("Retraining decided", extra={**facts, "is_served": last.is_served, "swap": last.swap})

    def _last(self) -> Decision | None:
        return last_decision(self._folder)


def start_process(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a process on one thread, at the lowest priority, that writes what it says to a file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") or name in OF_EVERY_RAY}
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**ours, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)}
    with (folder / _LOG).open("ab") as log:
        return subprocess.Popen(["nice", "-n", "19", *command], env=environment, stdout=log, stderr=log)


def _time(clock: str | None) -> time | None:
    return None if clock is None else time.fromisoformat(clock)
