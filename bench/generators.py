"""Load from programs that exist: wrk (closed loop) and h2load (constant rate). Both are packages of Debian.

wrk times a request from its actual sending: a stall of the server holds back the requests that would have met it. So
its percentiles are those of a busy connection, and what is offered is what was achieved. h2load sends at a rate, in
ticks of at least 10 ms, at which its connections send together; a request that could not be sent within a tick of when
it was due is timed from when it was due, and what was never sent counts as an error.
"""

import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from actors.domain.errors import SetupError
from bench.harness import spread_ms

WHAT_IF = Path(__file__).with_name("what_if.lua")
PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}
_TICK_S = 0.01  # of h2load's timer
_GRACE_S = 60.0


class Load(Struct, frozen=True, kw_only=True):
    """What a generator saw. Rates are per second; errors are by kind: a status, or what became of the connection."""

    n: int  # answered with a status below 400
    achieved_per_s: float
    offered_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    latency_from: str  # actual or intended sending
    errors: dict[str, int]

    def line(self) -> dict[str, Any]:
        """Return it as a part of a bench's line."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


def need(program: str) -> None:
    """Raise SetupError with what to do if a generator is not there."""
    if shutil.which(program) is None:
        raise SetupError(f"needs {program}: apt-get install {PACKAGES[program]}")


def wrk(
    url: str, *, seconds: float, connections: int = 64, threads: int = 1, script: Path = WHAT_IF, ids: Sequence[str]
) -> Load:
    """Keep `connections` busy, each sending its next request when the last one was answered; raises SetupError."""
    need("wrk")
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(script), url]
    done = subprocess.run(
        [*command, "--", *ids], capture_output=True, text=True, check=True, timeout=seconds + _GRACE_S
    )
    return read_wrk(done.stdout)


def read_wrk(output: str) -> Load:
    """Read what bench/what_if.lua wrote behind wrk's own words."""
    said = json.loads(output.strip().splitlines()[-1])
    errors = {kind: said[kind] for kind in ("connect", "read", "write", "status", "timeout") if said[kind]}
    seconds, good = said["us"] / 1e6, said["requests"] - said["status"]
    return Load(
        n=good,
        achieved_per_s=round(good / seconds, 1),
        offered_per_s=round(said["requests"] / seconds, 1),
        latency_from="actual sending",
        errors=errors,
        **{f"{name}_ms": said[f"{name}_us"] / 1000 for name in ("p50", "p90", "p99", "max")},
    )


def h2load(
    urls: Sequence[str],
    *,
    rate: float,
    seconds: float,
    warm_up_s: float = 2.0,
    connections: int | None = None,
    body: bytes | None = None,
) -> Load:
    """Send at a constant rate, the URLs in turn, and the one body if there is one; raises SetupError.

    A connection carries one request at a time: when all wait, requests are sent late, and timed from when due. There
    are as many as keep the tick at 10 ms, at most 64, unless said otherwise.
    """
    connections = connections or min(64, max(1, round(rate * _TICK_S)))
    rows = h2load_rows(urls, rate=rate, seconds=warm_up_s + seconds, connections=connections, body=body)
    return load_of(rows, rate=rate, seconds=seconds, connections=connections, warm_up_s=warm_up_s)


def h2load_rows(
    urls: Sequence[str], *, rate: float, seconds: float, connections: int, body: bytes | None = None
) -> NDArray[np.int64]:
    """Return (n, 3) rows of all requests: start in us since the epoch, status (-1: none), us until the end."""
    need("h2load")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "urls").write_text("\n".join(urls))
        command = ["h2load", "--h1", f"-c{connections}", f"-D{seconds:g}", f"--rps={rate / connections:g}"]
        command += [f"--input-file={folder / 'urls'}", f"--log-file={folder / 'log'}"]
        if body is not None:
            (folder / "body").write_bytes(body)
            command += [f"--data={folder / 'body'}", "--header=content-type: application/json"]
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + _GRACE_S)
        return read_h2load(folder / "log")


def read_h2load(log: Path) -> NDArray[np.int64]:
    """Read a log of h2load: rows of start, status and duration, by start."""
    if not log.stat().st_size:
        return np.empty((0, 3), dtype=np.int64)
    rows = np.loadtxt(log, dtype=np.int64, ndmin=2).reshape(-1, 3)
    return rows[np.argsort(rows[:, 0], kind="stable")]


def load_of(rows: NDArray[np.int64], *, rate: float, seconds: float, connections: int, warm_up_s: float) -> Load:
    """Return what rows by start say of `seconds` behind the warm-up; of latencies, those of answers below 400."""
    if not len(rows):
        raise ValueError("no request was sent")
    start_s = (rows[:, 0] - rows[0, 0]) / 1e6
    due_s = np.arange(len(rows)) / rate + max(_TICK_S, connections / rate)
    measured = (start_s >= warm_up_s) & (start_s < warm_up_s + seconds)
    took_s = (rows[:, 2] / 1e6 + np.maximum(start_s - due_s, 0.0))[measured]
    status = rows[measured, 1]
    good = (status >= 0) & (status < 400)
    kinds = Counter("no answer" if each < 0 else str(each) for each in status[~good].tolist())
    kinds["not sent"] = max(round(rate * seconds) - connections - len(status), 0)  # a tick more or less is no error
    return Load(
        n=int(good.sum()),
        achieved_per_s=round(float(good.sum()) / seconds, 1),
        offered_per_s=rate,
        latency_from="intended sending",
        errors=dict(+kinds),
        **spread_ms(took_s[good] if good.any() else [0.0]),
    )
