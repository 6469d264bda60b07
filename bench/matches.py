"""What do 1, 16, 48 and 100 live matches cost? Memory and CPU of everything, at real speed, on the cluster profile.

Memory is proportional (PSS: what processes share is divided among them), CPU is seconds of CPU per second over half a
minute in play. Recorded matches of data.root (TOUCHLINE_DATA, else ../shared/data), so this bench needs it.
"""

import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
import psutil

from actors.adapters.feed_data_root import list_matches
from bench.harness import report
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


def run() -> None:
    """Print one line per number of matches."""
    root = Path(os.environ.get("TOUCHLINE_DATA", REPO.parent / "shared" / "data"))
    names = [f"'{match.match_id}'" for match in list_matches(root, "wyscout")[: max(COUNTS)]]
    with servers_of_its_own() as services:
        for count in COUNTS:
            _measure(services, root, names[:count])


def _measure(services: Services, root: Path, names: list[str]) -> None:
    options = [
        f"data.root={root}",
        f"replay.matches=[{','.join(names)}]",
        "replay.speed=1",
        "supervisor.start_timeout_s=300",
        "feed.partitions=128",  # one for each match
    ]
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", [*options, *on(services.config, f"matches{len(names)}")])
        try:
            system.start()
            _wait_until_live(system, len(names))
            result = _usage_in_play(system, services)
        finally:
            system.stop()
    report("matches", {"matches": len(names), "speed": 1, "measure_s": MEASURE_S}, result)


def _wait_until_live(system: System, count: int) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        matches = httpx.get(f"{system.base}/v1/matches", params={"limit": 1000}, timeout=30.0).json()["matches"]
        if sum(match["phase"] == "live" for match in matches) >= count:
            time.sleep(SETTLE_S)
            return
        time.sleep(1.0)
    raise AssertionError(f"{count} matches were not live within {STARTS_WITHIN_S:g} s")


def _usage_in_play(system: System, services: Services) -> dict[str, object]:
    before = _usage(system, services)
    time.sleep(MEASURE_S)
    after = _usage(system, services)
    kinds = {
        kind: {
            "n": len(now),
            "mb": round(sum(mb for mb, _ in now.values())),
            "cpu": round(
                sum(cpu - before[kind].get(pid, (0.0, cpu))[1] for pid, (_, cpu) in now.items()) / MEASURE_S, 3
            ),
        }
        for kind, now in after.items()
    }
    total = {name: round(sum(float(each[name]) for each in kinds.values()), 3) for name in ("mb", "cpu")}
    actors = kinds["MatchActor"]
    per_match = {"mb": round(actors["mb"] / actors["n"], 1), "cpu": round(actors["cpu"] / actors["n"], 4)}
    return {"total": total, "per_match_actor": per_match, "kinds": kinds}


def _usage(system: System, services: Services) -> dict[str, dict[int, Usage]]:
    """Return memory and CPU by kind of process and pid."""
    used: dict[str, dict[int, Usage]] = defaultdict(dict)
    for process in system.processes(""):
        title = " ".join(_cmdline(process))
        kind = next((kind for kind in _KINDS if kind in title), "other")
        _note(used[kind], process)
    for server in services.servers:
        if (running := server.process()) is not None:
            _note(used[server.name], running)
    return used


def _note(used: dict[int, Usage], process: psutil.Process) -> None:
    try:
        times = process.cpu_times()
        used[process.pid] = (process.memory_full_info().pss / 2**20, times.user + times.system)
    except psutil.Error:
        return


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
