"""Does a swap fail a request, or let two models answer one? Twenty swaps in a row, half of them of broken candidates.

Requests come to the replicas' listener at a fixed rate for all of that time: half are reads of the latest forecast,
four in ten are what-ifs, one in ten is a batch of nine what-ifs, which one model has to answer. Candidates are put
straight into history, past the checks of `cluster.models swap`, so that it is the replicas that have to refuse the
broken ones: NaN weights, tensors of another shape, a missing file, a pickle for weights.
A request fails that is not answered with 200; it is timed from when it was due.
"""

import argparse
import asyncio
import hashlib
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import torch
from safetensors.torch import load, save

from actors.domain.models import Committed
from actors.domain.ports import ModelStore
from bench.doors import wait_for
from bench.harness import report, spread_ms
from bench.running import System
from cluster.audit import MODELS
from cluster.held_models import pack
from cluster.models import ask

SWAPS = 20
RATE_PER_S = 200.0  # a client written with httpx falls behind that beside the swaps on two cores; its waiting counts
EVERY = 10  # of so many requests one is a batch
IN_FLIGHT = 256
ASK_WITHIN_S = 90.0
_LISTENS_WITHIN_S = 120.0
WEIGHTS = "weights.safetensors"
GOOD = ("touchline-all", "touchline-2017-12-01")
BATCH = [{"score": [home, away]} for home in range(3) for away in range(3)]


def run(swaps: int = SWAPS, rate: float = RATE_PER_S) -> None:
    """Print one line."""
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", ["replay.speed=2"])
        try:
            system.start()
            wait_for(f"{system.fast}/readyz", _LISTENS_WITHIN_S)
            result = _swaps_under_load(system, swaps, rate)
        finally:
            system.stop()
    report("swaps", {"swaps": swaps, "requests_per_s": rate}, result)


def _swaps_under_load(system: System, swaps: int, rate: float) -> dict[str, object]:
    traffic, outcomes, took = Traffic(system.fast, rate), Counter[str](), list[float]()
    with closing(system.stores.log()) as log, closing(system.stores.history()) as history, traffic:
        for number in range(swaps):
            kind = "good" if number % 2 else list(BROKEN)[number // 2 % len(BROKEN)]
            version = put(history, kind, number)
            began = time.monotonic()
            decided = ask(log, version, ASK_WITHIN_S)
            took.append(time.monotonic() - began)
            outcomes[f"{kind} {'committed' if isinstance(decided, Committed) else 'refused'}"] += 1
    return {
        "outcomes": dict(outcomes),
        "swap": spread_ms(took),
        "requests": traffic.asked,
        "failed": dict(traffic.failed),
        "mixed": traffic.mixed,
        "broken_answered": sum(version.startswith(tuple(BROKEN)) for version in traffic.versions),
        "versions_seen": len(traffic.versions),
        "request": spread_ms(traffic.latencies),
    }


def put(history: ModelStore, kind: str, number: int) -> str:
    """Put a model of one kind into history; return its version."""
    manifest, content = pack(MODELS / GOOD[number // 2 % 2])
    files, version = msgspec.msgpack.decode(content, type=dict[str, bytes]), f"{kind.replace(' ', '-')}-{number}"
    if kind in BROKEN:
        BROKEN[kind](files)
    changed = {"model_version": version, "weights_sha256": hashlib.sha256(files.get(WEIGHTS, b"")).hexdigest()}
    said = msgspec.json.encode(msgspec.json.decode(manifest, type=dict[str, object]) | changed)
    history.write_model(version, said, msgspec.msgpack.encode(files))
    return version


def _with_nan(files: dict[str, bytes]) -> None:
    tensors = load(files[WEIGHTS])
    files[WEIGHTS] = save(tensors | {"average": torch.full_like(tensors["average"], torch.nan)})


def _of_another_shape(files: dict[str, bytes]) -> None:
    tensors = load(files[WEIGHTS])
    files[WEIGHTS] = save(tensors | {"average": tensors["average"].repeat(2)})


def _missing(files: dict[str, bytes]) -> None:
    del files[WEIGHTS]


def _pickled(files: dict[str, bytes]) -> None:
    files[WEIGHTS] = b"\x80\x04N."


BROKEN: dict[str, Callable[[dict[str, bytes]], None]] = {
    "nan": _with_nan,
    "shape": _of_another_shape,
    "missing": _missing,
    "pickle": _pickled,
}


class Traffic:
    """Requests at a fixed rate from a thread of its own, while the block runs."""

    def __init__(self, base: str, rate: float) -> None:
        self._base, self._every_s, self._match_id = base, 1 / rate, ""
        self.asked, self.mixed, self.failed = 0, 0, Counter[str]()
        self.versions, self.latencies = set[str](), list[float]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")

    def __enter__(self) -> "Traffic":
        self._match_id = _a_match(self._base)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
        async with httpx.AsyncClient(base_url=self._base, timeout=30.0, limits=limits) as client:
            under_way, due_s = set[asyncio.Task[None]](), time.monotonic()
            while not self._stop.is_set():
                due_s += self._every_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                task = asyncio.create_task(self._ask(client, due_s, self.asked))
                self.asked += 1
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            await asyncio.gather(*under_way)

    async def _ask(self, client: httpx.AsyncClient, due_s: float, number: int) -> None:
        try:
            path = f"/v1/matches/{self._match_id}/forecast"
            if number % 2:
                answer = await client.get(path)
            elif number % EVERY:
                answer = await client.post(path, json={"score": [number % 5, number % 3]})
            else:
                items = [{"match_id": self._match_id, **what_if} for what_if in BATCH]
                answer = await client.post("/v1/forecasts:batch", json={"items": items})
        except httpx.HTTPError as error:
            self.failed[type(error).__name__] += 1
            return
        self.latencies.append(time.monotonic() - due_s)
        if answer.status_code != httpx.codes.OK:
            self.failed[str(answer.status_code)] += 1
            return
        body = answer.json()
        made_by = {each["what_if"]["model_version"] for each in body["results"]} if "results" in body else set()
        self.mixed += len(made_by) > 1
        self.versions |= made_by or {body["model_version"]}


def _a_match(base: str) -> str:
    """Wait until a match has a forecast, and return its id."""
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        for match in httpx.get(f"{base}/v1/matches", timeout=30.0).json()["matches"]:
            match_id = str(match["match_id"])
            if httpx.get(f"{base}/v1/matches/{match_id}/forecast", timeout=30.0).status_code == httpx.codes.OK:
                return match_id
        time.sleep(0.5)
    raise AssertionError("no match has a forecast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=SWAPS)
    parser.add_argument("--rate", type=float, default=RATE_PER_S)
    options = parser.parse_args()
    run(options.swaps, options.rate)
