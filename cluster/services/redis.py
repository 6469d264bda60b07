"""Redis 7, as a cache: bounded memory, evicts what was used least, keeps nothing on disk."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from actors.domain.errors import SetupError
from cluster.services.server import Server
from conf.services import ServicesConfig


class Redis(Server):
    """One Redis."""

    name = "redis"

    def __init__(self, config: ServicesConfig) -> None:
        super().__init__(Path(config.folder).resolve(), config.host, config.redis.port)
        self._memory_mb = config.redis.memory_mb

    def command(self) -> Sequence[str]:
        program = shutil.which("redis-server")
        if program is None:
            raise SetupError("there is no redis-server on the PATH; install Debian's package redis-server")
        options = {
            "bind": self.host,
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self._memory_mb}mb",
            "maxmemory-policy": "allkeys-lfu",
        }
        return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answer(self) -> str:
        import redis

        with redis.Redis(host=self.host, port=self.port, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            return re.sub(r"[^0-9.]", "", str(client.info("server")["redis_version"]))
