"""The score-state chain: scoring rates and a clock in, the joint distribution of the goals still to come out.

Every number is made by additions, multiplications, divisions and comparisons of single elements, which IEEE 754
rounds in one way only; sums are trees of such additions. So a row's result is the same bits in any batch, at any
position, beside any neighbours, on any vector unit. That is why there is no matmul, no `sum`, no `exp` and no fused
`alpha=` here: their rounding depends on how many rows share the call.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

BLOCKS = 19  # of five minutes; the ninth holds the first half's stoppage, the last is 90+
LEADS = 7  # goal difference of home, -3..3, wider leads count as three
GOALS = 11  # remaining goals per side, 0..10
_TERMS = 4  # of the exponential series per block; what is cut off is below 1e-5 for any rate a market implies
_KEYS = 2 * GOALS - 1


def tree_sum(values: Tensor) -> Tensor:
    """Add up the first axis pairwise, in an order that depends on its length alone.

    >>> tree_sum(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    tensor([ 9., 12.])
    """
    while len(values) > 1:
        half = len(values) // 2
        odd = values[2 * half :]
        values = values[:half] + values[half : 2 * half]
        if len(odd):
            values = torch.cat((values, odd))
    return values[0]


class Chain(Protocol):
    """Rates and a clock in, unnormalised grids of the goals still to come out; see `ScoreChain.forward`."""

    def __call__(self, rates: Tensor, shares: Tensor, lead: Tensor, *, first: int | None = None) -> Tensor: ...


class ScoreChain(nn.Module):
    """Hazard of a side in a block = its rate x the block's share x the effect of the score as it then stands.

    Grids are (GOALS, GOALS, rows): goals still to come of home down, of away across **in reverse**, so that cells of
    one goal difference lie on antidiagonals and their hazards are views, not copies. Rows come last to be contiguous.
    Source: model notes of the project, "In play", steps 2 to 5; the series is the uniformised one of Jensen (1953).
    """

    effect: Tensor  # (2, BLOCKS, LEADS), home first

    def __init__(self, effect: Tensor) -> None:
        super().__init__()
        self.register_buffer("effect", effect)

    def forward(self, rates: Tensor, shares: Tensor, lead: Tensor, *, first: int | None = None) -> Tensor:
        """Return the unnormalised grid of remaining goals, (GOALS, GOALS, rows).

        Args:
            rates: (2, rows) rates of home and away, red cards included.
            shares: (BLOCKS, rows) share of a match's goals still to come in each block; 0 for what is over.
            lead: (rows,) goals that home is ahead, int64.
            first: Behind the grid's rows, append as many with the part in which home scores the next goal, if 0.
        """
        hazards = self._hazards(rates, shares, lead)
        rows = rates.shape[1]
        width = rows if first is None else 2 * rows
        if first is not None:
            hazards = torch.cat((hazards, hazards), dim=3)
        grid = torch.zeros((GOALS, GOALS, width), dtype=torch.float64)
        grid[0, GOALS - 1, :rows] = 1.0
        for block in range(BLOCKS):
            if bool((shares[block] > 0).any()):  # a block without hazard changes no bit, so skipping it does not either
                grid = _advance(grid, hazards[0, block], hazards[1, block], rows if first is not None else None)
        return grid

    def _hazards(self, rates: Tensor, shares: Tensor, lead: Tensor) -> Tensor:
        """Return (2, BLOCKS, _KEYS, rows): the hazard of each side at goal difference lead + key - 10."""
        key = torch.arange(_KEYS).unsqueeze(1) - (GOALS - 1)
        state = (lead.unsqueeze(0) + key).clamp(-(LEADS // 2), LEADS // 2) + LEADS // 2
        base = rates.unsqueeze(1) * shares.unsqueeze(0)
        return self.effect[:, :, state] * base.unsqueeze(2)


def _advance(grid: Tensor, home: Tensor, away: Tensor, split: int | None) -> Tensor:
    """Move the grid through one block; goals beyond the last cell stay in it. Scales all cells of a row alike."""
    rows = grid.shape[2]
    home_out = home.as_strided((GOALS, GOALS, rows), (rows, rows, 1))[:-1]
    away_out = away.as_strided((GOALS, GOALS, rows), (rows, rows, 1))[:, 1:]
    leave = torch.zeros_like(grid)
    leave[:-1] = home_out
    leave[:, 1:] += away_out
    stay = leave.amax(dim=(0, 1)) - leave
    moved, moving = grid, torch.empty_like(grid)
    for term in range(_TERMS, 0, -1):
        step = stay * moved
        scored = torch.mul(home_out, moved[:-1], out=moving[:-1])
        step[1:] += scored
        if split is not None:  # the paths that home opens leave the goalless cell of the whole grid
            step[1, -1, split:] += scored[0, -1, :split]
        step[:, :-1] += torch.mul(away_out, moved[:, 1:], out=moving[:, 1:])
        if term > 1:
            step *= 1 / term
        moved = step.add_(grid)
    return moved
