"""How old is a forecast when a reader has it, from the moment its event was due? Both profiles, real speed and 10x.

Four matches. The cluster profile runs on a Kafka, a Cassandra and a Redis of its own, on the same cores.

Open loop: the feed sends each record at its intended time whatever the system does, and the age is counted from that
intended time (`as_of.occurred_at`), so a stall counts in full. One SSE reader on the same machine, the same clock.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.harness import report, spread_ms
from bench.running import System, on, servers_of_its_own

WARM_UP_S = 15.0
MEASURE_S = 90.0
SPEEDS = (1, 10)
NOT_TIMED = "prematch"  # what ratings say before kick-off is due at no moment; it comes when it is computed


def run(speeds: tuple[int, ...] = SPEEDS, measure_s: float = MEASURE_S) -> None:
    """Print one line per profile and speed."""
    with servers_of_its_own() as services:
        for speed in speeds:
            for profile in ("embedded", "cluster"):
                options = on(services.config, f"push{speed}") if profile == "cluster" else []
                _measure(profile, speed, options, measure_s)


def _measure(profile: str, speed: int, options: list[str], measure_s: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", [f"replay.speed={speed}", *options])
        try:
            system.start()
            ages = _ages(system.base, measure_s)
        finally:
            system.stop()
    triggers = {"events": [a for a, t in ages if t != "tick"], "ticks": [a for a, t in ages if t == "tick"]}
    result: dict[str, Any] = {"n": len(ages), **spread_ms([age for age, _ in ages])}
    result |= {name: {"n": len(a), **spread_ms(a)} for name, a in triggers.items() if a}
    config = {"profile": profile, "speed": speed, "matches": 4, "measure_s": measure_s}
    report("event_to_push", config, result)


def _ages(base: str, measure_s: float) -> list[tuple[float, str]]:
    """Return (age in seconds, trigger) of each forecast pushed in the time of the measurement."""
    ages, triggers = [], dict[str, str]()  # a delta leaves out what did not change
    began = time.monotonic()
    for event, body in messages(base, until=began + WARM_UP_S + measure_s):
        if event == "heartbeat":
            continue
        triggers[body["match_id"]] = body.get("trigger", triggers.get(body["match_id"], "unknown"))
        trigger = triggers[body["match_id"]]
        is_timed = event == "delta" and "as_of" in body and trigger != NOT_TIMED
        if is_timed and time.monotonic() - began > WARM_UP_S:
            ages.append((age_s(body), trigger))
    return ages


def age_s(body: dict[str, Any]) -> float:
    """Return how old a forecast is now, from when its event was due."""
    return (datetime.now(UTC) - datetime.fromisoformat(body["as_of"]["occurred_at"])).total_seconds()


def messages(base: str, until: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of an SSE stream of all matches with their bodies, up to a moment of the monotonic clock."""
    with httpx.stream("GET", f"{base}/v1/stream", timeout=30.0) as stream:
        event = ""
        for line in stream.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                yield event, json.loads(line.removeprefix("data:"))
            if time.monotonic() > until:
                return
