"""Opens the stores on the test run's Cassandra: one keyspace for the run, emptied for each namespace.

A keyspace of its own for each namespace would take six seconds to make. So there is one namespace at a time: whoever
opens a new one, the test's process or one that it spawned, removes what the one before it had; a file says whose turn
it is.
"""

import atexit
import fcntl
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cassandra.query import SimpleStatement

from actors.adapters.cassandra_connect import check_schema, connect
from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_snapshots import CassandraSnapshots
from cluster.migrate import migrate, read_schema
from conf.stores import CassandraStoreConfig
from tests.servers import port_of

_PATIENCE_S = 60.0  # truncating waits for a flush


class _Keyspace:
    """This process's way to the keyspace of all tests."""

    def __init__(self) -> None:
        self.port: int | None = None
        self.session: Any = None
        self.kept: CassandraSnapshots | None = None  # so that the session that the stores share outlives each of them

    def reach(self) -> None:
        """Connect, and make the keyspace if this is its first use."""
        if self.port == port_of("cassandra"):
            return
        self.close()
        migrate(configured())
        _, self.session = connect(configured(), _PATIENCE_S, check_schema)
        self.session.set_keyspace(configured().keyspace)
        self.kept, self.port = CassandraSnapshots(configured()), port_of("cassandra")

    def empty(self) -> None:
        """Remove all rows; a table that has none is left alone, since truncating takes a tenth of a second."""
        self.reach()
        for table in _tables():
            if self.session.execute(f"SELECT * FROM {table} LIMIT 1").one() is not None:
                self.session.execute(SimpleStatement(f"TRUNCATE {table}"), timeout=_PATIENCE_S)

    def close(self) -> None:
        """Leave the cluster."""
        if self.kept is not None:
            self.kept.close()
            self.session.cluster.shutdown()
            self.kept = self.session = self.port = None


_keyspace = _Keyspace()


@atexit.register
def _leave() -> None:
    if _keyspace.port is not None and multiprocessing.parent_process() is None:
        _turn_file(_keyspace.port).unlink(missing_ok=True)
    _keyspace.close()


def _turn_file(port: int) -> Path:
    return Path(tempfile.gettempdir()) / f"touchline-test-cassandra-{port}"


def _tables() -> list[str]:
    statements = [statement for file in read_schema() for statement in file.statements if file.number]
    return [statement.split()[5] for statement in statements]  # CREATE TABLE IF NOT EXISTS name


@contextmanager
def _turns() -> Iterator[Path]:
    """The file that says which namespace has the keyspace; others wait for the length of the block."""
    path = _turn_file(port_of("cassandra"))
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


def _give_to(namespace: str) -> None:
    with _turns() as turn:
        if turn.read_text() != namespace:
            _keyspace.empty()
            turn.write_text(namespace)


def configured() -> CassandraStoreConfig:
    """Return where the stores are."""
    return CassandraStoreConfig(folder="data", port=port_of("cassandra"), keyspace="touchline_test")


def open_snapshots(namespace: str) -> CassandraSnapshots:
    """Open the snapshot store of a namespace."""
    _give_to(namespace)
    return CassandraSnapshots(configured())


def open_history(namespace: str) -> CassandraHistory:
    """Open the history of a namespace."""
    _give_to(namespace)
    return CassandraHistory(configured())
