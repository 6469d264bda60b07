"""How many what-ifs a second do we and others serve, with the same network on the same two cores?

LitServe, BentoML, Ray Serve with default settings, and a Starlette handler under bare uvicorn: two workers of each,
with batching as each offers it; beside them our own listener, in a system with four matches in play. Three rounds,
alternating, under wrk with bodies that all differ. While others are measured a peer is stopped (SIGSTOP), Ray's are
idle; what those take stands in `cpu_s`. Before each round a sample of answers is compared with the network's in this
process, ours by replaying them. Only ours records what it answered (bench/what_ifs counts the records) and checks what
it is asked against a live match.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from msgspec import Struct

from actors.domain.errors import SetupError
from bench.doors import ONE_THREAD, Door, two_replicas
from bench.environment import environment
from bench.generators import WHAT_IF, need, wrk
from bench.harness import Line, alternating, cpu_split, of_rounds, report
from bench.loaded import live_system
from bench.peers.work import BATCH_ROWS, MATCH_ID, MODEL, Work
from bench.running import REPO, free_ports
from bench.what_ifs import Asked, a_round

SECONDS, WARM_UP_S, ROUNDS, CONNECTIONS = 10.0, 3.0, 3, 64
SAMPLE = 20
OURS = "ours"
_STARTS_WITHIN_S = 240.0


class Peer(Struct, frozen=True, kw_only=True):
    """One way to serve: a module of bench/peers that takes its port."""

    name: str
    has_own_environment: bool = False
    may_pause: bool = True  # while others are measured; a cluster would take its processes for dead
    field: str = ""  # of a body, that holds a list of what-ifs; none: a body is a what-if


PEERS = (
    Peer(name="serve", may_pause=False),
    Peer(name="uvicorn"),
    Peer(name="litserve", has_own_environment=True),
    Peer(name="bentoml", has_own_environment=True, field="what_ifs"),
)


def run(seconds: float = SECONDS, rounds: int = ROUNDS, connections: int = CONNECTIONS) -> None:
    """Print one line per peer."""
    need("wrk")
    work, folder = Work(), tempfile.mkdtemp()
    running: list[Running] = []
    try:
        for peer in PEERS:
            running.append(Running(peer, Path(folder)))
            running[-1].wait_until_ready()  # one after the other: beside others Ray would not start in time
            running[-1].signal(signal.SIGSTOP)
        ways = {each.peer.name: _round(each, work, seconds, connections) for each in running}
        with live_system(two_replicas()) as (system, matches):
            door = Door(name=OURS, base=system.fast, connections=connections)
            measured = alternating({OURS: a_round(door, matches, seconds, Asked()), **ways}, rounds)
    finally:
        for each in running:
            each.stop()
    for name, lines in measured.items():
        config = {"way": name, "connections": connections, "seconds": seconds, "model": MODEL, "batch_rows": BATCH_ROWS}
        report("what_if_peers", config, of_rounds(lines))


class Running:
    """A peer in a process of its own, from the making on."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer, [port] = peer, free_ports(1)
        self.base = f"http://127.0.0.1:{port}"
        self._output = folder / peer.name
        python = str(environment()) if peer.has_own_environment else sys.executable
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [python, "-m", f"bench.peers.with_{peer.name}", str(port)],
                cwd=REPO,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | ONE_THREAD | {"BENTOML_DO_NOT_TRACK": "true"},
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers; raises SetupError with the end of its output if it does not."""
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.post(a_body(0)).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise SetupError(f"{self.peer.name} did not start: {self._output.read_text()[-2000:]}")

    def post(self, body: bytes) -> httpx.Response:
        """Ask one what-if."""
        content = b'{"%s":[%s]}' % (self.peer.field.encode(), body) if self.peer.field else body
        headers = {"content-type": "application/json"}
        return httpx.post(f"{self.base}/v1/matches/{MATCH_ID}/forecast", content=content, headers=headers, timeout=30.0)

    def signal(self, number: signal.Signals) -> None:
        """Pause it (SIGSTOP) or let it go on (SIGCONT), and all below it, if it may be paused."""
        if self.peer.may_pause:
            for process in self._family():
                process.send_signal(number)

    def stop(self) -> None:
        """End it and all below it."""
        if self._process.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        family = self._family()
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for process in family:
            if process.is_running():
                process.kill()

    def _family(self) -> list[psutil.Process]:
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]


def _round(running: Running, work: Work, seconds: float, connections: int) -> Any:
    def measure() -> Line:
        running.signal(signal.SIGCONT)
        wrong = sum(not _is_right(running, work, a_body(number)) for number in range(SAMPLE))
        with _wrapped(running.peer.field):
            load = {"connections": connections, "script": WHAT_IF, "ids": [MATCH_ID]}
            wrk(running.base, seconds=WARM_UP_S, **load)  # type: ignore[arg-type]
            with cpu_split() as cpu_s:
                result = wrk(running.base, seconds=seconds, **load)  # type: ignore[arg-type]
        running.signal(signal.SIGSTOP)
        return result.line() | {"checked": SAMPLE, "wrong": wrong, "cpu_s": cpu_s}

    return measure


def _is_right(running: Running, work: Work, body: bytes) -> bool:
    """Compare one answer with the network's, bit for bit."""
    answer = running.post(body)
    if answer.status_code != httpx.codes.OK:
        return False
    said = answer.json()
    [expected] = work.answers([work.inputs(body)])
    return bool((said[0] if running.peer.field else said) == msgspec.json.decode(expected))


def a_body(number: int) -> bytes:
    """Return one of many what-ifs.

    >>> a_body(7)
    b'{"score":[1,0],"clock":{"period":2,"ms":1007000}}'
    """
    what_if = {"score": [number % 3, number % 7], "clock": {"period": 1 + number % 2, "ms": 1_000_000 + 1_000 * number}}
    return msgspec.json.encode(what_if)


@contextmanager
def _wrapped(field: str) -> Iterator[None]:
    """Let bench/what_if.lua wrap its bodies within the block."""
    os.environ["WHAT_IF_FIELD"] = field
    try:
        yield
    finally:
        del os.environ["WHAT_IF_FIELD"]
