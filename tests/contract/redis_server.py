"""A Redis of the test's own, to be killed, stopped and emptied."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench.running import free_ports
from conf.stores import RedisViewConfig

_STARTS_WITHIN_S = 20.0


class RedisServer:
    """`redis-server` on a free port; keeps nothing on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        # The second for one that is made a cluster of its own: whatever that is, the first must leave room above it.
        self.port, self._bus_port, *_ = sorted(free_ports(20))
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, socket_timeout=10.0, retry=Retry(NoBackoff(), 0))

    def configured(self, **options: object) -> RedisViewConfig:
        """Return the configuration of a view on it."""
        return RedisViewConfig(port=self.port, **options)  # type: ignore[arg-type]

    def start(self) -> None:
        """Start it and wait until its port is open."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        quiet = ["--save", "", "--appendonly", "no", "--logfile", str(self._folder / "redis.log")]
        quiet += ["--cluster-port", str(self._bus_port)]
        self._process = subprocess.Popen([*command, *quiet, *self._options])
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "redis.log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, and all that it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it hang for the length of the block: connections are taken, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def all_keys(self) -> list[str]:
        """Return all keys, sorted."""
        return sorted(key.decode() for key in self.client.scan_iter(count=1000))

    def _answers(self) -> bool:
        try:
            self.client.ping()
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
        return True


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run one for the length of the block."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.client.close()
