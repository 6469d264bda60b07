"""A system under load as a bench sees it: its doors for what-ifs, how old its forecasts are, what memory it takes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import httpx
import numpy as np
import psutil
from msgspec import Struct
from numpy.typing import NDArray

from bench.doors import match_ids
from bench.event_to_push import age_s, messages
from bench.running import System

OK = 200


@contextmanager
def live_system(options: list[str]) -> Iterator[tuple[System, list[str]]]:
    """Yield a system of its own at real speed, and the ids of its matches, all with a forecast."""
    with TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", ["replay.speed=1", *options])
        try:
            system.start()
            yield system, match_ids(system.base)
        finally:
            system.stop()


class Watch:
    """While the block runs: the age of each forecast that a stream brings, and the memory of a family of processes."""

    def __init__(self, base: str, pid: int) -> None:
        self._base, self._root = base, psutil.Process(pid)
        self.ages_s: list[tuple[float, float]] = []  # monotonic time, age
        self.memory_mb: list[tuple[float, float]] = []
        self.lost = 0  # times that the stream broke
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._stream, self._weigh)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def between(self, began: float, ended: float) -> tuple[list[float], list[float]]:
        """Return the ages and the memory seen between two moments of the monotonic clock."""
        ages = [age for at, age in self.ages_s if began <= at < ended]
        return ages, [mb for at, mb in self.memory_mb if began <= at < ended]

    def _stream(self) -> None:
        while not self._stop.is_set():
            try:
                for event, body in messages(self._base, until=time.monotonic() + 3600.0):
                    if event == "delta" and "as_of" in body:
                        self.ages_s.append((time.monotonic(), age_s(body)))
                    if self._stop.is_set():
                        return
            except httpx.HTTPError:
                self.lost += 1

    def _weigh(self) -> None:
        while not self._stop.wait(1.0):
            self.memory_mb.append((time.monotonic(), _memory_mb(self._root)))


def _memory_mb(root: psutil.Process) -> float:
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_info()
            total += memory.rss - memory.shared
        except psutil.Error:
            continue
    return round(total / 2**20, 1)


class Answers(Struct, frozen=True, kw_only=True):
    """What rows of h2load say of one span of time."""

    good_per_s: float
    refused_share: float  # with 429
    good_ms_p99: float
    refused_ms_p50: float
    refused_ms_p99: float
    errors: dict[str, int]  # all but 429


def answers(rows: NDArray[np.int64], seconds: float) -> Answers:
    """Return what became of requests, each timed from its sending: it is the answer's own time that is asked here."""
    status, took_ms = rows[:, 1], rows[:, 2] / 1000
    good, refused = (status >= OK) & (status < 400), status == 429
    others = status[~good & ~refused]
    kinds = {"no answer" if each < 0 else str(each): int((others == each).sum()) for each in np.unique(others)}
    return Answers(
        good_per_s=round(float(good.sum()) / seconds, 1),
        refused_share=round(float(refused.sum()) / max(len(rows), 1), 4),
        good_ms_p99=_percentile(took_ms[good], 99),
        refused_ms_p50=_percentile(took_ms[refused], 50),
        refused_ms_p99=_percentile(took_ms[refused], 99),
        errors=kinds,
    )


def normal_after_s(rows: NDArray[np.int64], limit_ms: float) -> float | None:
    """Return when the last request began that failed or took longer than the limit, from the first; 0.0 if none did.

    None where nothing was answered at all.

    >>> normal_after_s(np.array([[0, 200, 9000], [1_500_000, 429, 100], [2_000_000, 200, 100]]), limit_ms=5.0)
    1.5
    """
    if not len(rows):
        return None
    bad = (rows[:, 1] < OK) | (rows[:, 1] >= 400) | (rows[:, 2] / 1000 > limit_ms)
    return round(float((rows[bad, 0][-1] - rows[0, 0]) / 1e6), 2) if bad.any() else 0.0


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 2) if len(values) else 0.0
