"""What one record, one forecast and one row of the model cost: microseconds of CPU, and times `json.loads` of a record.

One recorded match (cluster/demo/wyscout_2500686) with its ticks, everything in this process on one thread. Closed
loop: the next item begins when the last one ended, so this says what a core can carry, not how long anybody waits.
Each figure is the median of five passes. The reference, `json.loads` of every record of the same match, is taken
before and after each pass: `times_json` is the median of the passes' ratios, and compares between machines.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from actors.adapters.feeds import read_feed
from actors.domain.distribution import ForecastInputs, ScoreDistribution
from actors.domain.events import FeedRecord, decode_record, encode_record
from actors.domain.fixtures import Fixture
from actors.domain.markets import derive_markets
from actors.domain.match import MatchState, forecast_inputs, new_match
from actors.machines.match import Entry, Reforecast, step
from actors.machines.replay import schedule
from bench.harness import report
from cluster.audit import MODELS
from cluster.feeds import DEMO
from training.network import TorchForecaster, load_model

MATCH = DEMO / "wyscout_2500686.json.xz"
PASSES = 5
BATCH_ROWS = 32  # as served


def run() -> None:
    """Print one line per piece."""
    torch.set_num_threads(1)
    fixture, records = match_of(MATCH)
    encoded = [encode_record(record) for record in records]
    inputs = inputs_of(fixture, encoded)
    model = load_model(_newest_model(), batch_rows=BATCH_ROWS)
    distributions = [prediction.distribution for prediction in model.predict(inputs)]

    def reference() -> None:
        for value in encoded:
            json.loads(value)

    bench = _Bench(reference, len(encoded))
    bench.measure("encode_record", len(records), lambda: _each(encode_record, records))
    bench.measure("decode_record", len(encoded), lambda: _decode(fixture.match_id, encoded))
    bench.measure("fold_step", len(encoded), lambda: _fold(fixture, encoded))
    bench.measure("derive_markets", len(distributions), lambda: _derive(distributions))
    for batch in (1, BATCH_ROWS):
        pieces = [inputs[i : i + batch] for i in range(0, len(inputs), batch)]
        bench.measure(f"forecaster_batch_{batch}", len(inputs), lambda pieces=pieces: _predict(model, pieces))  # type: ignore[misc]


class _Bench:
    """Measures a piece between two passes of the reference."""

    def __init__(self, reference: Callable[[], None], records: int) -> None:
        self._reference, self._records = reference, records

    def measure(self, piece: str, items: int, work: Callable[[], object]) -> None:
        """Print what one of `items` costs."""
        costs, ratios = [], []
        work()  # warm
        for _ in range(PASSES):
            before = _cpu_s(self._reference) / self._records
            cost = _cpu_s(work) / items
            after = _cpu_s(self._reference) / self._records
            costs.append(cost)
            ratios.append(2 * cost / (before + after))
        cost = statistics.median(costs)
        result = {"n": items, "us": round(cost * 1e6, 2), "per_s": round(1 / cost)}
        report(
            "pieces", {"piece": piece, "passes": PASSES}, result | {"times_json": round(statistics.median(ratios), 2)}
        )


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def match_of(path: Path) -> tuple[Fixture, list[FeedRecord]]:
    """Read a recorded match and the records that it is played as, ticks included."""
    feed = read_feed(path)
    return feed.fixture, [timed.record for timed in schedule(feed)]


def inputs_of(fixture: Fixture, encoded: Sequence[bytes]) -> list[ForecastInputs]:
    """Return what the model is asked in the course of the match."""
    state, asked = new_match(fixture), list[ForecastInputs]()
    for offset, value in enumerate(encoded):
        state, effects = step(state, Entry(offset=offset, key=fixture.match_id, value=value))
        if any(isinstance(effect, Reforecast) for effect in effects):
            asked.append(forecast_inputs(state))
    return asked


def _fold(fixture: Fixture, encoded: Sequence[bytes]) -> MatchState:
    """Fold as a match actor does: decoding included."""
    state = new_match(fixture)
    for offset, value in enumerate(encoded):
        state, _ = step(state, Entry(offset=offset, key=fixture.match_id, value=value))
    return state


def _each(function: Callable[[FeedRecord], object], records: Sequence[FeedRecord]) -> None:
    for record in records:
        function(record)


def _decode(match_id: str, encoded: Sequence[bytes]) -> None:
    for value in encoded:
        decode_record(match_id, value)


def _derive(distributions: Sequence[ScoreDistribution]) -> None:
    for distribution in distributions:
        derive_markets(distribution)


def _predict(model: TorchForecaster, batches: Sequence[list[ForecastInputs]]) -> None:
    for batch in batches:
        model.predict(batch)


def _newest_model() -> Path:
    return max(MODELS.glob("*/manifest.json")).parent
