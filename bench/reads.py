"""How many latest forecasts a second are read through each door, whole, and by clients that have them (304)?

wrk keeps the connections of one door busy at a time, on the same cores, with the matches in turn; rounds alternate.
Before each round a sample is read through the door and through Serve's ingress: answers of one forecast whose logged
part differs are `wrong`. A 304 is asked for with `If-None-Match: *`, so that it stays one when a forecast is new.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import httpx

from bench.doors import Door, doors, match_ids
from bench.generators import WHAT_IF, need, wrk
from bench.harness import Line, alternating, cpu_split, of_rounds, report

SECONDS, WARM_UP_S, ROUNDS = 6.0, 2.0, 3
SAMPLE = 15
READ = WHAT_IF.with_name("read.lua")
TAGS = {"whole": "", "not modified": "*"}


def run(seconds: float = SECONDS, rounds: int = ROUNDS, only: str | None = None) -> None:
    """Print one line per door and kind of read."""
    need("wrk")
    with tempfile.TemporaryDirectory() as folder, doors(Path(folder)) as (system, found):
        chosen = {(door.name, kind): door for door in found if only in (None, door.name) for kind in TAGS}
        ids = match_ids(system.base)
        ways = {
            f"{name}, {kind}": _round(door, system.base, ids, seconds, kind) for (name, kind), door in chosen.items()
        }
        measured = alternating(ways, rounds)
    for (name, kind), door in chosen.items():
        config = {"way": name, "read": kind, "connections": door.connections, "seconds": seconds, "matches": len(ids)}
        report("reads", config, of_rounds(measured[f"{name}, {kind}"]))


def _round(door: Door, reference: str, ids: list[str], seconds: float, kind: str) -> Any:
    def measure() -> Line:
        wrong = sum(_differs(door.base, reference, ids[number % len(ids)]) for number in range(SAMPLE))
        os.environ["READ_TAG"] = TAGS[kind]
        wrk(door.base, seconds=WARM_UP_S, connections=door.connections, script=READ, ids=ids)
        with cpu_split() as cpu_s:
            result = wrk(door.base, seconds=seconds, connections=door.connections, script=READ, ids=ids)
        return result.line() | {"checked": SAMPLE, "wrong": wrong, "cpu_s": cpu_s}

    return measure


def _differs(base: str, reference: str, match_id: str) -> bool:
    """Read one match at both; say whether they show one forecast differently (a newer one is no difference)."""
    here, there = (httpx.get(f"{each}/v1/matches/{match_id}/forecast", timeout=30.0) for each in (base, reference))
    if (here.status_code, there.status_code) != (httpx.codes.OK, httpx.codes.OK):
        return True
    one, other = here.json(), there.json()
    fresh = {one.pop("freshness")["state"], other.pop("freshness")["state"]}
    return bool(one["seq"] == other["seq"] and len(fresh) == 1 and one != other)
