"""The in-play network: the odds-anchored chain, its rates corrected by what the match has shown so far."""

import math
from collections.abc import Sequence

import torch

from actors.domain.distribution import ForecastInputs
from training.anchored import Anchor, Answer, Parts, distributions, score_grids
from training.delta import intervals, three_way
from training.even_chain import EvenChain
from training.evidence import EvidenceReader, ShotLevels
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
        self._weights: list[float] = tensors["weights"].tolist()
        self._spread = tensors["spread"]
        providers = zip(files.vocabulary.shot_providers, tensors["shot_scale"].tolist(), strict=True)
        shots = ShotLevels(
            level=tensors["shot_level"].tolist(), effect=tensors["shot_effect"].tolist(), scale=dict(providers)
        )
        self.reader = EvidenceReader(clock=self.clock, effect=tensors["effect"].tolist(), shots=shots)

    def rows_at_once(self, batch_rows: int) -> int:
        return _BATCHES * batch_rows

    def answers(self, rows: Sequence[tuple[ForecastInputs, Anchor]], width: int) -> list[Answer]:
        """Run the chain for rows that need no padding: none of its operations depends on how many there are."""
        evidence = [self.reader.read(inputs, anchor.home_rate, anchor.away_rate) for inputs, anchor in rows]
        factors = [[self._factor(row.dot(self._weights)) for row in sides] for sides in evidence]
        before = [(anchor.home_rate, anchor.away_rate) for _, anchor in rows]
        rates = torch.tensor(before, dtype=torch.float64).T * torch.tensor(factors, dtype=torch.float64).T
        left = torch.tensor([[self.clock.left(row.period, row.clock_ms) for row, _ in rows]], dtype=torch.float64)
        lead = torch.tensor([row.home_goals - row.away_goals for row, _ in rows])
        tilt = torch.tensor([anchor.tilt for _, anchor in rows], dtype=torch.float64)
        grids = score_grids(self._even, rates, left, lead, tilt)
        chances = three_way(torch.from_numpy(grids[0]).permute(1, 2, 0).flip(1), lead)
        bounds = intervals(self._even, rates, left, lead, tilt, evidence, self._spread, chances)
        return list(zip(distributions([inputs for inputs, _ in rows], *grids), bounds, strict=True))

    def _factor(self, log: float) -> float:
        return math.exp(max(-_MOST_LOG, min(_MOST_LOG, log)))
