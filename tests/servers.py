"""Real Kafka, Cassandra and Redis for the tests: one set for the whole run, on free ports, in a folder of its own.

Where Java or Maven cannot be had, what needs them is skipped, and the run says in its last line which parts were not
tested; on CI it fails then.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from conf.services import ServicesConfig

_PORTS = "TOUCHLINE_TEST_PORTS"  # told to the processes that a test spawns


def port_of(name: str) -> int:
    """Return the port of a running server, also in a process that a test spawned."""
    return int(json.loads(os.environ[_PORTS])[name])


@contextmanager
def announced(config: ServicesConfig) -> Iterator[ServicesConfig]:
    """Tell this process, and those that it spawns, where the servers are."""
    ports = {"kafka": config.kafka.port, "cassandra": config.cassandra.port, "redis": config.redis.port}
    os.environ[_PORTS] = json.dumps(ports)
    try:
        yield config
    finally:
        del os.environ[_PORTS]
