"""Work that runs for as long as the app: if it ends before, somebody must hear of it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

logger = logging.getLogger(__name__)


class Background:
    """A task without an end of its own. One that ends all the same has a `problem`, and the host replaces the app."""

    def __init__(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._name, self._work = name, work
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Start on the running loop."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._work()
        except Exception as error:
            logger.exception("Background work ended", extra={"work": self._name})
            self.problem = f"{self._name} ended: {error!r}"
