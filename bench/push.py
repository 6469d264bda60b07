"""How many live screens does one machine hold, and how old is what they show? The push listener, in streams held.

Open loop: a feed writes 15 matches with an update a second, and a sixteenth that is silent until its goal, into a real
embedded log at the times at which they are due, and ages count from those times to the bytes being read. Servers are
processes as a push replica is one (bench/push_server.py), clients are C (bench/stream_client.c: gcc is needed), all on
the same cores. Behind the measurement 10,000 streams are cut and come back from their last id, over ten seconds; then
one in fifty readers stops reading, and the others are measured again. Behind all sizes, in turn, three rounds: 10,000
streams of ours and of the same fan-out by sse-starlette under uvicorn, 20,000 by SSE and by WebSocket.

`python -m bench push sizes=100000 rounds=0` measures another size alone, in three minutes.
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import psutil

from bench.environment import environment
from bench.harness import alternating, of_rounds, report, skip
from bench.push_feed import MATCHES, SILENT, Feed
from bench.push_server import LISTENING
from bench.running import REPO, free_ports
from serve_app.push_listener import SSE, WEBSOCKET

OURS = [sys.executable, "-m", "bench.push_server"]
SIZES = (10_000, 40_000)
WEBSOCKETS, PEER, ROUNDS = 20_000, 10_000, 3
PER_PROCESS = 17_000  # of 20,000 files that a process may open, and the kernel shares out unevenly
WITH_GOAL = 40_000  # streams that watch the silent match too
OPEN_PER_S = 1_500  # by each client process
WARM_UP_S, MEASURE_S = 5.0, 20.0
STORM, STORM_S = 10_000, 10.0
STOPPED = 50  # one in so many stops reading


def run(sizes: tuple[int, ...] = SIZES, websockets: int = WEBSOCKETS, peer: int = PEER, rounds: int = ROUNDS) -> None:
    """Print one line per size and phase, and one of all rounds for each way that is compared."""
    if shutil.which("gcc") is None:
        skip("push", "needs gcc for its clients: apt-get install gcc")
        return
    for size in sizes:
        measure(size)
    if rounds:
        for config, result in _side_by_side(websockets, peer, rounds):
            report("push", {"phase": "side by side", **config}, result)


def _side_by_side(websockets: int, peer: int, rounds: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Measure ours beside sse-starlette, and SSE beside WebSocket, in turn; yield what each is and what came of it."""
    held: dict[str, Callable[[], AbstractContextManager[Held]]] = {}
    if peer:
        theirs = [str(environment()), "-m", "bench.peers.with_sse_starlette"]
        held["ours"] = lambda: _held(peer, "ours", OURS)
        held["sse-starlette"] = lambda: _held(peer, "sse-starlette", theirs)
    if websockets:
        held["SSE"] = lambda: _held(websockets, "ours", OURS)
        held["WebSocket"] = lambda: _held(websockets, "ours", OURS, WEBSOCKET)
    for measured in alternating({name: partial(_one_round, each) for name, each in held.items()}, rounds).values():
        yield measured[0][0], of_rounds([result for _, result in measured])


def _one_round(holding: Callable[[], AbstractContextManager["Held"]]) -> tuple[dict[str, Any], dict[str, Any]]:
    with holding() as held:
        return held.config, _steady(held)


def measure(size: int) -> None:
    """Print one line per phase of so many streams."""
    with _held(size, "ours", OURS) as held:
        held.report("steady", _steady(held))
        held.report("storm", _storm(held))
        stopped = _sums(held.clients.order(lambda n: f"stop {n // STOPPED}"))
        held.report("stopped readers", _steady(held) | {"stopped": stopped["alive"] // STOPPED})


class Held(NamedTuple):
    """So many streams, open and fed."""

    config: dict[str, Any]
    opening: dict[str, Any]
    feed: Feed
    servers: "Servers"
    clients: "Clients"

    def report(self, phase: str, result: dict[str, Any]) -> None:
        report("push", {"phase": phase, **self.config}, result)


@contextmanager
def _held(size: int, way: str, command: Sequence[str], door: str = SSE) -> Iterator[Held]:
    """Open streams with servers of one way, and start the feed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client, feed, (port,) = _compiled(folder), Feed(folder), free_ports(1)
        processes = max(2, math.ceil(size / PER_PROCESS))
        with (
            _running(Servers([[*command, str(folder), str(port)]] * processes)) as servers,
            _running(Clients(client, port, size, processes, door)) as clients,
        ):
            assert all(line.strip() == LISTENING for line in servers.lines())
            before = _memory(servers)
            opened = clients.order(lambda n: f"open {n} {OPEN_PER_S}")
            opening = {"opened": _sums(opened), "bytes_per_stream": round((_memory(servers) - before) / size)}
            feed.start()
            time.sleep(WARM_UP_S)
            config = {"way": way, "door": door, "streams": size, "servers": processes, "with_goal": clients.with_goal}
            yield Held(config, opening, feed, servers, clients)
        feed.stop()
        print(servers.counted, file=sys.stderr)


def _steady(held: Held) -> dict[str, Any]:
    """Measure for a while, with the goal in its middle."""
    _, opening, feed, servers, clients = held
    feed.late_ms = 0.0
    cpu_s = servers.cpu_s(), clients.cpu_s()
    clients.tell(f"measure {round(MEASURE_S * 1000)}")
    time.sleep(MEASURE_S / 2)
    feed.goal()
    answers = clients.answers()
    total = _sums(answers)
    written = total["messages"] + total["beats"]
    return (
        opening
        | total
        | {
            "ticks": _spread(answers, "ticks_us"),
            "goal": _spread(answers, "goals_us"),
            "per_s": round(total["messages"] / MEASURE_S),
            "server_cpu_us_per_message": round((servers.cpu_s() - cpu_s[0]) / max(1, total["messages"]) * 1e6, 1),
            "client_cpu_us_per_message": round((clients.cpu_s() - cpu_s[1]) / max(1, written) * 1e6, 1),
            "feed_late_ms": round(feed.late_ms, 1),
        }
    )


def _storm(held: Held) -> dict[str, Any]:
    """Cut streams, and let them come back with their last id; an error is whoever gets no event within 30 s."""
    size = held.config["streams"]
    share = min(STORM, size) / size
    answers = held.clients.order(lambda n: f"again {round(n * share)} {round(STORM_S * 1000)}")
    return _sums(answers) | {"cut": round(size * share), "ticks": _spread(answers, "ticks_us")}


def _sums(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("alive", "messages", "images", "beats", "errors", "gaps", "twice", "resyncs")
    longest = max(each["s"] for each in answers)
    return {"s": round(longest, 2)} | {name: sum(each[name] for each in answers) for name in names}


def _spread(answers: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    """Merge the clients' histograms; milliseconds."""
    rows = np.array([row for each in answers for row in each[name]])
    if not len(rows):
        return {"n": 0}
    rows = rows[rows[:, 0].argsort()]
    reached = rows[:, 1].cumsum()
    at = {f"p{p}_ms": rows[np.searchsorted(reached, reached[-1] * p / 100), 0] / 1000 for p in (50, 90, 99)}
    return {"n": int(reached[-1]), **at, "max_ms": rows[-1, 0] / 1000}


class _Processes:
    """Processes of one kind that take orders on their input."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self.counted: list[Any] = []
        self._all = [
            subprocess.Popen(each, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for each in commands
        ]

    def lines(self) -> list[str]:
        return [each.stdout.readline() for each in self._all if each.stdout is not None]

    def write(self, orders: Sequence[str]) -> None:
        for process, order in zip(self._all, orders, strict=True):
            assert process.stdin is not None
            process.stdin.write(f"{order}\n")
            process.stdin.flush()

    def cpu_s(self) -> float:
        times = [psutil.Process(each.pid).cpu_times() for each in self._all]
        return float(sum(each.user + each.system for each in times))

    def memory(self) -> int:
        return sum(int(psutil.Process(each.pid).memory_full_info().uss) for each in self._all)

    def end(self) -> None:
        for process in self._all:
            try:
                said, _ = process.communicate(timeout=20)
                self.counted += [json.loads(line) for line in said.splitlines()]
            except subprocess.TimeoutExpired:
                process.kill()


P = TypeVar("P", bound=_Processes)


class Servers(_Processes):
    """The servers."""


class Clients(_Processes):
    """The clients, each with a share of the streams."""

    def __init__(self, program: Path, port: int, size: int, processes: int, door: str) -> None:
        self.with_goal = min(WITH_GOAL, size)
        both = [f"{door}?matches={match},{SILENT}" for match in MATCHES]
        one = [f"{door}?matches={match}" for match in MATCHES]
        parts = 5
        paths = [p for k in range(parts) for p in (both if k < round(parts * self.with_goal / size) else one)]
        self._shares = [size // processes + (k < size % processes) for k in range(processes)]
        super().__init__([[str(program), str(port), str(2 + k), *paths] for k in range(processes)])

    def tell(self, order: str) -> None:
        self.write([order] * len(self._shares))

    def order(self, order: Any) -> list[dict[str, Any]]:
        """Give each an order made for its share of the streams, and wait for what they answer."""
        self.write([order(share) for share in self._shares])
        return self.answers()

    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


def _memory(servers: Servers) -> int:
    time.sleep(1.0)
    return servers.memory()


def _compiled(folder: Path) -> Path:
    program = folder / "stream_client"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(REPO / "bench" / "stream_client.c")], check=True)
    return program


@contextmanager
def _running(processes: P) -> Iterator[P]:
    try:
        yield processes
    finally:
        processes.end()
