"""Two nodes of Ray on this machine, each in a session of its own, as an operator would start them."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bench.running import free_ports, kill_at_once, titled
from cluster.launch import SETTINGS_OF_RAY
from tests.conftest import eventually


class Node:
    """One node."""

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
        """Return all its processes."""
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def processes(self, title: str) -> list[psutil.Process]:
        """Return its processes whose title contains `title`."""
        return titled(self.family(), title)

    def kill(self) -> None:
        """SIGKILL to every process of it, as if its machine were gone."""
        if self._process.poll() is None:
            kill_at_once(self.family())
            self._process.wait(timeout=10)


@dataclass(frozen=True)
class Nodes:
    """A head, and one that joined it."""

    address: str
    head: Node
    other: Node


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[Nodes]:
    """Run two nodes; whatever is started within the block may join them."""
    [port] = free_ports(1)
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as running:
        for name, value in {**SETTINGS_OF_RAY, "RAY_AUTH_TOKEN": secrets.token_hex(16)}.items():
            environment.setenv(name, value)
        head = _joined(running, folder, "--head", f"--port={port}", "--include-dashboard=false")
        other = _joined(running, folder, f"--address=127.0.0.1:{port}")
        yield Nodes(f"127.0.0.1:{port}", head, other)


def _joined(running: contextlib.ExitStack, folder: Path, *options: str) -> Node:
    """Start a node; Ray gives up after a minute of its own, which a busy machine can take, so once more then."""
    for is_last in (False, True):
        node = Node(folder, *options)
        running.callback(node.kill)
        try:
            eventually(node.is_up, timeout_s=240, every_s=0.2)
            break
        except AssertionError:
            if is_last:
                raise
            node.kill()
    return node
