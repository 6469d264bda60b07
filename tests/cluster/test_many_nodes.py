"""Ray on two nodes: matches are spread over both, one node is killed, and its matches go on on the other."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bench.running import System, free_ports, on
from cluster.launch import SETTINGS_OF_RAY
from cluster.services.servers import Services
from tests.cluster.logs import counted, fixtures_of
from tests.conftest import eventually

MATCHES = 4
OBJECT_STORE = 100 * 1024 * 1024


class Node:
    """One node of Ray, started as an operator would, in a session of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=16", *options]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=104857600", "--disable-usage-stats"]
        self._log = folder / f"node{len(options)}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def is_up(self) -> bool:
        """Say whether it has joined: a second node that asks for the first one earlier than that gives up."""
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        return "Ray runtime started" in self._log.read_text()

    def family(self) -> list[psutil.Process]:
        """Return all processes of the node."""
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def matches(self) -> list[int]:
        """Return the pids of the match actors on it."""
        return [process.pid for process in self.family() if "ray::MatchActor" in _title(process)]

    def kill(self) -> None:
        """SIGKILL to every process of it, as if its machine were gone."""
        if self._process.poll() is None:
            for process in self.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait(timeout=10)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the head node will listen; all processes of the test share a token."""
    for name, value in {**SETTINGS_OF_RAY, "RAY_AUTH_TOKEN": secrets.token_hex(16)}.items():
        monkeypatch.setenv(name, value)
    [port] = free_ports(1)
    return f"127.0.0.1:{port}"


@pytest.fixture
def head(address: str, tmp_path: Path) -> Iterator[Node]:
    port = address.rpartition(":")[2]
    node = _joined(tmp_path, "--head", f"--port={port}", "--include-dashboard=false")
    yield node
    node.kill()


@pytest.fixture
def other(head: Node, address: str, tmp_path: Path) -> Iterator[Node]:
    node = _joined(tmp_path, f"--address={address}")
    yield node
    node.kill()


@pytest.mark.real_store
def test_a_node_is_killed_and_its_matches_go_on_on_the_other(
    services: Services, head: Node, other: Node, address: str, tmp_path: Path
) -> None:
    options = [
        f"ray.address={address}",
        "serve.proxies=HeadOnly",
        "replay.loop=false",
        "replay.speed=30",
        "match.priors=false",
    ]
    system = System(tmp_path / "data", [*options, *on(services.config, "nodes")])
    log = system.stores.log()
    try:
        system.start()
        eventually(lambda: len(_live(system)) == MATCHES, timeout_s=300, every_s=0.5)
        eventually(lambda: len(head.matches()) + len(other.matches()) == MATCHES, timeout_s=90)
        assert head.matches() and other.matches(), "spread over both"
        before = _clocks(system)
        other.kill()
        eventually(lambda: _all_are_fresh_and_later_than(system, before), timeout_s=240, every_s=0.5)
        eventually(lambda: len(head.matches()) == MATCHES, timeout_s=90)
        for fixture in fixtures_of(log):
            seqs = [forecast.seq for forecast in counted(log, fixture)]
            assert seqs == sorted(set(seqs)) and len(seqs) > 20
    finally:
        system.stop()
        log.close()


def _joined(folder: Path, *options: str) -> Node:
    """Start a node; Ray gives up after a minute of its own, which a busy machine can take, so once more then."""
    node = Node(folder, *options)
    try:
        eventually(node.is_up, timeout_s=240, every_s=0.2)
    except AssertionError:
        node.kill()
        node = Node(folder, *options)
        eventually(node.is_up, timeout_s=240, every_s=0.2)
    return node


def _live(system: System) -> list[dict[str, Any]]:
    try:
        matches = system.get("/v1/matches").raise_for_status().json()["matches"]
    except httpx.HTTPError:
        return []
    return [match for match in matches if match["phase"] == "live"]


def _clocks(system: System) -> dict[str, tuple[int, int]]:
    return {match["match_id"]: (match["clock"]["period"], match["clock"]["ms"]) for match in _live(system)}


def _all_are_fresh_and_later_than(system: System, before: dict[str, tuple[int, int]]) -> bool:
    """Say whether every match is a minute of play further, and shown as fresh."""
    now = {match["match_id"]: match for match in _live(system)}
    return now.keys() == before.keys() and all(
        match["freshness"]["state"] == "FRESH"
        and (match["clock"]["period"], match["clock"]["ms"]) > (period, ms + 60_000)
        for match_id, match in now.items()
        for period, ms in [before[match_id]]
    )


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
