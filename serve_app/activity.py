"""Who asked for what: requests counted by minute, route and status, and written behind the answers."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.domain.errors import StoreUnavailable
from actors.domain.ports import ActivityRow, ActivityStore
from serve_app.background import Background
from serve_app.deps import Limits

logger = logging.getLogger(__name__)
TENANT, KEY = "public", "anonymous"  # until clients have keys
UNKNOWN_ROUTE = "unknown"  # a path of the client's own making is no label
_SWITCHED = 101  # a WebSocket was accepted
_REFUSED = 403  # what a client sees of one that was not

_Key = tuple[datetime, str, int]  # minute, route, status


class ActivityRecorder:
    """Counts this replica's requests, and writes each minute's counts until they have stopped to grow.

    A row that is written again replaces its count, so a write may be repeated. A killed replica loses the counts since
    its last write. While the store does not answer, rows wait; where too many wait, the oldest are dropped and told.
    """

    def __init__(self, store: ActivityStore, replica: str, limits: Limits, now: Callable[[], datetime]) -> None:
        self._store, self._replica, self._limits, self._now = store, replica, limits, now
        self._counts: dict[_Key, int] = {}  # oldest minute first
        self._written: dict[_Key, int] = {}
        self._writer = Background("activity record", self._write_for_ever)

    async def start(self) -> None:
        self._writer.start()

    def problem(self) -> str | None:
        """Say why nothing is recorded any more, None while it is."""
        return self._writer.problem

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, if the store answers in time."""
        self._writer.stop()
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            logger.warning("Activity not recorded", extra={"rows": len(self._counts)})

    def count(self, route: str, status: int, requests: int = 1) -> None:
        """Count a request, or several; on the event loop."""
        key = (self._now().replace(second=0, microsecond=0), route, status)
        self._counts[key] = self._counts.get(key, 0) + requests

    async def flush(self) -> None:
        """Write the counts that changed since they were written; what cannot be written is kept."""
        self._drop_oldest()
        changed = {key: count for key, count in self._counts.items() if self._written.get(key) != count}
        try:
            await asyncio.to_thread(self._store.write_activity, [self._row(*each) for each in changed.items()])
        except StoreUnavailable as error:
            logger.warning("Activity waits for the store", extra={"cause": str(error), "rows": len(changed)})
        else:
            self._written |= changed
            self._forget_finished()

    async def _write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._limits.activity_flush_s)
            await self.flush()

    def _row(self, key: _Key, count: int) -> ActivityRow:
        at, route, status = key
        return ActivityRow(
            tenant=TENANT, at=at, key_id=KEY, route=route, status=status, replica=self._replica, count=count
        )

    def _forget_finished(self) -> None:
        """Forget what is written of minutes that are over: nothing is counted into them any more."""
        minute = self._now().replace(second=0, microsecond=0)
        for key in [key for key in self._written if key[0] < minute and self._written[key] == self._counts[key]]:
            del self._counts[key], self._written[key]

    def _drop_oldest(self) -> None:
        dropped = list(self._counts)[: max(0, len(self._counts) - self._limits.activity_rows)]
        for key in dropped:
            del self._counts[key]
            self._written.pop(key, None)
        if dropped:
            logger.warning("Activity dropped: the store was away for too long", extra={"rows": len(dropped)})


class CountActivity:
    """ASGI middleware that counts each request when its answer begins, a stream when it opens."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None], names: Mapping[object, str]) -> None:
        self._app, self._count, self._names = app, count, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        opened = False

        async def counted(message: Message) -> None:
            nonlocal opened
            if not opened and (status := _status(message)) is not None:
                opened = True
                self._count(self._names.get(scope.get("endpoint"), UNKNOWN_ROUTE), status)
            await send(message)

        await self._app(scope, receive, counted)


def _status(message: Message) -> int | None:
    match message["type"]:
        case "http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return _SWITCHED
        case "websocket.close":
            return _REFUSED
    return None


def route_names(routes: Sequence[BaseRoute]) -> dict[object, str]:
    """Return the path template of each route by what the router puts into the scope as its endpoint."""
    named: dict[object, str] = {each.endpoint: each.path for each in routes if isinstance(each, Route | WebSocketRoute)}
    return named | {each.app: f"{each.path}/" for each in routes if isinstance(each, Mount)}
