"""The models as serving runs them: inputs in, score distributions out, the same bits in any batch."""

import logging
import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch

from actors.domain.distribution import Distributions, ForecastInputs, Intervals, Prediction, Predictions, Runtime
from actors.domain.errors import ModelRejected
from training.anchored import Anchor, AnchoredParts, Parts, chunks
from training.chain import GOALS
from training.delta import LEVEL
from training.inplay import InPlayParts
from training.model_file import ANCHORED, Golden, Manifest, read_model

BATCH_ROWS = 32
GOLDEN_TOLERANCE = 1e-9  # another libm may round the last bit of a de-vigged price otherwise
_CACHED_ANCHORS = 4096  # of 0.5 KB; prices before kick-off hold for the whole match

_source = attrgetter("league", "home_team", "away_team", "anchor_1x2", "anchor_over_under")  # of an anchor
logger = logging.getLogger(__name__)


class Anchored(NamedTuple):
    """An anchor, and the name of what it rests on."""

    anchor: Anchor
    basis: str


class AnchorCache:
    """The newest anchors by their sources: they depend on nothing else, so a hit changes no bit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._anchors: OrderedDict[Hashable, Anchored] = OrderedDict()

    def get(self, key: Hashable) -> Anchored | None:
        """Return the anchor and make it the newest, or None."""
        with self._lock:
            anchor = self._anchors.get(key)
            if anchor is not None:
                self._anchors.move_to_end(key)
            return anchor

    def put(self, key: Hashable, anchor: Anchored) -> None:
        """Keep an anchor; the oldest goes where there are too many."""
        with self._lock:
            self._anchors[key] = anchor
            while len(self._anchors) > self._limit:
                self._anchors.popitem(last=False)

    def __len__(self) -> int:
        return len(self._anchors)

    def __reduce__(self) -> tuple[type["AnchorCache"], tuple[int]]:
        return AnchorCache, (self._limit,)  # a copy starts empty: locks do not travel, and nothing depends on it


class TorchForecaster:
    """Implements domain.Forecaster. Rows go through the chain in batches that follow from `batch_rows`.

    No row's value depends on the others or on `batch_rows`: see `training.chain`. Prices that are no book (which the
    fold rejects before) count as none. Safe to share between threads; fastest with `torch.set_num_threads(1)`.
    """

    def __init__(self, folder: Path, batch_rows: int = BATCH_ROWS, cached_anchors: int = _CACHED_ANCHORS) -> None:
        """Load a model's folder; raises ModelRejected."""
        if batch_rows < 1:
            raise ValueError(f"batch_rows must be positive, was {batch_rows}")
        files = read_model(folder)
        self.manifest: Manifest = files.manifest
        self._parts: Parts = AnchoredParts(files) if files.manifest.format == ANCHORED else InPlayParts(files)
        self._batch_rows = batch_rows
        self._cache = AnchorCache(cached_anchors)
        self._runtime = Runtime(torch=str(torch.__version__), cpu_capability=torch.backends.cpu.get_cpu_capability())

    @property
    def model_version(self) -> str:
        return self.manifest.model_version

    @property
    def golden_inputs(self) -> tuple[ForecastInputs, ...]:
        """What it checks itself with: typical inputs, and the odd ones."""
        return tuple(vector.inputs for vector in self.manifest.golden)

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Forecast each of the inputs, in their order."""
        return self.predict_rows(inputs).each() if inputs else []

    def predict_rows(self, inputs: Sequence[ForecastInputs]) -> Predictions:
        """Forecast one row of inputs or more, without an object for each."""
        with torch.inference_mode():
            sources = list(map(_source, inputs))
            anchored = self._anchored(dict(zip(sources, inputs, strict=True)))
            anchors = [anchored[source].anchor for source in sources]
            parts = [
                self._parts.answers(
                    inputs[chunk.start : chunk.stop], anchors[chunk.start : chunk.stop], self._batch_rows
                )
                for chunk in chunks(len(inputs), self._parts.rows_at_once(self._batch_rows))
            ]
        first = np.concatenate([part.first for part in parts], axis=1)
        bounds = [part.bounds for part in parts if part.bounds is not None]
        distributions = Distributions(
            home_goals=np.array([row.home_goals for row in inputs]),
            away_goals=np.array([row.away_goals for row in inputs]),
            remaining=np.concatenate([part.remaining for part in parts]),
            next_home=first[0],
            next_away=first[1],
        )
        return Predictions(
            distributions=distributions,
            model_version=self.model_version,
            bases=tuple(anchored[source].basis for source in sources),
            home_rate=np.array([anchor.home_mean for anchor in anchors]),
            away_rate=np.array([anchor.away_mean for anchor in anchors]),
            runtime=self._runtime,
            level=LEVEL,
            bounds=np.concatenate(bounds) if bounds else None,
        )

    def verify(self) -> float:
        """Recompute the manifest's golden vectors; return the largest difference (0.0: the same bits).

        Raises:
            ModelRejected: There are none, or a difference is above GOLDEN_TOLERANCE, or a basis is another.
        """
        golden = self.manifest.golden
        if not golden:
            raise ModelRejected(self.model_version, "has no golden vectors")
        answers = self.predict([vector.inputs for vector in golden])
        worst = max(_difference(vector, answer) for vector, answer in zip(golden, answers, strict=True))
        if not worst <= GOLDEN_TOLERANCE:
            raise ModelRejected(self.model_version, f"golden vectors differ by {worst:.3g}")
        return worst

    def _anchored(self, rows: dict[Hashable, ForecastInputs]) -> dict[Hashable, Anchored]:
        """Return the anchor of each source, from the cache or solved; `rows` has some inputs with each."""
        found = {source: self._cache.get(source) for source in rows}
        known = {source: anchored for source, anchored in found.items() if anchored is not None}
        keys = {source: self._parts.anchor_key(rows[source]) for source in rows if source not in known}
        solved = dict(self._parts.solve(list(dict.fromkeys(key for key, _ in keys.values())), self._batch_rows))
        for source, (key, basis) in keys.items():
            known[source] = Anchored(solved[key], basis)
            self._cache.put(source, known[source])
        return known


def load_model(folder: Path, batch_rows: int = BATCH_ROWS) -> TorchForecaster:
    """Load a model and check it against its golden vectors; raises ModelRejected."""
    forecaster = TorchForecaster(folder, batch_rows)
    difference = forecaster.verify()
    logger.info("Model loaded", extra={"model_version": forecaster.model_version, "golden_difference": difference})
    return forecaster


def _difference(vector: Golden, answer: Prediction) -> float:
    """Return the largest difference of an answer from its golden vector; infinity if the basis is another."""
    expected, distribution = vector.expected, answer.distribution
    if answer.basis != expected.basis or (answer.intervals is None) != (expected.intervals is None):
        return math.inf
    if np.shape(expected.remaining) != (GOALS, GOALS):
        return math.inf
    received = (answer.home_rate, answer.away_rate, distribution.next_home, distribution.next_away)
    wanted = (expected.home_rate, expected.away_rate, expected.next_home, expected.next_away)
    apart = np.abs(np.subtract((*received, *_bounds(answer.intervals)), (*wanted, *_bounds(expected.intervals))))
    return float(max(apart.max(), np.abs(distribution.remaining - np.array(expected.remaining)).max()))


def _bounds(intervals: Intervals | None) -> tuple[float, ...]:
    return () if intervals is None else (*intervals.home, *intervals.draw, *intervals.away)
