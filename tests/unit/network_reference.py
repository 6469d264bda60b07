"""The in-play network the readable way: evidence row by row, grids as tensors; the oracle of the compiled one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter, mul

import torch
from torch import Tensor

from actors.domain.distribution import FloatArray, ForecastInputs, Intervals
from training.anchored import Anchor
from training.anchors import tilted
from training.chain import GOALS, LEADS, tree_sum
from training.clock import ClockShares
from training.evidence import LEAGUES, MIDDLE_LOG_RATE, NAMES, ShotLevels
from training.inplay import InPlayParts
from training.model_file import ModelFiles

_LEAGUE, _LEAD, _SQUARED, _REDS = (
    NAMES.index(name) for name in ("gone_E0", "gone_lead_-2", "gone_squared_lead_-2", "reds_own")
)
_SHOTS_PRIOR, _GOALS_PRIOR = 15.0, 4.0
_MOST_REDS = 5
_MOST_LOG = 1.5
_WIDEST = LEADS // 2
_CELLS = 2 * GOALS - 1
_TERMS = ((0.25, 6), (0.5, 8), (1.0, 11), (2.0, 15), (3.5, 20), (6.0, 27), (10.0, 37), (20.0, 60))
LEVEL = 0.9
_Z = 1.6448536269514722
_NUDGE = 0.01
_LEAST = 1e-12

Grids = FloatArray
Path = list[tuple[float, int]]  # share of the match's goals, goals that home was ahead while it passed


@dataclass(frozen=True, slots=True)
class Row:
    """One side's inputs: `values` of the NAMES at `places`, as many for every row; the others are 0."""

    places: list[int]
    values: list[float]

    def dot(self, weights: Sequence[float]) -> float:
        """Return the weighted sum, rounded once."""
        return math.fsum(map(mul, self.values, itemgetter(*self.places)(weights)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReader:
    """Turns inputs into rows of evidence: a pure function of its fields and its arguments."""

    clock: ClockShares
    effect: Sequence[Sequence[float]]  # (2, LEADS): factor on hazards by goal difference of home
    shots: ShotLevels

    def read(self, inputs: ForecastInputs, home_rate: float, away_rate: float) -> tuple[Row, Row]:
        """Return the rows of home and away, given their rates before kick-off."""
        gone = 1 - self.clock.left(inputs.period, inputs.clock_ms)
        logs = (math.log(home_rate) - MIDDLE_LOG_RATE, math.log(away_rate) - MIDDLE_LOG_RATE)
        path = self._path(inputs)
        goals = _surprises(
            _GOALS_PRIOR, (inputs.home_goals, inputs.away_goals), self._goals(path, home_rate, away_rate)
        )
        shots = _surprises(_SHOTS_PRIOR, self._shots(inputs), self._expected_shots(path, logs))
        reds = (min(inputs.home_reds, _MOST_REDS), min(inputs.away_reds, _MOST_REDS))
        lead = inputs.home_goals - inputs.away_goals
        league = LEAGUES.index(inputs.league) if inputs.league in LEAGUES else None
        return tuple(_row(side, gone, lead * (1 - 2 * side), league, logs, goals, shots, reds) for side in (0, 1))  # type: ignore[return-value]

    def _path(self, inputs: ForecastInputs) -> Path | None:
        """Return how the score came about; None where the goals told are not those of the score."""
        goals, now = inputs.goals, (inputs.period, inputs.clock_ms)
        if goals is None or any((goal.period, goal.clock_ms) > now for goal in goals):
            return None
        home = sum(goal.side == "home" for goal in goals)
        if (home, len(goals) - home) != (inputs.home_goals, inputs.away_goals):
            return None
        path, lead, left = Path(), 0, 1.0
        for goal in goals:
            then = self.clock.left(goal.period, goal.clock_ms)
            path.append((left - then, lead))
            lead, left = lead + (1 if goal.side == "home" else -1), then
        return [*path, (left - self.clock.left(*now), lead)]

    def _goals(self, path: Path | None, *rates: float) -> tuple[float, float] | None:
        if path is None:
            return None
        home, away = (rate * _along(path, effect) for rate, effect in zip(rates, self.effect, strict=True))
        return home, away

    def _shots(self, inputs: ForecastInputs) -> tuple[float, float] | None:
        if inputs.home_shots is None or inputs.away_shots is None:
            return None
        scale = self.shots.scale.get(inputs.shots_by or "", 1.0)
        return inputs.home_shots / scale, inputs.away_shots / scale

    def _expected_shots(self, path: Path | None, logs: tuple[float, float]) -> tuple[float, float] | None:
        if path is None:
            return None
        home, away = (
            math.exp(level[0] + level[1] * own + level[2] * opponent) * _along(path, effect)
            for level, effect, own, opponent in zip(self.shots.level, self.shots.effect, logs, logs[::-1], strict=True)
        )
        return home, away


def lead_place(lead: int) -> int:
    """Return the index of a goal difference in an effect; wider leads count as the widest."""
    return max(-_WIDEST, min(_WIDEST, lead)) + _WIDEST


def _along(path: Path, effect: Sequence[float]) -> float:
    if len(path) == 1:  # no goal yet
        return path[0][0] * effect[_WIDEST]
    return math.fsum([share * effect[lead_place(lead)] for share, lead in path])


def _surprises(
    prior: float, seen: tuple[float, float] | None, expected: tuple[float, float] | None
) -> tuple[float, float]:
    """Return the log ratios of what was seen to what was expected, both sides shrunk by `prior`; 0 where unknown."""
    if seen is None or expected is None:
        return 0.0, 0.0
    home, away = (math.log((prior + s) / (prior + max(e, 0.0))) for s, e in zip(seen, expected, strict=True))
    return home, away


def _row(
    side: int,
    gone: float,
    lead: int,
    league: int | None,
    logs: tuple[float, float],
    goals: tuple[float, float],
    shots: tuple[float, float],
    reds: tuple[int, int],
) -> Row:
    own, other, sign = side, 1 - side, 1.0 - 2.0 * side
    state = max(-2, min(2, lead)) + 2
    places = [*range(8), _LEAGUE + (league or 0), _LEAD + state, _SQUARED + state, *range(_REDS, _REDS + 4)]
    values = [shots[own], shots[other], goals[own], goals[other]]
    values += [gone, gone * sign, gone * logs[own], gone * logs[other], 0.0 if league is None else gone]
    values += [gone, gone * gone, float(reds[own]), float(reds[other]), 1 - gone, (1 - gone) * sign]
    return Row(places, values)


class EvenChain:
    """Hazard of a side = its rate x the effect of the score as it then stands, per share of the match's goals.

    Grids are laid out as `training.chain.ScoreChain` has them. Source: model notes of the project, "In play", steps 2
    to 5; the series is the uniformised one of Jensen (1953), Skand. Aktuarietidskr. 36.
    """

    def __init__(self, effect: Tensor) -> None:
        self.effect = effect
        self._most: list[float] = effect.amax(dim=1).tolist()

    def __call__(self, rates: Tensor, shares: Tensor, lead: Tensor, *, first: int | None = None) -> Tensor:
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


def score_grids(
    chain: EvenChain, rates: Tensor, shares: Tensor, lead: Tensor, tilt: Tensor
) -> tuple[Grids, tuple[list[float], list[float]]]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What the network's tensors are run on: rates with their corrections, clock, score, and how sure they are."""

    chain: EvenChain
    rates: Tensor
    left: Tensor
    lead: Tensor
    tilt: Tensor
    evidence: list[tuple[Row, Row]]
    spread: Tensor


def prepare(files: ModelFiles, rows: Sequence[tuple[ForecastInputs, Anchor]]) -> Tensors:
    """Read rows of inputs."""
    tensors, parts = files.tensors, InPlayParts(files)
    clock, weights = parts.clock, tensors["weights"].tolist()
    reader = EvidenceReader(clock=clock, effect=tensors["effect"].tolist(), shots=parts.reader.shots)
    evidence = [reader.read(inputs, anchor.home_rate, anchor.away_rate) for inputs, anchor in rows]
    factors = [[_factor(row.dot(weights)) for row in sides] for sides in evidence]
    before = [(anchor.home_rate, anchor.away_rate) for _, anchor in rows]
    return Tensors(
        chain=EvenChain(tensors["effect"]),
        rates=torch.tensor(before, dtype=torch.float64).T * torch.tensor(factors, dtype=torch.float64).T,
        left=torch.tensor([[clock.left(row.period, row.clock_ms) for row, _ in rows]], dtype=torch.float64),
        lead=torch.tensor([row.home_goals - row.away_goals for row, _ in rows]),
        tilt=torch.tensor([anchor.tilt for _, anchor in rows], dtype=torch.float64),
        evidence=evidence,
        spread=tensors["spread"],
    )


def answers(its: Tensors) -> tuple[Grids, tuple[list[float], list[float]], list[Intervals]]:
    """Return remaining goals, who scores next and intervals of rows."""
    grids = score_grids(its.chain, its.rates, its.left, its.lead, its.tilt)
    chances = three_way(torch.from_numpy(grids[0]).permute(1, 2, 0).flip(1), its.lead)
    bounds = intervals(its.chain, its.rates, its.left, its.lead, its.tilt, its.evidence, its.spread, chances)
    return *grids, bounds


def _factor(log: float) -> float:
    return math.exp(max(-_MOST_LOG, min(_MOST_LOG, log)))
