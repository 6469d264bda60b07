"""Does a swap fail a request, or let two models answer one? Twenty swaps in a row, half of them of broken candidates.

Requests come to the replicas' listener at a fixed rate for all of that time: half are reads of the latest forecast,
four in ten are what-ifs, one in ten is a batch of nine what-ifs, which one model has to answer. Candidates are put
straight into history, past the checks of `cluster.models swap`, so that it is the replicas that have to refuse the
broken ones: NaN weights, tensors of another shape, a missing file, a pickle for weights, and a model that takes nine
times the CPU (the first one, whose chain is not compiled).
A request fails that is not answered with 200; it is timed from when it was due.
"""

import asyncio
import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import aiohttp
import msgspec
import torch
from safetensors.torch import load, save

from actors.domain.models import Committed
from actors.domain.ports import ModelStore
from bench.doors import match_ids, wait_for
from bench.harness import report, spread_ms
from bench.running import System
from cluster.audit import MODELS
from cluster.held_models import pack
from cluster.models import ask

SWAPS = 20
RATE_PER_S = 500.0
WARM_UP_S = 3.0
EVERY = 10  # of so many requests one is a batch
IN_FLIGHT = 256
ASK_WITHIN_S = 90.0
_LISTENS_WITHIN_S = 120.0
WEIGHTS = "weights.safetensors"
GOOD, SLOW = ("touchline-all", "touchline-2017-12-01"), "baseline-2017-12-01"
JSON = {"Content-Type": "application/json"}
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
    why = dict[str, str]()  # the last reason for each kind
    with closing(system.stores.log()) as log, closing(system.stores.history()) as history, traffic:
        time.sleep(WARM_UP_S)
        for number in range(swaps):
            kind = "good" if number % 2 else list(BROKEN)[number // 2 % len(BROKEN)]
            version = put(history, kind, number)
            began = time.monotonic()
            decided = ask(log, version, ASK_WITHIN_S)
            took.append(time.monotonic() - began)
            if isinstance(decided, Committed):
                outcomes[f"{kind} committed"] += 1
            else:
                outcomes[f"{kind} refused"] += 1
                why[kind] = decided.why
    seen = traffic.seen
    return {
        "outcomes": dict(outcomes),
        "why": why,
        "swap": spread_ms(took),
        "requests": seen.asked,
        "asked_per_s": round(seen.asked / seen.lasted_s, 1),
        "failed": dict(seen.failed),
        "mixed": seen.mixed,
        "broken_answered": sum(version.startswith(tuple(BROKEN)) for version in seen.versions),
        "versions_seen": len(seen.versions),
        "request": spread_ms(seen.latencies),
    }


def put(history: ModelStore, kind: str, number: int) -> str:
    """Put a model of one kind into history; return its version."""
    manifest, content = pack(MODELS / (SLOW if kind == "slow" else GOOD[number // 2 % 2]))
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


def _as_it_is(_: dict[str, bytes]) -> None:
    """Nothing is wrong with its files."""


BROKEN: dict[str, Callable[[dict[str, bytes]], None]] = {
    "nan": _with_nan,
    "shape": _of_another_shape,
    "missing": _missing,
    "pickle": _pickled,
    "slow": _as_it_is,
}


class Traffic:
    """Requests at a fixed rate from a process of its own, while the block runs."""

    def __init__(self, base: str, rate: float) -> None:
        spawning = get_context("spawn")
        self._stop, (self._told, self._telling) = spawning.Event(), spawning.Pipe(duplex=False)
        self._process = spawning.Process(target=_send, args=(base, match_ids(base)[0], rate, self._stop, self._telling))
        self.seen = Seen()

    def __enter__(self) -> "Traffic":
        self._process.start()
        self._telling.close()  # only it holds that end now, so its death is heard of
        self._told.recv()  # it has imported all it needs, and asks
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.seen = self._told.recv()
        self._process.join()


@dataclass
class Seen:
    """What came of the requests."""

    asked: int = 0
    lasted_s: float = 0.0
    mixed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)  # seconds since a request was due


def _send(base: str, match_id: str, rate: float, stop: Event, telling: Connection) -> None:
    telling.send(None)
    seen = Seen()
    asyncio.run(_keep_asking(seen, base, match_id, rate, stop))
    telling.send(seen)


async def _keep_asking(seen: Seen, base: str, match_id: str, rate: float, stop: Event) -> None:
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as client:
        under_way, began_s = set[asyncio.Task[None]](), time.monotonic()
        while not stop.is_set():
            due_s = began_s + seen.asked / rate
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            task = asyncio.create_task(_ask(seen, client, match_id, due_s, seen.asked))
            seen.asked += 1
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        seen.lasted_s = time.monotonic() - began_s
        await asyncio.gather(*under_way)


async def _ask(seen: Seen, client: aiohttp.ClientSession, match_id: str, due_s: float, number: int) -> None:
    path, body = f"/v1/matches/{match_id}/forecast", _json({"score": [number % 5, number % 3]})
    if number % EVERY == 0:
        path, body = "/v1/forecasts:batch", _json({"items": [{"match_id": match_id, **what_if} for what_if in BATCH]})
    try:
        async with client.get(path) if number % 2 else client.post(path, data=body, headers=JSON) as answer:
            content = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.failed[type(error).__name__] += 1
        return
    seen.latencies.append(time.monotonic() - due_s)
    if answer.status != HTTPStatus.OK:
        seen.failed[str(answer.status)] += 1
        return
    told = _told.decode(content)
    made_by = {each.what_if.model_version for each in told.results if each.what_if} or {told.model_version}
    seen.mixed += len(made_by) > 1
    seen.versions |= made_by


class _WhatIf(msgspec.Struct):
    model_version: str


class _Result(msgspec.Struct):
    what_if: _WhatIf | None = None


class _Told(msgspec.Struct):
    """What an answer says of who made it, be it a forecast, a what-if or a batch of these."""

    model_version: str = ""
    results: list[_Result] = []


_told = msgspec.json.Decoder(_Told)
_json = msgspec.json.encode
