"""The models as serving runs them: inputs in, score distributions out, the same bits in any batch."""

import logging
import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from actors.domain.distribution import ForecastInputs, Intervals, Prediction, Runtime, ScoreDistribution
from actors.domain.errors import ModelRejected
from training.anchored import Anchor, AnchoredParts, Parts, chunks
from training.chain import GOALS
from training.inplay import InPlayParts
from training.model_file import ANCHORED, Golden, Manifest, read_model

BATCH_ROWS = 32
GOLDEN_TOLERANCE = 1e-9  # another libm may round the last bit of a de-vigged price otherwise
_CACHED_ANCHORS = 4096  # of 0.5 KB; prices before kick-off hold for the whole match

logger = logging.getLogger(__name__)


class AnchorCache:
    """The newest anchors by what they were solved from. An anchor depends on its key alone, so a hit changes no bit."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._anchors: OrderedDict[Hashable, Anchor] = OrderedDict()

    def get(self, key: Hashable) -> Anchor | None:
        """Return the anchor and make it the newest, or None."""
        with self._lock:
            anchor = self._anchors.get(key)
            if anchor is not None:
                self._anchors.move_to_end(key)
            return anchor

    def put(self, key: Hashable, anchor: Anchor) -> None:
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
        with torch.inference_mode():
            keys = [self._parts.anchor_key(row) for row in inputs]
            anchors = self._anchors([key for key, _ in keys])
            predictions: list[Prediction] = []
            for chunk in chunks(len(inputs), self._parts.rows_at_once(self._batch_rows)):
                rows = [(inputs[i], anchors[keys[i][0]]) for i in chunk]
                for i, answer in zip(chunk, self._parts.answers(rows, self._batch_rows), strict=True):
                    predictions.append(self._prediction(*answer, anchors[keys[i][0]], keys[i][1]))
            return predictions

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

    def _prediction(
        self, distribution: ScoreDistribution, intervals: Intervals | None, anchor: Anchor, basis: str
    ) -> Prediction:
        return Prediction(
            distribution=distribution,
            model_version=self.model_version,
            basis=basis,
            home_rate=anchor.home_mean,
            away_rate=anchor.away_mean,
            runtime=self._runtime,
            intervals=intervals,
        )

    def _anchors(self, keys: Sequence[Hashable]) -> dict[Hashable, Anchor]:
        """Return the anchor of every key, from the cache or solved."""
        found = {key: self._cache.get(key) for key in keys}
        anchors = {key: anchor for key, anchor in found.items() if anchor is not None}
        missing = [key for key, anchor in found.items() if anchor is None]
        for key, anchor in self._parts.solve(missing, self._batch_rows):
            self._cache.put(key, anchor)
            anchors[key] = anchor
        return anchors


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
