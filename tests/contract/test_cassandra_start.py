"""A Cassandra that cannot be used at a start: one sentence, in time, without a secret in it or in the log."""

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_snapshots import CassandraSnapshots
from actors.domain.errors import SetupError, StoreUnavailable
from bench.running import free_ports
from conf.stores import CassandraStoreConfig
from tests.contract import real_cassandra

SECRET = "correct horse battery"


@pytest.fixture
def log_text(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def nowhere(tmp_path: Path) -> CassandraStoreConfig:
    """A config with credentials of a server that is not there."""
    (tmp_path / "password").write_text(SECRET + "\n")
    [port] = free_ports(1)
    return CassandraStoreConfig(
        folder="data",
        port=port,
        connect_timeout_s=2.0,
        username="touchline",
        password_file=str(tmp_path / "password"),
    )


def refusal(config: CassandraStoreConfig, within_s: float) -> str:
    """Open a store that cannot be opened; return the sentence."""
    began = time.monotonic()
    with pytest.raises(SetupError) as refused:
        CassandraSnapshots(config)
    assert time.monotonic() - began < within_s
    sentence = str(refused.value)
    assert "\n" not in sentence and SECRET not in sentence
    assert f"Cassandra at {config.hosts[0]}:{config.port}" in sentence
    return sentence


def no_secret(log: pytest.LogCaptureFixture, port: int) -> None:
    """Check the log; a session of an earlier test may still warn of another server, which is gone."""
    assert SECRET not in log.text
    warnings = [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]
    named = {warning: re.findall(r"127\.0\.0\.1:(\d+)", warning) for warning in warnings}
    ours = [warning for warning, ports in named.items() if not ports or str(port) in ports]
    assert not ours, "the sentence says it"


def test_nobody_listens(nowhere: CassandraStoreConfig, log_text: pytest.LogCaptureFixture) -> None:
    sentence = refusal(nowhere, 4.0)
    assert "tried to connect for" in sentence and "Connection refused" in sentence and "store.hosts" in sentence
    no_secret(log_text, nowhere.port)


def test_who_does_not_need_it_at_once_is_told_that_it_does_not_answer(nowhere: CassandraStoreConfig) -> None:
    """A replica that starts while Cassandra is away serves what it can; only what asks history fails, and soon."""
    history = CassandraHistory(nowhere, at_once=False)
    for within_s in (4.0, 0.5):  # the second time nobody waits again
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=r"Connection refused|not connected"):
            history.matches()
        assert time.monotonic() - began < within_s
    history.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        history.matches()


def test_a_host_that_has_no_address(nowhere: CassandraStoreConfig, log_text: pytest.LogCaptureFixture) -> None:
    assert "could not be reached" in refusal(replace(nowhere, hosts=["cassandra.invalid"]), 4.0)
    no_secret(log_text, nowhere.port)


def test_somebody_listens_who_never_answers(nowhere: CassandraStoreConfig, log_text: pytest.LogCaptureFixture) -> None:
    with answering(b"") as port:
        assert "could not be reached" in refusal(replace(nowhere, port=port, connect_timeout_s=3.0), 5.0)
    no_secret(log_text, port)


def test_somebody_answers_who_is_no_cassandra(
    nowhere: CassandraStoreConfig, log_text: pytest.LogCaptureFixture
) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        refusal(replace(nowhere, port=port), 5.0)
    no_secret(log_text, port)


def test_a_cassandra_that_is_too_old_for_the_protocol(
    nowhere: CassandraStoreConfig, log_text: pytest.LogCaptureFixture
) -> None:
    said = b"Invalid or unsupported protocol version (5); supported versions are (3/v3, 4/v4, 5/v5-beta)"
    body = (0x0A).to_bytes(4) + len(said).to_bytes(2) + said  # ERROR, protocol error
    with answering(b"\x84\x00\x00\x00\x00" + len(body).to_bytes(4) + body) as port:
        assert "Cassandra 5.0 or newer is needed" in refusal(replace(nowhere, port=port), 4.0)
    no_secret(log_text, port)


def test_a_password_file_that_is_not_there(nowhere: CassandraStoreConfig) -> None:
    with pytest.raises(SetupError, match=r"store\.password_file=/no/such/file cannot be read"):
        CassandraSnapshots(replace(nowhere, password_file="/no/such/file"))


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Listen for the length of the block, and give everyone who says something the same answer, or none."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        opened: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                opened.append(connection)
                if connection.recv(1_000) and answer:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)
        for connection in opened:
            connection.close()


@pytest.mark.real_store
class TestARealServer:
    @pytest.fixture
    def config(self) -> CassandraStoreConfig:
        real_cassandra.open_snapshots("start").close()  # so that the keyspace is there
        return real_cassandra.configured()

    def test_a_keyspace_that_is_not_there(self, config: CassandraStoreConfig) -> None:
        assert "has no keyspace 'no_such'; migrate it first" in refusal(replace(config, keyspace="no_such"), 15.0)

    def test_a_keyspace_that_was_never_migrated(self, config: CassandraStoreConfig) -> None:
        sentence = refusal(replace(config, keyspace="system_auth"), 15.0)
        assert "schema of keyspace 'system_auth' is version 0" in sentence

    def test_a_datacenter_that_is_not_there(self, config: CassandraStoreConfig) -> None:
        assert "store.datacenter" in refusal(replace(config, datacenter="elsewhere", connect_timeout_s=5.0), 60.0)

    def test_stores_of_one_process_share_one_session_until_the_last_is_closed(
        self, config: CassandraStoreConfig
    ) -> None:
        config = replace(config, request_timeout_s=3.0)  # a session that no other test shares
        one, two = CassandraSnapshots(config), CassandraSnapshots(config)
        shared = one._connection._shared
        assert shared is not None and two._connection._shared is shared
        one.close()
        one.close()
        assert two.load("wyscout:1") is None
        two.close()
        assert shared.cluster.is_shutdown
