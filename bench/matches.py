"""What do 1, 16, 48 and 100 live matches cost? Memory and CPU of everything, at real speed, on the cluster profile.

Memory is proportional (PSS: what processes share is divided among them), CPU is seconds of CPU per second over half a
minute in play. Recorded matches of data.root (TOUCHLINE_DATA, else ../shared/data), so this bench needs it.
"""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil

from actors.adapters.feed_data_root import list_matches
from bench.harness import Line, report
from bench.running import REPO, System, on, servers_of_its_own
from cluster.services.servers import Services

COUNTS = (1, 16, 48, 100)
MEASURE_S = 30.0
SETTLE_S = 15.0
STARTS_WITHIN_S = 300.0
_KINDS = (
    "MatchActor",
    "Forecaster",
    "ServeReplica",
    "HistoryWriter",
    "FeedPlayer",
    "FixtureSupervisor",
    "raylet",
    "gcs",
)

Usage = tuple[float, float]  # MB, seconds of CPU


def run(counts: tuple[int, ...] = COUNTS, measure_s: float = MEASURE_S) -> None:
    """Print one line per number of matches."""
    names = recorded(max(counts))
    with servers_of_its_own() as services:
        for count in counts:
            config = {"matches": count, "speed": 1, "measure_s": measure_s}
            report("matches", config, _measured(services, names[:count], measure_s))


class NotLive(AssertionError):
    """Some matches were not in play in time: the machine is too small for so many."""

    def __init__(self, live: int, of: int) -> None:
        super().__init__(f"{live} of {of} matches were live after {STARTS_WITHIN_S:g} s")
        self.live = live


def _measured(services: Services, names: Sequence[str], measure_s: float) -> Line:
    try:
        with in_play(services, names) as system:
            return _result(used(system, services, lambda: time.sleep(measure_s)))
    except NotLive as error:
        return {"live_after_s": STARTS_WITHIN_S, "live": error.live}


def recorded(count: int) -> list[str]:
    """Return the names of recorded matches of data.root, the first `count`."""
    return [match.match_id for match in list_matches(_root(), "wyscout")[:count]]


def _root() -> Path:
    return Path(os.environ.get("TOUCHLINE_DATA", REPO.parent / "shared" / "data"))


@contextmanager
def in_play(services: Services, names: Sequence[str], more: Sequence[str] = ()) -> Iterator[System]:
    """Yield a system of its own in which these matches are played at real speed and have settled."""
    matches = ",".join(f"'{name}'" for name in names)
    options = [
        f"data.root={_root()}",
        f"replay.matches=[{matches}]",
        "replay.speed=1",
        "supervisor.start_timeout_s=300",
        "feed.partitions=128",  # one for each match
        *more,
    ]
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", [*options, *on(services.config, f"matches{uuid4().hex[:8]}")])
        try:
            system.start()
            _wait_until_live(system, len(names))
            yield system
        finally:
            system.stop()


def _wait_until_live(system: System, count: int) -> None:
    deadline, live = time.monotonic() + STARTS_WITHIN_S, 0
    while time.monotonic() < deadline:
        matches = system.get("/v1/matches?limit=1000", timeout_s=30.0).json()["matches"]
        live = sum(match["phase"] == "live" for match in matches)
        if live >= count:
            time.sleep(SETTLE_S)
            return
        time.sleep(1.0)
    raise NotLive(live, count)


def used(system: System, services: Services, work: Callable[[], object]) -> dict[str, Line]:
    """Return memory and CPU (seconds per second) of each kind of process while `work` is done."""
    before, began = _usage(system, services), time.monotonic()
    work()
    after, seconds = _usage(system, services), time.monotonic() - began
    return {
        kind: {
            "n": len(now),
            "mb": round(sum(mb for mb, _ in now.values())),
            "cpu": round(sum(cpu - before[kind].get(pid, (0.0, cpu))[1] for pid, (_, cpu) in now.items()) / seconds, 3),
        }
        for kind, now in after.items()
    }


def total(kinds: Mapping[str, Line]) -> Line:
    """Return memory and CPU of all kinds together."""
    return {name: round(sum(float(each[name]) for each in kinds.values()), 3) for name in ("mb", "cpu")}


def per_match(kinds: Mapping[str, Line]) -> Line:
    """Return memory and CPU of one match's owner."""
    actors = kinds["MatchActor"]
    return {"mb": round(actors["mb"] / actors["n"], 1), "cpu": round(actors["cpu"] / actors["n"], 4)}


def _result(kinds: dict[str, Line]) -> Line:
    return {"total": total(kinds), "per_match_actor": per_match(kinds), "kinds": kinds}


def _usage(system: System, services: Services) -> dict[str, dict[int, Usage]]:
    """Return memory and CPU by kind of process and pid."""
    seen: dict[str, dict[int, Usage]] = defaultdict(dict)
    for process in system.processes(""):
        title = " ".join(_cmdline(process))
        kind = next((kind for kind in _KINDS if kind in title), "other")
        _note(seen[kind], process)
    for server in services.servers:
        if (running := server.process()) is not None:
            _note(seen[server.name], running)
    return seen


def _note(seen: dict[int, Usage], process: psutil.Process) -> None:
    try:
        times = process.cpu_times()
        seen[process.pid] = (process.memory_full_info().pss / 2**20, times.user + times.system)
    except psutil.Error:
        return


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
