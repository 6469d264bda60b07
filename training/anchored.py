"""The odds-anchored model: from prices or ratings to rates, and through the chain to score distributions."""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from actors.domain.distribution import FloatArray, ForecastInputs
from actors.domain.events import MAX_PRICE
from actors.domain.grid import IntArray
from actors.domain.overround import fair
from training.anchors import Targets, line_shares, match_means, solve
from training.chain import GOALS, Chain, ScoreChain
from training.clock import ClockShares, Stoppage
from training.even_chain import EvenChain
from training.lanes import read_grids
from training.model_file import ModelFiles
from training.ratings import LeagueLevel, Rated, RatingTable

_MOST_REDS = 5  # with a sixth a side has too few players, and the match is abandoned
_LEAST = 1e-9  # of a probability, so that prices of 1.0000001 have a logit
_OVER_BOUNDS = (0.05, 0.95)  # of the default, where 1X2 prices are more extreme than any it was fitted on

_PriceKey = tuple[tuple[float, float, float], tuple[float, float, float] | None]
_MeansKey = tuple[float, float]


class Anchor(NamedTuple):
    """What the chain starts from: rates, the factor on draws, and the goals they make it expect."""

    home_rate: float
    away_rate: float
    tilt: float
    home_mean: float
    away_mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a model says about rows of inputs."""

    remaining: FloatArray  # (rows, GOALS, GOALS) goals still to come, away across in order
    first: FloatArray  # (2, rows): P(next goal is home's), P(away's)
    bounds: FloatArray | None = None  # (rows, 6), low and high of home, draw and away; None without an ensemble


class Parts(ABC):
    """A model without its cache: the chain, the clock, and where rates come from."""

    def __init__(self, files: ModelFiles) -> None:
        tensors = files.tensors
        self.chain: Chain = chain_of(tensors["effect"])
        self.clock = clock_shares(tensors["share"], tensors["stoppage"])
        self.ratings = rating_table(files)
        self._share = tensors["share"]
        self._default_over: list[float] = tensors["default_over"].tolist()

    def anchor_key(self, inputs: ForecastInputs) -> tuple[_PriceKey | _MeansKey, str]:
        """Return what the rates of these inputs are solved from, and the name of that basis."""
        prices = inputs.anchor_1x2
        if prices is not None and _is_book(prices):
            return (prices, _usable(inputs.anchor_over_under)), "prices"
        home, away, basis = self.ratings.means(inputs.league, inputs.home_team, inputs.away_team)
        return (home, away), basis

    def solve(self, keys: Sequence[Any], batch_rows: int) -> Iterator[tuple[Hashable, Anchor]]:
        """Solve anchors `batch_rows` at a time, prices and means apart."""
        for kind in (False, True):
            same = [key for key in keys if isinstance(key[0], float) is kind]
            for chunk in chunks(len(same), batch_rows):
                chosen = [same[i] for i in chunk]
                yield from zip(chosen, self._solve_means(chosen) if kind else self._solve_prices(chosen), strict=True)

    def _solve_prices(self, keys: Sequence[_PriceKey]) -> list[Anchor]:
        solved = solve(self.chain, self._share, self.targets(keys))
        return _anchor_list(solved.rates, solved.tilt, solved.means)

    def _solve_means(self, keys: Sequence[_MeansKey]) -> list[Anchor]:
        solved = match_means(self.chain, self._share, torch.tensor(keys, dtype=torch.float64).T.contiguous())
        return _anchor_list(solved.rates, solved.tilt, solved.means)

    def targets(self, keys: Sequence[_PriceKey]) -> Targets:
        """Take the overround out of the prices: 1X2 by power, over/under proportionally."""
        rows = [price_target(prices, over_under, self._default_over) for prices, over_under in keys]
        return stack_targets(rows)

    @abstractmethod
    def rows_at_once(self, batch_rows: int) -> int:
        """Return how many rows `answers` takes at most."""

    @abstractmethod
    def answers(self, rows: Sequence[ForecastInputs], anchors: Sequence[Anchor], width: int) -> Answers:
        """Answer rows whose anchors are solved; `width` is what `batch_rows` was."""


class AnchoredParts(Parts):
    """The first model: nothing but the market, the score, the clock and the cards."""

    def __init__(self, files: ModelFiles) -> None:
        super().__init__(files)
        self._own_red, self._opponent_red = files.tensors["red_factor"].tolist()

    def rows_at_once(self, batch_rows: int) -> int:
        return batch_rows

    def answers(self, rows: Sequence[ForecastInputs], anchors: Sequence[Anchor], width: int) -> Answers:
        """Run the chain for at most `width` rows, padded with copies of the last to `width`; no intervals."""
        prepared = [self._prepare(inputs, anchor) for inputs, anchor in zip(rows, anchors, strict=True)]
        prepared += [prepared[-1]] * (width - len(prepared))
        rates = torch.tensor([row[0] for row in prepared], dtype=torch.float64).T.contiguous()
        shares = torch.tensor([row[1] for row in prepared], dtype=torch.float64).T.contiguous()
        lead = torch.tensor([row[2] for row in prepared], dtype=torch.int64)
        tilt = torch.tensor([row[3] for row in prepared], dtype=torch.float64)
        grids = score_grids(self.chain, rates, shares, lead, tilt)
        return Answers(remaining=grids.remaining[: len(rows)], first=grids.first[:, : len(rows)])

    def _prepare(self, inputs: ForecastInputs, anchor: Anchor) -> tuple[list[float], list[float], int, float]:
        home_reds, away_reds = min(inputs.home_reds, _MOST_REDS), min(inputs.away_reds, _MOST_REDS)
        home = anchor.home_rate * _power(self._own_red, home_reds) * _power(self._opponent_red, away_reds)
        away = anchor.away_rate * _power(self._own_red, away_reds) * _power(self._opponent_red, home_reds)
        shares = self.clock.to_come(inputs.period, inputs.clock_ms)
        return [home, away], shares, inputs.home_goals - inputs.away_goals, anchor.tilt


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreGrids:
    """What the chain's grids say."""

    remaining: FloatArray  # (rows, GOALS, GOALS) goals still to come, away across in order
    first: FloatArray  # (2, rows): P(next goal is home's), P(away's)
    chances: FloatArray  # (3, rows) of home, draw and away


def score_grids(chain: Chain, rates: Tensor, shares: Tensor, lead: Tensor, tilt: Tensor) -> ScoreGrids:
    """Run the chain and read its grids; arguments as those of `Chain`, and the (rows,) factor on every final draw."""
    return read_score_grids(chain(rates, shares, lead, first=0).numpy(), tilt.numpy(), lead.numpy())


def read_score_grids(grid: FloatArray, tilt: FloatArray, lead: IntArray) -> ScoreGrids:
    """Read the chain's (GOALS, GOALS, 2 * rows) grids: see `lanes.read_grids`."""
    rows = len(lead)
    remaining, first, chances = np.empty((rows, GOALS, GOALS)), np.empty((2, rows)), np.empty((3, rows))
    read_grids(grid, tilt, lead, remaining, first, chances)
    return ScoreGrids(remaining=remaining, first=first, chances=chances)


def price_target(
    prices: tuple[float, float, float], over_under: tuple[float, float, float] | None, default_over: Sequence[float]
) -> tuple[float, float, float, float]:
    """Return home share of decided matches, P(draw), share of a fair over bet that is won, and its line.

    Without prices on the total, over 2.5 is guessed from 1X2, whose draw knows most of it.
    """
    home, draw, away = (min(max(p, _LEAST), 1 - _LEAST) for p in fair(prices, "power"))
    share = home / (home + away)
    if over_under is not None:
        line, *total = over_under
        return share, draw, fair(total, "proportional")[0], line
    logit = default_over[0] + default_over[1] * _logit(draw) + default_over[2] * _logit(share) ** 2
    low, high = _OVER_BOUNDS
    over = 1 / (1 + math.exp(-min(max(logit, -9.0), 9.0)))
    return share, draw, min(max(over, low), high), 2.5


def stack_targets(rows: Sequence[tuple[float, float, float, float]]) -> Targets:
    """Return the targets of `price_target` as tensors."""
    share, draw, over, _ = torch.tensor(rows, dtype=torch.float64).T.contiguous()
    won, lost = zip(*(_line_shares(line) for *_, line in rows), strict=True)
    return Targets(
        home_share=share,
        draw=draw,
        over=over,
        won=torch.tensor(won, dtype=torch.float64).T.contiguous(),
        lost=torch.tensor(lost, dtype=torch.float64).T.contiguous(),
    )


def chain_of(effect: Tensor) -> Chain:
    """Return the chain of an effect by block, or of one that is the same in all of them."""
    return ScoreChain(effect) if effect.dim() == 3 else EvenChain(effect)


def clock_shares(share: Tensor, stoppage: Tensor) -> ClockShares:
    """Return the clock of the model's tensors."""
    first_share, first_floor, first_decay, second_floor, second_decay = stoppage.tolist()
    return ClockShares(
        blocks=tuple(share.tolist()),
        first_stoppage_share=first_share,
        first=Stoppage(floor=first_floor, decay_s=first_decay),
        second=Stoppage(floor=second_floor, decay_s=second_decay),
    )


def rating_table(files: ModelFiles) -> RatingTable:
    """Return the ratings of the model's tensors under the vocabulary's names."""
    levels, strengths = files.tensors["league_level"].tolist(), files.tensors["team_strength"].tolist()
    home, away = files.tensors["average"].tolist()
    leagues = zip(files.vocabulary.leagues, levels, strict=True)
    teams = zip(files.vocabulary.teams, strengths, strict=True)
    return RatingTable(
        levels={
            name.league: LeagueLevel(league=name.league, country=name.country, mu=mu, home=advantage)
            for name, (mu, advantage) in leagues
        },
        teams={
            (name.country, name.team): Rated(
                country=name.country, team=name.team, league=name.league, attack=attack, defence=defence
            )
            for name, (attack, defence) in teams
        },
        average=(home, away),
    )


@lru_cache(maxsize=64)
def _line_shares(line: float) -> tuple[list[float], list[float]]:
    return line_shares(line)


def _is_book(prices: Sequence[float]) -> bool:
    return all(1 < price <= MAX_PRICE for price in prices)  # NaN fails too


def _usable(over_under: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    """Return the prices on the total if they are a book on a line that some score can be over and some under."""
    if over_under is None:
        return None
    line, over, under = over_under
    on_quarter = 0.5 <= line <= GOALS - 1 and (line * 4).is_integer()
    return over_under if on_quarter and _is_book((over, under)) else None


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _power(factor: float, times: int) -> float:
    return math.prod([factor] * times, start=1.0)


def chunks(total: int, size: int) -> Iterator[range]:
    """Cut 0..total into ranges of at most `size`."""
    return (range(start, min(start + size, total)) for start in range(0, total, size))


def _anchor_list(rates: Tensor, tilt: Tensor, means: Tensor) -> list[Anchor]:
    columns = (*rates.tolist(), tilt.tolist(), *means.tolist())
    return [Anchor(*numbers) for numbers in zip(*columns, strict=True)]
