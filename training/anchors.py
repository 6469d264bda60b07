"""From prices to the chain's parameters: the rates and the draw tilt under which the chain repeats the market."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.chain import GOALS, Chain, tree_sum

RATE_BOUNDS = (0.001, 9.0)  # goals a match; a price of 1.01 implies about 4
TILT_BOUNDS = (0.1, 10.0)
_FIRST_GUESS = (1.5, 1.2)
_STEP_BOUNDS = (0.5, 2.0)  # a Newton step at most halves or doubles a rate
_MAX_STEPS = 24
_NUDGE = 1e-5  # relative; for the derivatives
_GOOD_ENOUGH = 1e-13
_LEVEL = torch.zeros(1, dtype=torch.int64)  # at kick-off nobody is ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What a market says before kick-off, overround removed; one row each."""

    home_share: Tensor  # (rows,) P(home) / (P(home) + P(away))
    draw: Tensor  # (rows,) P(draw)
    over: Tensor  # (rows,) share of a fair over bet that is won, see `line_shares`
    won: Tensor  # (2 * GOALS - 1, rows) share of a stake on over that wins at each total
    lost: Tensor  # likewise that loses; the rest is returned


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """The chain's parameters for each row, and what it expects with them."""

    rates: Tensor  # (2, rows)
    tilt: Tensor  # (rows,) factor on every final draw
    means: Tensor  # (2, rows) goals expected of the whole match
    residual: Tensor  # (rows,) largest relative miss of the two equations


def line_shares(line: float) -> tuple[list[float], list[float]]:
    """Return the shares of a stake on over `line` that are won and lost at totals 0..20.

    Quarter lines split the stake over the two neighbours; whole lines return it at the line.

    >>> won, lost = line_shares(2.25)
    >>> won[1:4], lost[1:4]
    ([0.0, 0.0, 1.0], [1.0, 0.5, 0.0])
    """
    halves = (line - 0.25, line + 0.25) if (line * 4) % 2 else (line, line)
    totals = range(2 * GOALS - 1)
    won = [sum(0.5 for half in halves if total > half) for total in totals]
    lost = [sum(0.5 for half in halves if total < half) for total in totals]
    return [float(x) for x in won], [float(x) for x in lost]


def solve(chain: Chain, shares: Tensor, targets: Targets) -> Solved:
    """Find rates and tilt for each row by itself: its steps depend on nothing but its own numbers.

    Newton with damped steps; a row stops where it is exact, and keeps its best point if prices cannot be met.

    Args:
        shares: (BLOCKS,) share of the goals of a whole match in each block.
    """
    rows = len(targets.draw)
    rates = torch.tensor(_FIRST_GUESS, dtype=torch.float64).unsqueeze(1).repeat(1, rows)
    best = rates
    best_miss = torch.full((rows,), torch.inf, dtype=torch.float64)
    probe = _repeat(targets, 3)
    for _ in range(_MAX_STEPS):
        nudged = _nudge(rates)
        misses = _misses(_outcomes(chain, shares, nudged), probe).view(2, 3, rows)
        miss = misses[:, 0].abs().amax(dim=0)
        better = miss < best_miss
        best, best_miss = torch.where(better, rates, best), torch.where(better, miss, best_miss)
        if bool((best_miss <= _GOOD_ENOUGH).all()):
            break
        rates = torch.where(best_miss <= _GOOD_ENOUGH, rates, _newton(rates, misses))
    outcomes = _outcomes(chain, shares, best)
    tilt = _tilt(outcomes, targets)
    return Solved(rates=best, tilt=tilt, means=_means(outcomes, tilt), residual=best_miss)


def match_means(chain: Chain, shares: Tensor, means: Tensor) -> Solved:
    """Find the rates (2, rows) with which the chain expects `means` goals; no tilt."""
    rates = means.clamp(*RATE_BOUNDS)
    tilt = torch.ones_like(means[0])
    for _ in range(6):  # the chain's mean is nearly proportional to the rate: each round gains two digits
        expected = _means(_outcomes(chain, shares, rates), tilt)
        rates = (rates * (means / expected)).clamp(*RATE_BOUNDS)
    expected = _means(_outcomes(chain, shares, rates), tilt)
    return Solved(rates=rates, tilt=tilt, means=expected, residual=((expected - means) / means).abs().amax(dim=0))


@dataclass(frozen=True, slots=True)
class _Outcomes:
    grid: Tensor  # (GOALS, GOALS, rows) unnormalised, away reversed
    home: Tensor
    draw: Tensor
    away: Tensor


def _outcomes(chain: Chain, shares: Tensor, rates: Tensor) -> _Outcomes:
    rows = rates.shape[1]
    grid = chain(rates, shares.unsqueeze(1).expand(-1, rows), torch.zeros(rows, dtype=torch.int64))
    lead = _lead().unsqueeze(2)
    parts = [tree_sum((grid * side).reshape(-1, rows)) for side in (lead > 0, lead == 0, lead < 0)]
    return _Outcomes(grid, *parts)


def _lead() -> Tensor:
    """Return (GOALS, GOALS): home's goals minus away's in each cell of a grid."""
    index = torch.arange(GOALS)
    return index.unsqueeze(1) - index.flip(0).unsqueeze(0)


def _total() -> Tensor:
    index = torch.arange(GOALS)
    return index.unsqueeze(1) + index.flip(0).unsqueeze(0)


def _tilt(outcomes: _Outcomes, targets: Targets) -> Tensor:
    """Return the factor on draws that gives the market's draw."""
    decided = outcomes.home + outcomes.away
    return (targets.draw * decided / ((1 - targets.draw) * outcomes.draw)).clamp(*TILT_BOUNDS)


def _misses(outcomes: _Outcomes, targets: Targets) -> Tensor:
    """Return (2, rows): how far the chain is from the market, each in -1..1, near the root half a log ratio."""
    rows = len(targets.draw)
    grid = tilted(outcomes.grid, _tilt(outcomes, targets), _LEVEL).reshape(-1, rows)
    total = _total().reshape(-1)
    won = tree_sum(grid * targets.won[total]) * (1 - targets.over)
    lost = tree_sum(grid * targets.lost[total]) * targets.over
    home, away = outcomes.home * (1 - targets.home_share), outcomes.away * targets.home_share
    return torch.stack(((home - away) / (home + away), (won - lost) / (won + lost)))


def tilted(grid: Tensor, tilt: Tensor, lead: Tensor) -> Tensor:
    """Return the grid with `tilt` (rows,) on the cells that end in a draw, home being `lead` (rows,) goals ahead."""
    return torch.where(_lead().unsqueeze(2) + lead == 0, grid * tilt, grid)


def _means(outcomes: _Outcomes, tilt: Tensor) -> Tensor:
    """Return (2, rows): expected goals of home and away."""
    rows = len(tilt)
    grid = tilted(outcomes.grid, tilt, _LEVEL)
    index = torch.arange(GOALS)
    mass = tree_sum(grid.reshape(-1, rows))
    home = tree_sum((grid * index.view(-1, 1, 1)).reshape(-1, rows))
    away = tree_sum((grid * index.flip(0).view(1, -1, 1)).reshape(-1, rows))
    return torch.stack((home / mass, away / mass))


def _nudge(rates: Tensor) -> Tensor:
    """Return (2, 3 * rows): the rates, then with home's a little higher, then with away's."""
    home, away = rates[0], rates[1]
    more = 1 + _NUDGE
    return torch.stack((torch.cat((home, home * more, home)), torch.cat((away, away, away * more))))


def _newton(rates: Tensor, misses: Tensor) -> Tensor:
    """Return the next rates; `misses` is (equation, point, rows) at the points of `_nudge`."""
    f, g = misses[0, 0], misses[1, 0]
    f_home, f_away = misses[0, 1] - f, misses[0, 2] - f  # derivative by the log rate, times _NUDGE
    g_home, g_away = misses[1, 1] - g, misses[1, 2] - g
    determinant = f_home * g_away - f_away * g_home
    determinant = torch.where(determinant.abs() < 1e-24, torch.full_like(determinant, 1e-24), determinant)
    home = 1 - _NUDGE * (f * g_away - g * f_away) / determinant
    away = 1 - _NUDGE * (g * f_home - f * g_home) / determinant
    return (rates * torch.stack((home, away)).clamp(*_STEP_BOUNDS)).clamp(*RATE_BOUNDS)


def _repeat(targets: Targets, times: int) -> Targets:
    return Targets(
        home_share=targets.home_share.repeat(times),
        draw=targets.draw.repeat(times),
        over=targets.over.repeat(times),
        won=targets.won.repeat(1, times),
        lost=targets.lost.repeat(1, times),
    )
