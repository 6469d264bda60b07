"""Work of an actor that goes on in a thread of its own and gives way to everybody."""

import logging
import os
import threading
from collections.abc import Callable

from actors.domain.errors import ForecastingError

logger = logging.getLogger("touchline.aside")
_STOP_WITHIN_S = 3.0


class Aside:
    """Does `work` from `start` to `stop`, and again `every_s` after it ended or failed."""

    def __init__(
        self,
        name: str,
        nice: int,
        every_s: float,
        work: Callable[[], None],
        failed: Callable[[ForecastingError], None],
    ) -> None:
        self._nice, self._every_s, self._work, self._failed = nice, every_s, work, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def goes_on(self) -> bool:
        """Whether the work is to go on."""
        return not self._stop.is_set()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the work to end, and wait a while for it."""
        self._stop.set()
        self._thread.join(_STOP_WITHIN_S)

    def rest(self, seconds: float) -> None:
        """Wait so long, or until it is to stop."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        os.nice(self._nice)  # of this thread alone
        while self.goes_on:
            try:
                self._work()
            except ForecastingError as error:
                self._failed(error)
            except Exception:  # whatever it was, the next round must come
                logger.exception("Work not done", extra={"work": self._thread.name})
            self.rest(self._every_s)
