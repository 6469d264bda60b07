"""How many live screens does one machine hold, and how old is what they show? The push listener, in streams held.

Open loop: a feed writes 15 matches with an update a second, and a sixteenth that is silent until its goal, into a real
embedded log at the times at which they are due, and ages count from those times to the bytes being read. Servers are
processes as a push replica is one (bench/push_server.py), clients are C (bench/stream_client.c: gcc is needed), all on
the same cores. Behind the measurement 10,000 streams are cut and come back from their last id, over ten seconds; then
one in fifty readers stops reading, and the others are measured again.

`python -m bench.push 10000 100000` measures other sizes: one of 100,000 takes three minutes.
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.harness import report
from bench.push_feed import MATCHES, SILENT, Feed
from bench.push_server import LISTENING
from bench.running import REPO, free_ports

SIZES = (10_000, 40_000)
PER_PROCESS = 17_000  # of 20,000 files that a process may open, and the kernel shares out unevenly
WITH_GOAL = 40_000  # streams that watch the silent match too
OPEN_PER_S = 1_500  # by each client process
WARM_UP_S, MEASURE_S = 5.0, 20.0
STORM, STORM_S = 10_000, 10.0
STOPPED = 50  # one in so many stops reading


def run(sizes: Sequence[int] = SIZES) -> None:
    """Print one line per size and phase."""
    if shutil.which("gcc") is None:
        print("bench push needs gcc for its clients: skipped", file=sys.stderr)
        return
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _measure(size, Path(folder))


def _measure(size: int, folder: Path) -> None:
    feed = Feed(folder)
    client = _compiled(folder)
    (port,) = free_ports(1)
    processes = max(2, math.ceil(size / PER_PROCESS))
    with _servers(folder, port, processes) as servers, _clients(client, port, size, processes) as clients:
        before = _memory(servers)
        opened = clients.order(lambda n: f"open {n} {OPEN_PER_S}")
        memory = (_memory(servers) - before) / size
        feed.start()
        time.sleep(WARM_UP_S)
        config = {"streams": size, "servers": processes, "with_goal": clients.with_goal, "matches": len(MATCHES) + 1}
        opening = {"opened": _sums(opened), "bytes_per_stream": round(memory)}
        _report("steady", config, opening | _steady(feed, servers, clients))
        _report("storm", config, _storm(size, clients))
        stopping = clients.order(lambda n: f"stop {n // STOPPED}")
        _report("stopped readers", config, _sums(stopping) | _steady(feed, servers, clients))
        feed.stop()
    print(servers.counted, file=sys.stderr)


def _steady(feed: Feed, servers: "Servers", clients: "Clients") -> dict[str, Any]:
    """Measure for a while, with the goal in its middle."""
    cpu_s = servers.cpu_s(), clients.cpu_s()
    clients.tell(f"measure {round(MEASURE_S * 1000)}")
    time.sleep(MEASURE_S / 2)
    feed.goal()
    answers = clients.answers()
    total = _sums(answers)
    written = total["messages"] + total["beats"]
    return total | {
        "ticks": _spread(answers, "ticks_us"),
        "goal": _spread(answers, "goals_us"),
        "per_s": round(total["messages"] / MEASURE_S),
        "server_cpu_us_per_message": round((servers.cpu_s() - cpu_s[0]) / max(1, total["messages"]) * 1e6, 1),
        "client_cpu_us_per_message": round((clients.cpu_s() - cpu_s[1]) / max(1, written) * 1e6, 1),
        "feed_late_ms": round(feed.late_ms, 1),
    }


def _storm(size: int, clients: "Clients") -> dict[str, Any]:
    share = min(STORM, size) / size
    answers = clients.order(lambda n: f"again {round(n * share)} {round(STORM_S * 1000)}")
    total = _sums(answers)
    return total | {"cut": round(size * share), "ticks": _spread(answers, "ticks_us")}


def _report(phase: str, config: dict[str, Any], result: dict[str, Any]) -> None:
    report("push", {"phase": phase, **config}, result)


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


class Servers(_Processes):
    """The servers."""


class Clients(_Processes):
    """The clients, each with a share of the streams."""

    def __init__(self, program: Path, port: int, size: int, processes: int) -> None:
        self.with_goal = min(WITH_GOAL, size)
        both = [f"/v1/stream?matches={match},{SILENT}" for match in MATCHES]
        one = [f"/v1/stream?matches={match}" for match in MATCHES]
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
def _servers(folder: Path, port: int, count: int) -> Iterator[Servers]:
    servers = Servers([[sys.executable, "-m", "bench.push_server", str(folder), str(port)]] * count)
    try:
        assert all(line.strip() == LISTENING for line in servers.lines())
        yield servers
    finally:
        servers.end()


@contextmanager
def _clients(program: Path, port: int, size: int, processes: int) -> Iterator[Clients]:
    clients = Clients(program, port, size, processes)
    try:
        yield clients
    finally:
        clients.end()


if __name__ == "__main__":
    run([int(size) for size in sys.argv[1:]] or SIZES)
