"""The odds-anchored model as serving runs it: inputs in, score distributions out, the same bits in any batch."""

import logging
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.domain.distribution import ForecastInputs, Prediction, Runtime, ScoreDistribution
from actors.domain.errors import ModelRejected
from actors.domain.events import MAX_PRICE, Score
from actors.domain.overround import fair
from training.anchors import Targets, line_shares, match_means, solve, tilted
from training.chain import GOALS, ScoreChain, tree_sum
from training.clock import ClockShares, Stoppage
from training.model_file import Golden, Manifest, ModelFiles, read_model
from training.ratings import LeagueLevel, Rated, RatingTable

BATCH_ROWS = 32
GOLDEN_TOLERANCE = 1e-9  # another libm may round the last bit of a de-vigged price otherwise
_CACHED_ANCHORS = 4096  # of 0.5 KB; prices before kick-off hold for the whole match
_MOST_REDS = 5  # with a sixth a side has too few players, and the match is abandoned
_LEAST = 1e-9  # of a probability, so that prices of 1.0000001 have a logit
_OVER_BOUNDS = (0.05, 0.95)  # of the default, where 1X2 prices are more extreme than any it was fitted on

_PriceKey = tuple[tuple[float, float, float], tuple[float, float, float] | None]
_MeansKey = tuple[float, float]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What the chain starts from: rates, the factor on draws, and the goals they make it expect."""

    home_rate: float
    away_rate: float
    tilt: float
    home_mean: float
    away_mean: float


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
    """Implements domain.Forecaster. Rows go through the chain `batch_rows` at a time, padded to that many.

    No row's value depends on the others or on `batch_rows`: see `training.chain`. Prices that are no book (which the
    fold rejects before) count as none. Safe to share between threads; fastest with `torch.set_num_threads(1)`.
    """

    def __init__(self, folder: Path, batch_rows: int = BATCH_ROWS, cached_anchors: int = _CACHED_ANCHORS) -> None:
        """Load a model's folder; raises ModelRejected."""
        if batch_rows < 1:
            raise ValueError(f"batch_rows must be positive, was {batch_rows}")
        files = read_model(folder)
        self.manifest: Manifest = files.manifest
        self._parts = Parts(files)
        self._batch_rows = batch_rows
        self._cache = AnchorCache(cached_anchors)
        self._runtime = Runtime(torch=str(torch.__version__), cpu_capability=torch.backends.cpu.get_cpu_capability())

    @property
    def model_version(self) -> str:
        return self.manifest.model_version

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Forecast each of the inputs, in their order."""
        with torch.inference_mode():
            keys = [self._parts.anchor_key(row) for row in inputs]
            anchors = self._anchors([key for key, _ in keys])
            predictions: list[Prediction] = []
            for chunk in _chunks(len(inputs), self._batch_rows):
                rows = [(inputs[i], anchors[keys[i][0]]) for i in chunk]
                distributions = self._parts.distributions(rows, self._batch_rows)
                for i, distribution in zip(chunk, distributions, strict=True):
                    predictions.append(self._prediction(distribution, anchors[keys[i][0]], keys[i][1]))
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

    def _prediction(self, distribution: ScoreDistribution, anchor: Anchor, basis: str) -> Prediction:
        return Prediction(
            distribution=distribution,
            model_version=self.model_version,
            basis=basis,
            home_rate=anchor.home_mean,
            away_rate=anchor.away_mean,
            runtime=self._runtime,
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


class Parts:
    """The model without its cache: the chain, the clock, and where rates come from."""

    def __init__(self, files: ModelFiles) -> None:
        tensors = files.tensors
        self.chain = ScoreChain(tensors["effect"])
        self.clock = clock_shares(tensors["share"], tensors["stoppage"])
        self.ratings = rating_table(files)
        self._share = tensors["share"]
        self._own_red, self._opponent_red = tensors["red_factor"].tolist()
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
            for chunk in _chunks(len(same), batch_rows):
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

    def distributions(self, rows: Sequence[tuple[ForecastInputs, Anchor]], width: int) -> list[ScoreDistribution]:
        """Run the chain for at most `width` rows, padded with copies of the last to `width`."""
        prepared = [self._prepare(inputs, anchor) for inputs, anchor in rows]
        prepared += [prepared[-1]] * (width - len(prepared))
        rates = torch.tensor([row[0] for row in prepared], dtype=torch.float64).T.contiguous()
        shares = torch.tensor([row[1] for row in prepared], dtype=torch.float64).T.contiguous()
        lead = torch.tensor([row[2] for row in prepared], dtype=torch.int64)
        tilt = torch.tensor([row[3] for row in prepared], dtype=torch.float64)
        remaining, first = score_grids(self.chain, rates, shares, lead, tilt)
        return [
            ScoreDistribution(
                score=Score(inputs.home_goals, inputs.away_goals),
                remaining=_frozen(remaining[i]),
                next_home=first[0][i],
                next_away=first[1][i],
            )
            for i, (inputs, _) in enumerate(rows)
        ]

    def _prepare(self, inputs: ForecastInputs, anchor: Anchor) -> tuple[list[float], list[float], int, float]:
        home_reds, away_reds = min(inputs.home_reds, _MOST_REDS), min(inputs.away_reds, _MOST_REDS)
        home = anchor.home_rate * _power(self._own_red, home_reds) * _power(self._opponent_red, away_reds)
        away = anchor.away_rate * _power(self._own_red, away_reds) * _power(self._opponent_red, home_reds)
        shares = self.clock.to_come(inputs.period, inputs.clock_ms)
        return [home, away], shares, inputs.home_goals - inputs.away_goals, anchor.tilt


def score_grids(
    chain: ScoreChain, rates: Tensor, shares: Tensor, lead: Tensor, tilt: Tensor
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], tuple[list[float], list[float]]]:
    """Return (rows, GOALS, GOALS) remaining goals, away across in order, and P(next goal is home's), P(away's).

    The tilt multiplies every final draw, in the grid and on the paths that each side opens: it stays one constant
    reweighting of the same matches, so that forecasts of one match are coherent over time.
    """
    rows = rates.shape[1]
    both = chain(rates, shares, lead, first=0)
    whole, opened = tilted(both[:, :, :rows], tilt, lead), tilted(both[:, :, rows:], tilt, lead)
    other = (whole - opened).clamp(min=0)
    other[0, -1] = 0
    mass = tree_sum(whole.reshape(-1, rows))
    remaining = (whole / mass).flip(1).permute(2, 0, 1).contiguous().numpy()
    home, away = (tree_sum(part.reshape(-1, rows)) / mass for part in (opened, other))
    return remaining, (home.tolist(), away.tolist())


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


def _chunks(total: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, total)) for start in range(0, total, size))


def _anchor_list(rates: Tensor, tilt: Tensor, means: Tensor) -> list[Anchor]:
    columns = (*rates.tolist(), tilt.tolist(), *means.tolist())
    return [
        Anchor(home_rate=home, away_rate=away, tilt=factor, home_mean=home_mean, away_mean=away_mean)
        for home, away, factor, home_mean, away_mean in zip(*columns, strict=True)
    ]


def _frozen(grid: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    own = grid.copy()  # a view would keep the whole batch alive
    own.setflags(write=False)
    return own


def _difference(vector: Golden, answer: Prediction) -> float:
    """Return the largest difference of an answer from its golden vector; infinity if the basis is another."""
    expected, distribution = vector.expected, answer.distribution
    if answer.basis != expected.basis or np.shape(expected.remaining) != (GOALS, GOALS):
        return math.inf
    received = (answer.home_rate, answer.away_rate, distribution.next_home, distribution.next_away)
    wanted = (expected.home_rate, expected.away_rate, expected.next_home, expected.next_away)
    apart = [abs(a - b) for a, b in zip(received, wanted, strict=True)]
    return max(*apart, float(np.abs(distribution.remaining - np.array(expected.remaining)).max()))
