"""The doors of a running system side by side: the replicas' listener, Serve's ingress, the same app under uvicorn."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from msgspec import Struct

from actors.domain.errors import SetupError
from actors.domain.ports import WhatIfStore
from bench.running import REPO, System, free_ports
from serve_app.what_if_rows import rows_in

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # of a worker, as Ray has it: else products of matrices fight for the cores
FORECASTERS = 2  # one per core, from the start: this is not a bench of scaling
_STARTS_WITHIN_S = 120.0
_FORECASTS_WITHIN_S = 180.0


class Door(Struct, frozen=True, kw_only=True):
    """A way into the system."""

    name: str
    base: str
    connections: int


@contextmanager
def doors(folder: Path) -> Iterator[tuple[System, tuple[Door, ...]]]:
    """Run a system, and beside it uvicorn with the same app on the same log and stores."""
    system = System(folder / "data", ["replay.speed=1", *two_replicas()])
    system.start()
    try:
        with uvicorn(system, folder / "uvicorn.out") as bare:
            wait_for(f"{system.fast}/readyz", _STARTS_WITHIN_S)
            yield (
                system,
                (
                    Door(name="listener", base=system.fast, connections=256),
                    Door(name="uvicorn", base=bare, connections=256),
                    Door(name="ingress", base=system.base, connections=16),
                ),
            )
    finally:
        system.stop()


def two_replicas() -> list[str]:
    """Return the options of a system with as many forecasters as cores."""
    return [f"serve.forecaster_min_replicas={FORECASTERS}", f"serve.forecaster_max_replicas={FORECASTERS}"]


@contextmanager
def uvicorn(system: System, output: Path) -> Iterator[str]:
    """Run the app under two workers of uvicorn."""
    [port] = free_ports(1)
    with output.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare_uvicorn", str(port)],
            cwd=REPO,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | ONE_THREAD | {"BENCH_OPTIONS": "\n".join(system.options)},
        )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{base}/readyz", _STARTS_WITHIN_S)
        yield base
    except SetupError as error:
        raise SetupError(f"uvicorn did not start: {output.read_text()[-2000:]}") from error
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(timeout=20)
        for each in family:
            if each.is_running():
                each.kill()


def match_ids(base: str, most: int = 16) -> list[str]:
    """Wait until every match that is announced has a forecast; return their ids."""
    deadline = time.monotonic() + _FORECASTS_WITHIN_S
    while time.monotonic() < deadline:
        matches = httpx.get(f"{base}/v1/matches", timeout=30.0).json()["matches"]
        if matches and all(match["prediction_id"] for match in matches):
            return [match["match_id"] for match in matches][:most]
        time.sleep(0.5)
    raise SetupError("matches have no forecast")


def wait_for(url: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5.0).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SetupError(f"{url} did not answer within {within_s:g} s")


def recorded(store: WhatIfStore, replicas: set[str]) -> int:
    """Count the what-ifs that these replicas have recorded."""
    count = 0
    for replica in replicas:
        batch = 0
        while (payload := store.what_ifs(replica, batch)) is not None:
            count, batch = count + rows_in(payload), batch + 1
    return count
