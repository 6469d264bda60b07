"""The app inside a forecaster replica: it predicts in the same process, and listens on the port that replicas share."""

import asyncio
import gc
import logging
from contextlib import AsyncExitStack

from serve_app.app import Api, build_app
from serve_app.batcher import Batcher
from serve_app.deps import AppDeps, ListenerSettings
from serve_app.hot_routes import HotRoutes
from serve_app.listener import Listener

logger = logging.getLogger("touchline.listener")
_LOOK_EVERY_S = 0.05
_GC_THRESHOLDS = (50_000, 20, 100)  # the defaults collect every 700 objects: a dozen requests


class Hosted:
    """Runs from `start` to `close`. It listens as soon as it can answer."""

    def __init__(self, deps: AppDeps, batcher: Batcher, settings: ListenerSettings, most_rows: int) -> None:
        self._app = build_app(deps)
        self._api: Api = self._app.state.api
        routes = HotRoutes(self._api, batcher, most_waiting=settings.waiting, most_rows=most_rows)
        self._listener = Listener(self._app, routes, settings)
        self._running = AsyncExitStack()
        self._opening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the log, and listen once that is read; raises nothing for a log that does not answer yet."""
        await self._running.enter_async_context(self._app.router.lifespan_context(self._app))
        self._opening = asyncio.create_task(self._open())

    @property
    def listens(self) -> bool:
        return self._opening is not None and self._opening.done() and not self._listener.is_closing

    def problem(self) -> str | None:
        """Say why this replica cannot go on, None while it can."""
        opening = self._opening
        if opening is not None and opening.done() and not opening.cancelled() and (error := opening.exception()):
            return f"the replica does not listen: {error}"
        return self._api.problem()

    async def close(self) -> None:
        """Leave the port, answer what is under way, then stop."""
        if self._opening is not None:
            self._opening.cancel()
        await self._listener.close()
        await self._running.aclose()

    async def _open(self) -> None:
        while not self._api.is_filled:  # noqa: ASYNC110  a thread fills it
            await asyncio.sleep(_LOOK_EVERY_S)
        gc.collect()
        gc.freeze()  # what stands now stays: modules, the model
        gc.set_threshold(*_GC_THRESHOLDS)
        await self._listener.open()
