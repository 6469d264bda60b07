"""The replicas' own listener: one port, shared by all replicas of a node, past Serve's proxy.

Serve's ingress costs more for a request than the forecast does, so each forecaster replica also listens itself. The
kernel spreads connections over those that share the port (SO_REUSEPORT). Serve keeps what it is good at: placement,
health, restarts, scaling. What it bounds elsewhere is bounded here: connections, requests that wait, and how many a
connection carries, since one never moves to a new replica by itself.

A replica that goes closes its listener first: it takes what has been accepted, then answers what comes on the
connections it has, each with `Connection: close`, and goes when they are gone. Where `net.ipv4.tcp_migrate_req` is 1
the kernel hands connections that nobody accepted yet to another replica. Where it is 0 those whose handshake ends
between our last accept and the close are reset: some 50 us. A replica that is killed loses what it had accepted.
"""

import asyncio
import contextlib
import logging
import socket
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from actors.domain.errors import Overloaded
from serve_app.app import Api
from serve_app.deps import ListenerSettings
from serve_app.hot_protocol import HotProtocol
from serve_app.hot_routes import HotRoutes
from serve_app.problem import as_problem, response

logger = logging.getLogger("touchline.listener")
_MIGRATES = Path("/proc/sys/net/ipv4/tcp_migrate_req")
_BACKLOG = 2_048  # connections the kernel holds while the loop is busy
_TICK_S = 1.0
_LOOK_EVERY_S = 0.02


class Listener:
    """Listens from `open` to `close`, on the running loop."""

    def __init__(self, app: Starlette, routes: HotRoutes, settings: ListenerSettings) -> None:
        api: Api = app.state.api
        self.routes, self.settings, self.limits = routes, settings, api.limits
        self._hub = api.hub
        self.state = ServerState()
        self.config = Config(
            app,
            lifespan="off",  # of whoever hosts the app
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=int(settings.idle_s),
            ws_max_size=api.limits.message_bytes,
        )
        self.config.load()
        self.is_closing = False
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to listen; raises OSError."""
        address = (self.settings.host, self.settings.port)
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        self._socket = socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=True)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HotProtocol(self), sock=self._socket, backlog=_BACKLOG)
        self._ticking = asyncio.create_task(self._tick())
        migrates = migrates_requests()
        logger.info("Replica listens", extra={"host": address[0], "port": address[1], "tcp_migrate_req": migrates})

    async def close(self) -> None:
        """Stop listening, answer what is under way, and cut what is left after `drain_s`."""
        self.is_closing = True
        await self._leave()
        began_s = time.monotonic()
        while self.state.connections and time.monotonic() - began_s < self.settings.drain_s:
            if time.monotonic() - began_s > self.settings.linger_s:
                self._end_idle(0.0)
            await asyncio.sleep(_LOOK_EVERY_S)
        for connection in list(self.state.connections):
            connection.transport.abort() if isinstance(connection, HotProtocol) else connection.shutdown()
        if self._ticking is not None:
            self._ticking.cancel()
        self.routes.tick()

    def app_for(self, *, is_refused: bool) -> ASGIApp:
        """Return what answers a request that is not hot: the app, or a refusal where it has too many."""
        if is_refused:
            return _Refuse(self.settings.connections)
        is_full = len(self.state.tasks) - self._hub.streams >= self.settings.tasks
        return _Refuse(self.settings.tasks) if is_full else self.config.loaded_app

    async def _leave(self) -> None:
        """Take the connections that wait to be accepted, then leave the port."""
        if self._server is None or self._socket is None:
            return
        loop, taken = asyncio.get_running_loop(), list[socket.socket]()
        with contextlib.suppress(BlockingIOError):
            while True:
                taken.append(self._socket.accept()[0])
        self._server.close()
        self._socket.close()
        self._server = self._socket = None
        for each in taken:
            each.setblocking(False)
            await loop.connect_accepted_socket(lambda: HotProtocol(self), each)

    async def _tick(self) -> None:
        while True:
            self.routes.tick()
            self._end_idle(self.settings.idle_s)
            await asyncio.sleep(_TICK_S)

    def _end_idle(self, idle_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        for connection in list(self.state.connections):
            if isinstance(connection, HotProtocol) and connection.is_idle and now_s - connection.used_at_s >= idle_s:
                connection.transport.close()


class _Refuse:
    """The app of a request too many."""

    def __init__(self, bound: int) -> None:
        self._bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = as_problem(Overloaded("the listener", self._bound))
        await response(problem, scope["path"])(scope, receive, send)


def migrates_requests() -> bool | None:
    """Say whether the kernel moves connections that wait at a closing listener to another; None: not known here."""
    try:
        return _MIGRATES.read_text().strip() == "1"
    except OSError:
        return None
