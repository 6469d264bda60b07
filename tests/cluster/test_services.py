"""`python -m cluster.services`: starts what does not run, notices what is not ours or is gone, and says what failed."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.domain.errors import SetupError
from bench.running import REPO, free_ports, local_servers
from cluster.services.__main__ import main
from cluster.services.redis import Redis
from cluster.services.server import ServerFailed
from cluster.services.servers import Services
from conf.services import RedisServiceConfig, ServicesConfig

pytestmark = pytest.mark.real_store


@pytest.fixture
def config(tmp_path: Path) -> ServicesConfig:
    [port] = free_ports(1)
    return ServicesConfig(folder=str(tmp_path / "services"), redis=RedisServiceConfig(port=port))


@pytest.fixture
def server(config: ServicesConfig) -> Iterator[Redis]:
    server = Redis(config)
    yield server
    server.stop(10)


def test_all_three_answer_and_starting_them_again_starts_nothing(services: Services) -> None:
    before = [server.process() for server in services.servers]
    services.up()
    assert [server.process() for server in services.servers] == before
    assert all(state.is_ready for state in services.status()), services.status()
    assert [state.name for state in services.status()] == ["kafka", "cassandra", "redis"]


def test_a_server_starts_answers_and_ends(server: Redis) -> None:
    assert server.start(20).startswith("7.")
    process = server.process()
    assert process is not None
    assert server.stop(10)
    assert not process.is_running() and server.process() is None
    assert not server.stop(10), "ending it again changes nothing"


def test_a_server_that_was_killed_is_started_again(server: Redis) -> None:
    server.start(20)
    server.kill()
    assert server.process() is None
    assert server.start(20).startswith("7.")


def test_a_pid_file_of_a_process_that_is_gone_or_another_one_counts_for_nothing(server: Redis) -> None:
    server.start(20)
    pid_file = server.folder / "pid.json"
    server.kill()
    pid_file.write_text(json.dumps([os.getpid(), 0.0]))  # its number is used again
    assert server.process() is None
    pid_file.write_text("not even json")
    assert server.process() is None
    server.start(20)
    assert server.process() is not None


def test_a_server_that_cannot_start_says_so_with_the_end_of_its_log(config: ServicesConfig) -> None:
    with socket.create_server(("127.0.0.1", config.redis.port)), pytest.raises(ServerFailed) as failed:
        Redis(config).start(20)
    assert "redis ended" in str(failed.value) and "server.log" in str(failed.value)
    assert any("bind" in line for line in failed.value.tail)


def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path) -> None:
    config = local_servers(tmp_path)
    services = Services(config, lambda _: None)
    with (
        socket.create_server(("127.0.0.1", config.cassandra.port)),
        pytest.raises(SetupError, match=rf"services\.cassandra\.port={config.cassandra.port} cannot be used"),
    ):
        services.up()
    assert all(server.process() is None for server in services.servers)


def test_a_disk_that_is_full_is_told_with_the_log(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root alone")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        (small / "full").write_bytes(b"x" * 56 * 1024)
        services = Services(local_servers(small / "services"), lambda _: None)
        with pytest.raises((ServerFailed, SetupError)) as failed:
            services.up()
        assert "No space left" in str(failed.value) or "server.log" in str(failed.value)
    finally:
        services.down()
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_wipe_leaves_alone_what_it_did_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("mine")
    assert main(["wipe", f"services.folder='{tmp_path}'"]) == 2
    assert "was not made by this program" in capsys.readouterr().err
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start"], "expected up, down, status, logs NAME or wipe, was start"),
        (["logs", "mysql"], "there is no service 'mysql'; expected kafka, cassandra, redis"),
        (["up", "services.redis.prt=1"], "services.redis.prt: there is no such key; did you mean services.redis.port?"),
    ],
)
def test_a_mistake_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == f"{said}\n"


def test_status_of_what_does_not_run_is_told_by_the_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.services", "status", f"services.folder='{tmp_path}'"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout.count("does not run") == 3
