"""A Cassandra of a test's own, which it may kill: it asks for a password, and its data are in the test's folder."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from actors.adapters.cassandra_connect import connect
from bench.running import local_servers
from cluster.migrate import migrate
from cluster.services.cassandra.server import Cassandra
from conf.stores import CassandraStoreConfig

_START_S = 90.0
USERNAME, PASSWORD = "cassandra", "cassandra"  # what a new Cassandra knows


class OwnCassandra(Cassandra):
    """One node with password authentication."""

    def __init__(self, folder: Path) -> None:
        super().__init__(local_servers(folder))
        self.secret = folder / "password"
        self.secret.parent.mkdir(parents=True, exist_ok=True)
        self.secret.write_text(f"{PASSWORD}\n")

    @property
    def config(self) -> CassandraStoreConfig:
        """Where the stores find it."""
        return CassandraStoreConfig(
            folder="data",
            hosts=[self.host],
            port=self.port,
            keyspace="touchline_own",
            username=USERNAME,
            password_file=str(self.secret),
        )

    def command(self) -> Sequence[str]:
        java, *rest = super().command()
        yaml = self.folder / "cassandra.yaml"
        yaml.write_text(yaml.read_text().replace("AllowAllAuthenticator", "PasswordAuthenticator"))
        return [java, "-Dcassandra.superuser_setup_delay_ms=0", *rest]

    def answer(self) -> str:
        cluster, _ = connect(replace(self.config, connect_timeout_s=2.0), 2.0, lambda *_: None)
        cluster.shutdown()
        return "5"

    def signalled(self, number: signal.Signals) -> None:
        """Send its process a signal; wait for the end of one that is killed."""
        process = self.process()
        assert process is not None
        process.send_signal(number)
        if number == signal.SIGKILL and self._child is not None:
            self._child.wait(10.0)

    def again(self) -> None:
        """Start it, or start it again."""
        self.start(_START_S)


@contextmanager
def own_cassandra(folder: Path) -> Iterator[OwnCassandra]:
    """Run one for the length of the block, migrated."""
    server = OwnCassandra(folder)
    try:
        server.again()
        migrate(server.config)
        yield server
    finally:
        if server.process() is not None:
            server.signalled(signal.SIGKILL)  # ending in order takes it seven seconds
        server.stop(10.0)
