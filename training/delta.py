"""Intervals of the result's probabilities: how far they move when the weights move as the bootstrap says they may.

The delta method on the log-odds: the slope of each by both sides' log rates, by a nudge of each rate, times the
covariance of the log rates under the weights' covariance. Only single elements are added, multiplied, divided and
rooted in tensors, so that a row's bits depend on its own numbers alone, as in `training.chain`.
Source: model notes of the project, "In play", "Intervals": the bootstrap over matches covers, the Hessian does not.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from actors.domain.distribution import Intervals
from training.anchors import tilted
from training.chain import GOALS, tree_sum
from training.even_chain import EvenChain
from training.evidence import Row

LEVEL = 0.9
_Z = 1.6448536269514722  # the normal's quantile at (1 + LEVEL) / 2
_NUDGE = 0.01  # of a rate: large beside what the series cuts off, small beside its curvature
_LEAST = 1e-12  # a probability below it is none


def intervals(
    chain: EvenChain,
    rates: Tensor,
    left: Tensor,
    lead: Tensor,
    tilt: Tensor,
    rows: Sequence[tuple[Row, Row]],
    spread: Tensor,
    chances: Tensor,
) -> list[Intervals]:
    """Return the interval of each row. Single precision does: widths need three digits.

    Args:
        rates, left, lead, tilt: As for `training.anchored.score_grids`; left is (1, rows).
        rows: Evidence of home and away.
        spread: (NAMES, NAMES) factor of the weights' covariance: that is spread @ spread.T.
        chances: (3, rows) of home, draw and away.
    """
    rates, left, tilt, spread = (each.float() for each in (rates, left, tilt, spread))
    more = 1 + _NUDGE
    nudged = torch.stack((torch.cat((rates[0] * more, rates[0])), torch.cat((rates[1], rates[1] * more))))
    leads = lead.repeat(2)
    moved = three_way(tilted(chain(nudged, left.repeat(1, 2), leads), tilt.repeat(2), leads), leads).view(3, 2, -1)
    slopes = (_odds(moved) / _odds(chances.float()).unsqueeze(1) - 1) / _NUDGE
    moves = [_moves([row[side] for row in rows], spread) for side in (0, 1)]
    spreads = slopes[:, :1] * moves[0] + slopes[:, 1:] * moves[1]  # (3, NAMES, rows)
    deviation = tree_sum((spreads * spreads).transpose(0, 1)).sqrt()
    return [_interval(*columns) for columns in zip(chances.T.tolist(), deviation.T.tolist(), strict=True)]


def _odds(chances: Tensor) -> Tensor:
    """Return each of the three first rows over the sum of the two others, whose digits 1 - chance would lose."""
    home, draw, away = chances.clamp(min=_LEAST)
    return torch.stack((home / (draw + away), draw / (home + away), away / (home + draw)))


def three_way(grid: Tensor, lead: Tensor) -> Tensor:
    """Return (3, rows): the share of home, draw and away in (GOALS, GOALS, rows), home being `lead` (rows,) ahead."""
    index = torch.arange(GOALS)
    final = (index.unsqueeze(1) - index.flip(0)).unsqueeze(2) + lead
    sides = (final > 0, final == 0, final < 0)
    mass = torch.stack([tree_sum((grid * side).reshape(-1, grid.shape[2])) for side in sides])
    return mass / tree_sum(mass)


def _moves(rows: Sequence[Row], spread: Tensor) -> Tensor:
    """Return (NAMES, rows): how a side's log rate moves with each column of the spread."""
    places = torch.tensor([row.places for row in rows])
    values = torch.tensor([row.values for row in rows], dtype=spread.dtype)
    return tree_sum((spread[places] * values.unsqueeze(2)).transpose(0, 1)).T


def _interval(chances: list[float], deviations: list[float]) -> Intervals:
    home, draw, away = (_around(p, deviation) for p, deviation in zip(chances, deviations, strict=True))
    return Intervals(level=LEVEL, home=home, draw=draw, away=away)


def _around(chance: float, deviation: float) -> tuple[float, float]:
    """Return the interval that is symmetric on the log-odds.

    >>> _around(0.5, 0.0), _around(1.0, 0.3)
    ((0.5, 0.5), (1.0, 1.0))
    """
    odds = math.exp(_Z * deviation)
    return chance / (chance + (1 - chance) * odds), chance * odds / (chance * odds + 1 - chance)
