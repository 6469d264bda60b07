"""The score-state chain whose effect of the score is the same in every block: it needs one step, not nineteen.

Then only the share of goals still to come matters, not how it is spread over blocks, and the chain's matrix
exponential is one series. The same restrictions hold as in `training.chain`: single elements are added, multiplied and
compared, nothing else, so that a row's bits depend on its own numbers alone.
"""

import torch
from torch import Tensor, nn

from training.chain import GOALS, LEADS, tree_sum

_CELLS = 2 * GOALS - 1
_TERMS = ((0.25, 6), (0.5, 8), (1.0, 11), (2.0, 15), (3.5, 20), (6.0, 27), (10.0, 37), (20.0, 60))  # least P < 1e-8


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

        It is of the type of `rates`.
        """
        exposure = rates * tree_sum(shares)
        most = exposure[0] * self._most[0] + exposure[1] * self._most[1]
        terms = terms_needed(most)
        rows = rates.shape[1]
        grid = torch.zeros((GOALS, GOALS, rows if first is None else 2 * rows), dtype=rates.dtype)
        for count in sorted(set(terms)):  # each row gets the terms that it needs by itself
            at = torch.tensor([row for row, needed in enumerate(terms) if needed == count])
            part = self._series(exposure[:, at], lead[at], count, most[at], first is not None)
            grid[:, :, at if first is None else torch.cat((at, at + rows))] = part
        return grid

    def _series(self, exposure: Tensor, lead: Tensor, terms: int, most: Tensor, split: bool) -> Tensor:
        """Sum the first `terms` terms, each in the cells that so many goals can reach; away across, reversed."""
        rows = exposure.shape[1]
        home, away = self._hazards(exposure, lead)
        width = 2 * rows if split else rows
        stay = most - home - away
        if split:
            home, away, stay = (torch.cat((each, each), dim=2) for each in (home, away, stay))
        term = torch.zeros((GOALS, GOALS, width), dtype=exposure.dtype)
        term[0, 0, :rows] = 1.0
        grid = term.clone()
        for k in range(1, terms + 1):
            size = min(k + 1, GOALS)
            held, now = term[:size, :size], stay[:size, :size] * term[:size, :size]
            scored = home[: size - 1, :size] * held[:-1]
            now[1:] += scored
            if split:  # the paths that home opens leave the goalless cell of the whole grid
                now[1, 0, rows:] += scored[0, 0, :rows]
            now[:, 1:] += away[:size, : size - 1] * held[:, :-1]
            now *= 1 / k
            grid[:size, :size] += now
            term[:size, :size] = now
        return grid.flip(1)

    def _hazards(self, exposure: Tensor, lead: Tensor) -> tuple[Tensor, Tensor]:
        """Return (GOALS, GOALS, rows) for home and for away; 0 where the next goal would leave the grid."""
        index = torch.arange(GOALS)
        key = torch.arange(_CELLS).unsqueeze(1) - (GOALS - 1)
        state = (lead.unsqueeze(0) + key).clamp(-(LEADS // 2), LEADS // 2) + LEADS // 2
        by_lead = self.effect.to(exposure.dtype)[:, state] * exposure.unsqueeze(1)
        home, away = by_lead[:, index.unsqueeze(1) - index + GOALS - 1]
        home[-1], away[:, -1] = 0.0, 0.0
        return home, away


def terms_needed(most: Tensor) -> list[int]:
    """Return how many terms each row's series needs, by its highest total hazard `most` (rows,)."""
    bounds = torch.tensor([bound for bound, _ in _TERMS[:-1]], dtype=most.dtype)
    return [_TERMS[place][1] for place in torch.bucketize(most, bounds).tolist()]
