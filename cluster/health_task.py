"""Looks at live matches once a minute, in a process of its own that gives way to everybody. A thin shell."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from actors.domain.drift import Reference
from actors.domain.errors import ForecastingError
from actors.domain.health import HealthReport
from actors.domain.ports import EventLog
from cluster.aside import Aside
from cluster.health import HealthSettings, LiveMatches, references_of, report
from cluster.live_models import LiveModels
from cluster.stores import AllHistory
from serve_app.deps import ServedModels

logger = logging.getLogger("touchline.health")

_NICE = 10
_PAUSE_S = 0.1  # before each page: at most a tenth of a core, even where thousands of matches are read at a start

Tell = Callable[[HealthReport, ServedModels], None]


class HealthTask:
    """Keeps the last report; a look that fails is made anew a round later."""

    def __init__(
        self,
        log: Callable[[], EventLog],
        history: Callable[[], AllHistory],
        tell: Callable[[], Tell],
        settings: HealthSettings | None = None,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """Begin in a thread.

        Args:
            tell: Opens what each report is told to, such as the metrics.
        """
        self._log, self._history = log, history
        self._tell, self._settings, self._pause_s = tell(), settings or HealthSettings(), pause_s
        self._report: HealthReport | None = None
        self._references: dict[str, Reference | None] = {}
        self._aside = Aside("health", _NICE, self._settings.every_s, self._look_on, _note)
        self._aside.start()

    def current(self) -> HealthReport | None:
        """Return the last report, None before the first."""
        return self._report

    def stop(self) -> None:
        """Look no more."""
        self._aside.stop()

    def _look_on(self) -> None:
        log, history = self._log(), self._history()
        try:
            matches = LiveMatches(log, history, self._settings, self._pause)
            models = LiveModels(log, history)
            while self._aside.goes_on:
                models.refresh(0.0)
                self._look(matches, history, models.current())
                self._aside.rest(self._settings.every_s)
        finally:
            log.close()
            history.close()

    def _pause(self) -> None:
        self._aside.rest(self._pause_s)

    def _look(self, matches: LiveMatches, history: AllHistory, models: ServedModels) -> None:
        now = datetime.now(UTC)
        grown, references = matches.refresh(now), references_of(history, self._references)
        if grown or references != self._references or self._report is None:
            self._references = references
            self._report = report(matches.matches(), references, now, self._settings.window_days)
        self._tell(self._report, models)


def _note(error: ForecastingError) -> None:
    logger.warning("Live matches not looked at", extra={"problem": str(error)})
