"""What every bench shares: percentiles, rounds side by side, CPU by process, where it ran, one JSON line."""

import json
import os
import platform
import re
import statistics
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil

T = TypeVar("T")
Line = dict[str, Any]
# Over rounds: a median would hide what went wrong in one of them.
_SUMMED = ("errors", "wrong", "not_recorded", "gaps", "twice", "resyncs", "cpu_s")


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and max in milliseconds.

    >>> spread_ms([0.001, 0.002, 0.003])["p50_ms"]
    2.0
    """
    values = np.asarray(seconds) * 1000
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    named = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": values.max()}
    return {name: round(float(value), 3) for name, value in named.items()}


def alternating(ways: Mapping[str, Callable[[], T]], rounds: int = 3) -> dict[str, list[T]]:
    """Run every way once a round, each round beginning with another one; return what each gave, by way.

    >>> alternating({"a": lambda: 1, "b": lambda: 2}, rounds=2)
    {'a': [1, 1], 'b': [2, 2]}
    """
    results: dict[str, list[T]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(ways[name]())
    return results


def of_rounds(rounds: Sequence[Line]) -> Line:
    """Return one result of several: medians of the numbers, what went wrong summed, each round beside them.

    `spread` holds the least and the most of what was achieved.

    >>> of_rounds([{"achieved_per_s": 3.0, "errors": {"429": 1}}, {"achieved_per_s": 5.0, "errors": {}}])["spread"]
    [3.0, 5.0]
    """
    line = _merged(rounds)
    line |= {key: value for key, value in rounds[0].items() if isinstance(value, str)}
    achieved = [each["achieved_per_s"] for each in rounds if "achieved_per_s" in each]
    if achieved:
        line["spread"] = [min(achieved), max(achieved)]
    return line | {"rounds": list(rounds)}


def _merged(rounds: Sequence[Line]) -> Line:
    """Return medians, or sums, of what the rounds say, also in dicts below; a figure may be missing in some of them."""
    line: Line = {}
    for key in dict.fromkeys(key for each in rounds for key in each):
        values = [each[key] for each in rounds if key in each]
        if key in _SUMMED:
            line[key] = _sum(values)
        elif isinstance(values[0], int | float):
            line[key] = statistics.median(values)
        elif isinstance(values[0], dict):
            line[key] = _merged(values)
    return line


def _sum(values: Sequence[Any]) -> Any:
    """Add up numbers, or what dicts say by name, the largest first."""
    if isinstance(values[0], int | float):
        return sum(values)
    total = sum((Counter(each) for each in values), Counter[str]())
    return {name: round(value, 2) for name, value in total.most_common()}


@contextmanager
def cpu_split() -> Iterator[dict[str, float]]:
    """Yield a dict that holds, behind the block, the CPU seconds of this process and all below it, by name.

    `ended` are those that were waited for within the block, such as load generators.
    """
    split: dict[str, float] = {}
    before, ended = _cpu_s(), _ended_s()
    yield split
    for pid, (name, seconds) in _cpu_s().items():
        split[name] = split.get(name, 0.0) + seconds - before.get(pid, (name, 0.0))[1]
    split["ended"] = _ended_s() - ended
    for name, seconds in list(split.items()):
        split[name] = round(seconds, 2)
        if split[name] <= 0:
            del split[name]


def _cpu_s() -> dict[int, tuple[str, float]]:
    used = {}
    here = psutil.Process()
    for process in [here, *here.children(recursive=True)]:
        try:
            times = process.cpu_times()
            used[process.pid] = (_name(process), times.user + times.system)
        except psutil.Error:
            continue
    return used


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    if "-c" in command[1:4] and (parent := process.parent()) is not None:  # spawned by multiprocessing
        return _name(parent)
    return process_name(command) or str(process.name())


def _ended_s() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


def process_name(command: Sequence[str]) -> str:
    """Return a short name of a command line; the parts of one Ray actor or one program have the same.

    >>> process_name(["ray::MatchActor.run"]), process_name(["/usr/bin/python3.11", "-m", "bench", "swaps"])
    ('ray::MatchActor', 'bench')
    """
    if not command:
        return ""
    if replica := re.search(r"(ServeReplica:[^:]+)", command[0]):
        return replica[1]
    if command[0].startswith("ray"):
        return re.split(r"[. ]|-[A-Z]", command[0])[0]
    program = Path(command[0]).name
    if program.startswith("python"):
        words = [word for word in command[1:] if not word.startswith("-")]
        return Path(words[0]).name if words else program
    return program


_load_before: list[float] = []


def note_load() -> None:
    """Note how busy the machine is before a bench begins; its lines say so."""
    _load_before[:] = [round(os.getloadavg()[0], 2)]


def report(bench: str, config: dict[str, Any], result: dict[str, Any]) -> None:
    """Print a bench's one line. `config["seed"]` is what was drawn with; without it nothing was."""
    line = {"bench": bench, "question": question(bench), "config": config, "seed": config.get("seed"), **result}
    print(json.dumps(line | {"commit": _commit(), "machine": _machine()}), flush=True)


def skip(bench: str, reason: str) -> None:
    """Print that a bench, or a part of it, was not run, and why."""
    report(bench, {}, {"skipped": reason})


def question(bench: str) -> str:
    """Return what a bench answers: the first line of its docstring."""
    return (import_module(f"bench.{bench}").__doc__ or "").strip().partition("\n")[0]


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "load_before": _load_before[0] if _load_before else round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    names = [each for each in Path("/proc/cpuinfo").read_text().splitlines() if each.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
