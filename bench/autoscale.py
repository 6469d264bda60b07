"""Do replicas follow a load that triples and falls back, without a failed request or a cut stream?

What-ifs come at a constant rate (h2load), then at three times that rate, through the replicas' listener; the first rate
is 30 % of what wrk got from one replica. h2load does not go on where a server ends a connection, as ours does behind
2,000 requests and where a replica goes: it has so many that none is ended, and when the load falls back the client of
bench/swaps takes over, with reads and what-ifs. `grew_after_s` and `shrank_after_s` count from the change of the load
to the moment a replica more, or less, was there. An SSE stream is read all the time: `cut` is how often it broke.
Settings are the shipped ones (conf/schema.py, ServeConfig), the delays among them.
"""

import math
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

from bench.generators import h2load, need, wrk
from bench.harness import Line, report, spread_ms
from bench.loaded import Watch, live_system
from bench.running import System
from bench.swaps import Traffic

LOW_S, HIGH_S, FALLEN_S = 20.0, 60.0, 120.0
LOW_SHARE, TIMES, FALLEN_PER_S = 0.3, 3.0, 300.0
LEAST_CONNECTIONS, REQUESTS_OF_ONE = 64, 1_500  # of the 2,000 behind which a connection is ended
CALIBRATE_S, AT_REST_WITHIN_S = 5.0, 150.0
BODY = b'{"score":[1,0],"clock":{"period":2,"ms":1200000}}'
_LOOK_EVERY_S = 0.5

Seen = tuple[float, int]  # seconds since the load changed, replicas


def run(
    low_per_s: float | None = None, low_s: float = LOW_S, high_s: float = HIGH_S, fallen_s: float = FALLEN_S
) -> None:
    """Print one line."""
    need("wrk")
    need("h2load")
    with live_system([]) as (system, matches), Watch(system.base, system.pid) as watch:
        low = low_per_s or LOW_SHARE * _capacity(system, matches)
        urls = [f"{system.fast}/v1/matches/{match_id}/forecast" for match_id in matches]
        lines = {
            "low": _constant(system, urls, low, low_s),
            "high": _constant(system, urls, TIMES * low, high_s),
            "fallen": _fallen(system, fallen_s),
        }
    result = {
        "grew_after_s": changed_after_s(lines["high"]["replicas"], up=True),
        "shrank_after_s": changed_after_s(lines["fallen"]["replicas"], up=False),
        "failed": sum(sum(line["errors"].values()) for line in lines.values()),
        "cut": watch.lost,
        "phases": lines,
    }
    lengths = {"low_s": low_s, "high_s": high_s, "fallen_s": fallen_s}
    rates = {"low_per_s": round(low, 1), "times": TIMES, "fallen_per_s": FALLEN_PER_S}
    report("autoscale", rates | lengths, result)


def _constant(system: System, urls: list[str], rate: float, seconds: float) -> Line:
    connections = max(LEAST_CONNECTIONS, math.ceil(rate * seconds / REQUESTS_OF_ONE))
    with Replicas(system) as replicas:
        load = h2load(urls, rate=rate, seconds=seconds, warm_up_s=0.0, connections=connections, body=BODY)
    return load.line() | {"replicas": changes(replicas.seen)}


def _fallen(system: System, seconds: float) -> Line:
    with Replicas(system) as replicas, Traffic(system.fast, FALLEN_PER_S) as traffic:
        time.sleep(seconds)
    seen = traffic.seen
    return {
        "n": seen.asked,
        "offered_per_s": FALLEN_PER_S,
        "achieved_per_s": round(seen.asked / seen.lasted_s, 1),
        "errors": dict(seen.failed),
        "replicas": changes(replicas.seen),
        **spread_ms(seen.latencies),
    }


def _capacity(system: System, matches: list[str]) -> float:
    """Return what wrk gets of the replicas that there are at rest, and wait until there are no more than that again."""
    at_rest = _count(system)
    capacity = wrk(system.fast, seconds=CALIBRATE_S, ids=matches).achieved_per_s
    deadline = time.monotonic() + AT_REST_WITHIN_S
    time.sleep(CALIBRATE_S)  # a replica may still be on its way
    while _count(system) > at_rest and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    return capacity


def _count(system: System) -> int:
    return len(system.processes("ServeReplica:forecaster:"))


class Replicas:
    """Counts the forecaster's replicas while the block runs."""

    def __init__(self, system: System) -> None:
        self._system, self.seen = system, list[Seen]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(_LOOK_EVERY_S):
            self.seen.append((round(time.monotonic() - began, 1), _count(self._system)))


def changes(seen: Sequence[Seen]) -> list[Seen]:
    """Return the first count and every one that differs from that before it.

    >>> changes([(0.5, 1), (1.0, 1), (1.5, 2), (2.0, 2)])
    [(0.5, 1), (1.5, 2)]
    """
    return list(seen[:1]) + [after for before, after in pairwise(seen) if before[1] != after[1]]


def changed_after_s(changed: Sequence[Seen], *, up: bool) -> float | None:
    """Return when the count first rose, or fell; None if it did not.

    >>> changed_after_s([(0.5, 1), (6.5, 2)], up=True)
    6.5
    """
    for before, after in pairwise(changed):
        if (after[1] > before[1]) == up:
            return after[0]
    return None
