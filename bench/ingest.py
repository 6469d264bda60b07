"""How much feed can be carried, from a preloaded Kafka topic through decode and fold, with and without forecasts?

On two cores, broker included. Ours: one owner per match (`MatchSession` on `KafkaLog`), shared out among two processes,
each playing its matches one after the other; with forecasts the real model runs in the same process (in the product it
is a Serve call away) and what is published is acknowledged by the broker. The topic is preloaded, so a match is always
behind, and forecasts that only time asks for are left out, as they are in the product then.

Beside it, in the same run: the same fold of the same sixteen matches on Quix Streams and on Bytewax, two processes of
each, no forecasts, states in a dict. They live in an environment of their own (bench/environment.py). Seconds count
from the first record of the earliest process to the last one of the latest.
"""

import multiprocessing
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec

from actors.session import MatchSettings
from bench.environment import environment
from bench.harness import report
from bench.ingest_feed import HALVES, SIZES, Played, preload
from bench.ingest_ours import Lane, play
from bench.ingest_task import GO, READY, Done, Task
from bench.running import REPO, free_ports
from cluster.audit import MODELS
from cluster.services.jars import need_jars
from cluster.services.kafka.server import Kafka
from conf.services import KafkaServiceConfig, ServicesConfig

MATCHES = (1, 4, 16)
PASSES = 3
READ_BATCH = 2_048
OTHERS = ("quix", "bytewax")


def run(matches: tuple[int, ...] = MATCHES, sizes: tuple[int, ...] = SIZES, passes: int = PASSES) -> None:
    """Print one line per size, number of matches and way."""
    python = environment()
    with tempfile.TemporaryDirectory() as folder:
        port, controller = free_ports(2)
        kafka = KafkaServiceConfig(port=port, controller_port=controller, heap_mb=1024)
        config = ServicesConfig(folder=folder, jars=str(REPO / ".jars"), kafka=kafka)
        need_jars(REPO / ".jars", lambda _: None)
        broker = Kafka(config)
        broker.start(120)
        try:
            for size in sizes:
                for way, played, forecasts, work in _ways(preload(f"127.0.0.1:{port}", size), matches, python):
                    _report(way, size, played, forecasts, [_timed(broker, work) for _ in range(passes)])
        finally:
            broker.stop(30)


def _ways(
    played: Sequence[Played], matches: Sequence[int], python: Path
) -> Iterator[tuple[str, Sequence[Played], bool, Callable[[], list[Done]]]]:
    """Yield who plays how many matches, whether with forecasts, and how to have it done."""
    for count in matches:
        for forecasts in (False, True):
            yield "ours", played[:count], forecasts, partial(_ours, played[:count], forecasts)
    for name in OTHERS:
        yield name, played, False, partial(_theirs, name, played, python)


def _report(way: str, size: int, played: Sequence[Played], forecasts: bool, passes: list[dict[str, float]]) -> None:
    median = {key: statistics.median(each[key] for each in passes) for key in passes[0]}
    size_b = sum(each.value_bytes for each in played)
    result = {
        "n": round(median["records"]),
        "bytes_per_record": round(size_b / sum(each.records for each in played)),
        "records_per_s": round(median["records"] / median["wall_s"]),
        "mb_per_s": round(size_b / median["wall_s"] / 1e6, 2),
        "forecasts_per_s": round(median["forecasts"] / median["wall_s"]),
        "cpu_us_per_record": round(median["cpu_s"] / median["records"] * 1e6, 1),
        "broker_cpu_us_per_record": round(median["broker_cpu_s"] / median["records"] * 1e6, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    config = {"way": way, "size": size, "matches": len(played), "forecasts": forecasts, "passes": len(passes)}
    report("ingest", config, result)


def _timed(broker: Kafka, work: Callable[[], list[Done]]) -> dict[str, float]:
    """Return what was done, and what the broker spent on it."""
    before = _cpu_s(broker)
    done = work()
    return {
        "records": sum(each.records for each in done),
        "forecasts": sum(each.forecasts for each in done),
        "wall_s": max(each.ended for each in done) - min(each.began for each in done),
        "cpu_s": sum(each.cpu_s for each in done),
        "broker_cpu_s": _cpu_s(broker) - before,
    }


def _cpu_s(broker: Kafka) -> float:
    process = broker.process()
    assert process is not None
    times = process.cpu_times()
    return float(times.user + times.system)


def _ours(played: Sequence[Played], forecasts: bool) -> list[Done]:
    """Play the matches in two processes."""
    settings = MatchSettings(
        read_batch=READ_BATCH, conflate_behind_records=READ_BATCH // 8, snapshot_every_records=READ_BATCH
    )
    model = max(MODELS.glob("*/manifest.json")).parent if forecasts else None
    lanes = [each for each in (tuple(played[0::2]), tuple(played[1::2])) if each]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(lanes)), context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for number, matches in enumerate(lanes):
            (place := Path(folder) / str(number)).mkdir()
            lane = Lane(matches=matches, folder=place, model=model, settings=settings)
            processes.append(context.Process(target=play, args=(lane, barrier, results), daemon=True))
            processes[-1].start()
        done = [results.get(timeout=600) for _ in lanes]
        for process in processes:
            process.join()
    return done


def _theirs(name: str, played: Sequence[Played], python: Path) -> list[Done]:
    """Play the matches on another framework, a half of the topic in each process."""
    group = uuid4().hex[:8]
    tasks = [_task(played[number :: len(HALVES)], f"{group}{number}") for number in range(len(HALVES))]
    command = [str(python), "-m", f"bench.ingest_{name}"]
    processes = [
        subprocess.Popen([*command, task], cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for task in tasks
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == READY
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{GO}\n")
        process.stdin.flush()
    return [_done(process) for process in processes]


def _task(played: Sequence[Played], group: str) -> str:
    task = Task(
        server=played[0].kafka.servers[0],
        group=group,
        topics=(played[0].topic,),
        fixtures=tuple(each.fixture for each in played),
        records=sum(each.records for each in played),
    )
    return msgspec.json.encode(task).decode()


def _done(process: "subprocess.Popen[str]") -> Done:
    said, _ = process.communicate(timeout=600)
    return msgspec.json.decode(said.splitlines()[-1], type=Done)
