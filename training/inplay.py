"""The in-play network: the odds-anchored chain, its rates corrected by what the match has shown so far."""

import math
from collections.abc import Sequence

import numpy as np

from actors.domain.distribution import FloatArray, ForecastInputs
from training.anchored import Anchor, Answers, Parts, read_score_grids
from training.delta import intervals
from training.even_chain import EvenChain
from training.evidence import EvidenceReader, ShotLevels, dots
from training.model_file import ModelFiles

_BATCHES = 8  # of these rows are as fast as one, whose time goes into starting operations
_MOST_LOG = 1.5  # a correction beyond e^1.5 is no match but a broken feed


class InPlayParts(Parts):
    """Where rates come from, and the chain; beside the odds-anchored model's: the corrections and their intervals."""

    def __init__(self, files: ModelFiles) -> None:
        super().__init__(files)
        tensors = files.tensors
        assert isinstance(self.chain, EvenChain)  # as read_model has checked
        self._even = self.chain
        self._weights: FloatArray = tensors["weights"].numpy()
        self._spread = np.ascontiguousarray(tensors["spread"].numpy(), dtype=np.float32)
        providers = zip(files.vocabulary.shot_providers, tensors["shot_scale"].tolist(), strict=True)
        shots = ShotLevels(
            level=tensors["shot_level"].tolist(), effect=tensors["shot_effect"].tolist(), scale=dict(providers)
        )
        self.reader = EvidenceReader(clock=self.clock, effect=tensors["effect"].tolist(), shots=shots)

    def rows_at_once(self, batch_rows: int) -> int:
        return _BATCHES * batch_rows

    def answers(self, rows: Sequence[ForecastInputs], anchors: Sequence[Anchor], width: int) -> Answers:
        """Run the chain for rows that need no padding: none of its operations depends on how many there are."""
        before = np.ascontiguousarray(np.array(anchors).T)  # (5, rows)
        evidence = self.reader.read(rows, before[:2])
        rates = before[:2] * self._factors(dots(evidence, self._weights))
        lead = np.array([row.home_goals - row.away_goals for row in rows])
        grids = read_score_grids(self._even.grids(rates * evidence.left, lead, opened=True), before[2], lead)
        bounds = intervals(self._even, rates, lead, before[2], evidence, self._spread, grids.chances)
        return Answers(remaining=grids.remaining, first=grids.first, bounds=bounds)

    def _factors(self, logs: FloatArray) -> FloatArray:
        bounded = np.clip(logs, -_MOST_LOG, _MOST_LOG)
        return np.array([[math.exp(log) for log in side] for side in bounded.tolist()])  # not numpy's: other last bits
