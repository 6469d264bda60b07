"""The embedded log between two processes: how long from an append to its reader, and how much it can carry.

Latency, open loop: a writer in a process of its own appends one durable record of 300 bytes at each of its intended
times, whatever the last append took; a reader in another blocks in `read`. Each record carries its intended time by the
machine's monotonic clock, so waiting for the disk or for the writer counts in full.

Appends, closed loop: writers append as fast as the log takes it, each to a partition and in a process of its own,
with 1 and with 100 records in an append. Since what is durable waits for the disk, `fsyncs_per_s`, the same bytes
appended to a plain file and synced one by one just before, says what the disk alone allows one writer.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

from actors.adapters.embedded_log import SqliteLog
from actors.domain.ports import FEED, NewRecord
from bench.harness import report, spread_ms

VALUE_BYTES = 300
RATES_PER_S = (50, 500)
LATENCY_S = 6.0
APPENDS_S = 3.0
PARTITIONS = 4
_LAST = b"last"


def run() -> None:
    """Print one line per rate, and one per number of writers and records in an append."""
    for rate in RATES_PER_S:
        with tempfile.TemporaryDirectory() as folder:
            _latency(Path(folder), rate)
    for writers, batch in ((1, 1), (1, 100), (4, 1), (4, 100)):
        with tempfile.TemporaryDirectory() as folder:
            _appends(Path(folder), writers, batch)


def _open(folder: Path) -> SqliteLog:
    return SqliteLog(folder / "log", {FEED: PARTITIONS})


def _latency(folder: Path, rate: int) -> None:
    _open(folder).close()
    context = multiprocessing.get_context("spawn")
    writer = context.Process(target=_write_at, args=(folder, rate))
    writer.start()
    try:
        ages = _read_ages(folder)
    finally:
        writer.join(timeout=30)
        writer.kill()
    report(
        "stores", {"what": "append_to_read", "per_s": rate, "bytes": VALUE_BYTES}, {"n": len(ages), **spread_ms(ages)}
    )


def _write_at(folder: Path, rate: int) -> None:
    """Append at the intended times, then say that this was all."""
    log = _open(folder)
    began = time.monotonic() + 0.2
    for number in range(int(rate * LATENCY_S)):
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        log.append(FEED, 0, [NewRecord(key="m", value=str(due).encode().ljust(VALUE_BYTES))])
    log.append(FEED, 0, [NewRecord(key="m", value=_LAST)])
    log.close()


def _read_ages(folder: Path) -> list[float]:
    log, ages, position = _open(folder), list[float](), 0
    while records := log.read(FEED, {0: position}, 1_000, wait_s=30.0):
        now, position = time.monotonic(), records[-1].offset + 1
        ages += [now - float(record.value or b"") for record in records if record.value != _LAST]
        if records[-1].value == _LAST:
            break
    log.close()
    return ages


def _appends(folder: Path, writers: int, batch: int) -> None:
    _open(folder).close()
    fsyncs = _fsyncs_per_s(folder, VALUE_BYTES * batch)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(writers, mp_context=context) as pool:
        barrier = manager.Barrier(writers)
        appended = sum(pool.map(_append_on, *zip(*((folder, p, batch, barrier) for p in range(writers)), strict=True)))
    config = {"what": "appends", "writers": writers, "records_per_append": batch, "bytes": VALUE_BYTES}
    rates = {"appends_per_s": round(appended / APPENDS_S), "records_per_s": round(appended * batch / APPENDS_S)}
    report("stores", config, rates | {"fsyncs_per_s": round(fsyncs)})


def _append_on(folder: Path, partition: int, batch: int, barrier: Barrier) -> int:
    """Append for APPENDS_S together with the others; return how many appends came back."""
    log, records = _open(folder), [NewRecord(key="m", value=b"x" * VALUE_BYTES)] * batch
    barrier.wait(timeout=60)
    return _count(lambda: log.append(FEED, partition, records), APPENDS_S)


def _fsyncs_per_s(folder: Path, size: int) -> float:
    with (folder / "plain").open("ab", buffering=0) as plain:

        def sync() -> None:
            plain.write(b"x" * size)
            os.fsync(plain.fileno())

        return _count(sync, 1.0)


def _count(work: Callable[[], object], seconds: float) -> int:
    done, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        work()
        done += 1
    return done
