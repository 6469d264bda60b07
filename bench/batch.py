"""How many forecasts a second does a batch give, ensemble and markets included, beside plain torch on the same tensors?

States are those that the recorded matches of cluster/demo ask a forecast for, shuffled, by the 1,000; each goes through
the network every time, and only what is solved from its prices before kick-off is remembered, as in the product. `ours`
is from inputs to the JSON of all markets and the intervals, `arrays` to their values without the JSON; `torch` is the
same network's operations on tensors that are read already, nothing before and nothing behind; `network` and `markets`
are the two parts of `ours`. They take turns, three rounds, in one process and in two at once.
"""

import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.domain.distribution import ForecastInputs
from actors.domain.market_values import market_values
from actors.domain.markets_json import distributions_json
from bench.harness import report

ROWS = 1000
ROUNDS = 3
ROUND_S = 4.0
SEED = 7
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
_systems: dict[str, Callable[[], object]] = {}  # of a worker


def run(rounds: int = ROUNDS, round_s: float = ROUND_S) -> None:
    """Print one line per system and number of processes."""
    os.environ |= _ONE_THREAD  # workers inherit it
    for processes in (1, 2):
        with multiprocessing.get_context("spawn").Pool(processes, _prepare) as pool:
            rates: dict[str, list[float]] = {}
            costs: dict[str, list[float]] = {}
            for _ in range(rounds):
                for name in ("ours", "arrays", "torch", "network", "markets"):
                    done = pool.starmap(_measure, [(name, round_s)] * processes, chunksize=1)
                    rates.setdefault(name, []).append(sum(rows / wall_s for rows, wall_s, _ in done))
                    costs.setdefault(name, []).append(sum(cpu_s / rows for rows, _, cpu_s in done) / processes)
        for name, found in rates.items():
            config = {
                "system": name,
                "processes": processes,
                "rows": ROWS,
                "rounds": rounds,
                "round_s": round_s,
                "seed": SEED,
            }
            report("batch", config, _result(found, costs[name]))


def _result(rates: Sequence[float], costs: Sequence[float]) -> dict[str, Any]:
    return {
        "forecasts_per_s": round(statistics.median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "cpu_us": round(statistics.median(costs) * 1e6, 2),
    }


def _measure(name: str, round_s: float) -> tuple[int, float, float]:
    """Return how many forecasts were made in a round, in how many seconds, with how much CPU."""
    work, rows = _systems[name], 0
    began, cpu_began = time.perf_counter(), time.process_time()
    while (wall_s := time.perf_counter() - began) < round_s:
        work()
        rows += ROWS
    return rows, wall_s, time.process_time() - cpu_began


def _prepare() -> None:
    """Set a worker up: states, model, and the systems that are compared, each run once."""
    import torch

    from bench.pieces import newest_model
    from tests.unit import network_reference
    from training.model_file import read_model
    from training.network import load_model

    torch.set_num_threads(1)
    model, rows = load_model(newest_model()), _states()
    anchors = [anchored.anchor for anchored in model.anchors(rows)]
    tensors = network_reference.prepare(read_model(newest_model()), list(zip(rows, anchors, strict=True)))
    distributions = model.predict_rows(rows).distributions

    def plain() -> None:
        with torch.inference_mode():
            network_reference.answers(tensors)

    _systems["ours"] = lambda: distributions_json(model.predict_rows(rows).distributions)
    _systems["arrays"] = lambda: market_values(model.predict_rows(rows).distributions)
    _systems["torch"] = plain
    _systems["network"] = lambda: model.predict_rows(rows)
    _systems["markets"] = lambda: distributions_json(distributions)
    for work in _systems.values():
        work()


def _states() -> list[ForecastInputs]:
    from bench.pieces import asked_in
    from cluster.feeds import DEMO

    asked = [inputs for match in sorted(DEMO.glob("*.json.xz")) for inputs in asked_in(match)]
    return random.Random(SEED).sample(asked, ROWS)
