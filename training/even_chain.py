"""The score-state chain whose effect of the score is the same in every block: it needs one step, not nineteen.

Then only the share of goals still to come matters, not how it is spread over blocks, and the chain's matrix
exponential is one series. The same restrictions hold as in `training.chain`: single elements are added, multiplied and
compared, nothing else, so that a row's bits depend on its own numbers alone.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from actors.domain.grid import IntArray
from training.chain import GOALS, tree_sum
from training.lanes import fill_series

Floats = NDArray[Any]  # double or single
_TERMS = ((0.25, 6), (0.5, 8), (1.0, 11), (2.0, 15), (3.5, 20), (6.0, 27), (10.0, 37), (20.0, 60))  # least P < 1e-8
_BOUNDS, _COUNTS = np.array([bound for bound, _ in _TERMS[:-1]]), np.array([count for _, count in _TERMS])
_RECIPROCALS = np.array([0.0, *(1 / k for k in range(1, _TERMS[-1][1] + 1))])


class EvenChain(nn.Module):
    """Hazard of a side = its rate x the effect of the score as it then stands, per share of the match's goals.

    Grids are laid out as `training.chain.ScoreChain` has them. Source: model notes of the project, "In play", steps 2
    to 5; the series is the uniformised one of Jensen (1953), Skand. Aktuarietidskr. 36.
    """

    effect: Tensor  # (2, LEADS), home first

    def __init__(self, effect: Tensor) -> None:
        super().__init__()
        self.register_buffer("effect", effect)
        self._most: list[float] = effect.amax(dim=1).tolist()

    def forward(self, rates: Tensor, shares: Tensor, lead: Tensor, *, first: int | None = None) -> Tensor:
        """Return the unnormalised grid of remaining goals; arguments and layout as those of `ScoreChain.forward`.

        It is of the type of `rates`, and has no derivatives.
        """
        exposure = (rates * tree_sum(shares)).numpy()
        return torch.from_numpy(self.grids(exposure, lead.numpy(), opened=first is not None))

    def grids(self, exposure: Floats, lead: IntArray, *, opened: bool) -> Floats:
        """Return what `forward` does, from rates (2, rows) times the share of the match's goals that is to come."""
        exposure, kind = np.ascontiguousarray(exposure), exposure.dtype
        most = exposure[0] * self._most[0] + exposure[1] * self._most[1]
        grid = np.empty((GOALS, GOALS, len(lead) * (1 + opened)), kind)
        effect, reciprocals = (each.astype(kind) for each in (self.effect.numpy(), _RECIPROCALS))
        fill_series(effect, exposure, lead, most, terms_needed(most), reciprocals, opened, grid)
        return grid


def terms_needed(most: Floats) -> IntArray:
    """Return how many terms each row's series needs, by its highest total hazard `most` (rows,)."""
    return _COUNTS[np.searchsorted(_BOUNDS.astype(most.dtype), most)]
