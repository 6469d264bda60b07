"""All servers together: started at once, ended in order."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from actors.domain.errors import SetupError
from cluster.processes import need_port
from cluster.services.cassandra.server import Cassandra
from cluster.services.jars import need_jars, need_java
from cluster.services.kafka.server import Kafka
from cluster.services.redis import Redis
from cluster.services.server import Server
from conf.services import ServicesConfig

_OURS = "touchline-services"  # the file by which `wipe` knows that a folder is ours to remove


class State(Struct, frozen=True, kw_only=True):
    """What one server is doing."""

    name: str
    is_ready: bool
    said: str


class Services:
    """Kafka, Cassandra and Redis in one folder."""

    def __init__(self, config: ServicesConfig, say: Callable[[str], None]) -> None:
        self.config, self._say = config, say
        self._folder = Path(config.folder).resolve()
        self.servers: tuple[Server, ...] = (Kafka(config), Cassandra(config), Redis(config))

    def named(self, name: str) -> Server:
        """Return a server by its name; raises SetupError for another one."""
        for server in self.servers:
            if server.name == name:
                return server
        raise SetupError(f"there is no service {name!r}; expected {', '.join(each.name for each in self.servers)}")

    def up(self) -> None:
        """Start what does not run and wait until each answers.

        Raises:
            SetupError: Java, Maven, Redis or a port cannot be had.
            ServerFailed: A server did not start; those that did go on.
        """
        need_java()
        need_jars(Path(self.config.jars).resolve(), self._say)
        self._need_ports()
        self._need_folder()
        with ThreadPoolExecutor(len(self.servers)) as pool:
            starts = [pool.submit(self._start, server) for server in self.servers]
        for start in starts:  # all have come to their end
            start.result()

    def down(self) -> None:
        """End them in order: the log first, so that nothing more comes in, then the stores, then the view."""
        for server in self.servers:
            began = time.monotonic()
            ran = server.stop(self.config.stop_timeout_s)
            self._say(f"{server.name:<10} {f'ended in {time.monotonic() - began:.1f} s' if ran else 'did not run'}")

    def status(self) -> list[State]:
        """Ask each server."""
        return [self._state(server) for server in self.servers]

    def wipe(self) -> None:
        """End them and remove their data.

        Raises:
            SetupError: The folder is not one of ours.
        """
        self.down()
        if not self._folder.exists():
            return
        if not (self._folder / _OURS).exists():
            raise SetupError(f"services.folder={self._folder} was not made by this program; it is left alone")
        shutil.rmtree(self._folder)
        self._say(f"Removed {self._folder}")

    def _start(self, server: Server) -> None:
        began = time.monotonic()
        version = server.start(self.config.start_timeout_s)
        took = f"ready after {time.monotonic() - began:.1f} s"
        self._say(f"{server.name:<10} {version:<8} {server.host}:{server.port}, {took}")

    def _state(self, server: Server) -> State:
        process = server.process()
        if process is None:
            return State(name=server.name, is_ready=False, said="does not run")
        where = f"pid {process.pid}, {server.host}:{server.port}"
        try:
            return State(name=server.name, is_ready=True, said=f"{server.answer()}, {where}")
        except Exception as error:  # noqa: BLE001  what it cannot answer is what was asked
            return State(name=server.name, is_ready=False, said=f"does not answer ({error!r}), {where}, {server.log}")

    def _need_ports(self) -> None:
        """Look that nobody else has the ports of those that are to be started."""
        stopped = {server.name for server in self.servers if server.process() is None}
        for key, port in self.config.ports().items():
            if key.split(".")[1] in stopped:
                need_port(self.config.host, port, key)

    def _need_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _OURS).touch()
        except OSError as error:
            raise SetupError(f"services.folder={self._folder} cannot be written: {error.strerror}") from error
