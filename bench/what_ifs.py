"""How many what-ifs a second go through the replicas' own listener, the same app under uvicorn, and Serve's ingress?

One run of the network per request, on inputs that all differ, the whole answer out, recorded for audit. wrk keeps the
connections of one door busy at a time, on the same cores; rounds alternate. Before each round a sample is asked and
replayed: an answer that does not come out identical is `wrong`. Behind all rounds the records of each door are
counted: `not_recorded` is how many answers have none.
"""

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from bench.doors import Door, doors, match_ids, recorded
from bench.generators import need, wrk
from bench.harness import Line, alternating, cpu_split, of_rounds, report
from serve_app.what_if_recorder import PREFIX

SECONDS, WARM_UP_S, ROUNDS = 10.0, 3.0, 3
SAMPLE = 8
_WRITTEN_WITHIN_S = 2.0


def run(seconds: float = SECONDS, rounds: int = ROUNDS, only: str | None = None) -> None:
    """Print one line per door."""
    need("wrk")
    with tempfile.TemporaryDirectory() as folder, doors(Path(folder)) as (system, found):
        chosen = [door for door in found if only in (None, door.name)]
        ids, asked = match_ids(system.base), {door.name: Asked() for door in chosen}
        ways = {door.name: a_round(door, ids, seconds, asked[door.name]) for door in chosen}
        measured = alternating(ways, rounds)
        time.sleep(_WRITTEN_WITHIN_S)
        with closing(system.stores.history()) as history:
            kept = {name: recorded(history, each.replicas) for name, each in asked.items()}
    for door in chosen:
        answered = asked[door.name].answered
        audit = {"answered": answered, "recorded": kept[door.name], "not_recorded": max(0, answered - kept[door.name])}
        config = {"way": door.name, "connections": door.connections, "seconds": seconds, "matches": len(ids)}
        report("what_ifs", config, of_rounds(measured[door.name]) | audit)


class Asked:
    """What a door was asked: how many answers came, and which replicas gave those of the samples."""

    def __init__(self) -> None:
        self.answered, self.replicas = 0, set[str]()


def a_round(door: Door, ids: list[str], seconds: float, asked: Asked) -> Any:
    """Return what runs one round at a door and returns its line."""

    def measure() -> Line:
        wrong = sum(_wrong(door, ids[number % len(ids)], number, asked) for number in range(SAMPLE))
        asked.answered += SAMPLE
        warm = wrk(door.base, seconds=WARM_UP_S, connections=door.connections, ids=ids)
        with cpu_split() as cpu_s:
            result = wrk(door.base, seconds=seconds, connections=door.connections, ids=ids)
        asked.answered += warm.n + result.n
        return result.line() | {"checked": SAMPLE, "wrong": wrong, "cpu_s": cpu_s}

    return measure


def _wrong(door: Door, match_id: str, number: int, asked: Asked) -> bool:
    """Ask one what-if on a connection of its own, so of any replica, and let it be replayed; say if it differs."""
    body = {"score": [number % 3, number % 2], "clock": {"period": 2, "ms": 1_000 * number}}
    answer = httpx.post(f"{door.base}/v1/matches/{match_id}/forecast", json=body, timeout=30.0)
    if answer.status_code != httpx.codes.OK:
        return True
    said = answer.json()
    name, inputs = str(said["prediction_id"]), said["inputs"]
    asked.replicas.add(name.removeprefix(PREFIX).rsplit("-", 2)[0])
    is_identical = bool(_replayed(door, name).get("identical"))
    return not is_identical or [inputs["home_goals"], inputs["away_goals"]] != body["score"]


def _replayed(door: Door, name: str) -> dict[str, Any]:
    """Replay an answer; a replica that did not give it finds it when its record is written."""
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while True:
        replay = httpx.post(f"{door.base}/v1/predictions/{name}/replay", timeout=30.0)
        if replay.status_code != httpx.codes.NOT_FOUND or time.monotonic() > deadline:
            said: dict[str, Any] = replay.json()
            return said
        time.sleep(0.05)
