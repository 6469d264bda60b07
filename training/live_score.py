"""Forecasts of live matches at seven minutes, by a model and by the protocol's baseline, and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from actors.domain.distribution import FloatArray, Forecaster, ForecastInputs, GoalAt
from actors.domain.overround import fair
from training.live_data import HALF_TIME, IntArray, LiveMatches
from training.metrics import accuracy, log_loss, ranked_probability_score

MINUTES = (0, 15, 30, 45, 60, 75, 85)
POOLED = slice(1, 6)  # of MINUTES: 15' to 75', which the protocol's pooled scores are means over
SPLITS = {  # [start, end) by suite; the protocol, "Splits"
    ("understat", "validation"): (date(2018, 7, 1), date(2019, 7, 1)),
    ("understat", "test"): (date(2019, 7, 1), date(2020, 9, 1)),
    ("wyscout", "validation"): (date(2017, 12, 1), date(2018, 1, 1)),
    ("wyscout", "test"): (date(2018, 1, 1), date(2018, 3, 1)),
}
BASELINE_SHARE = dict(zip(MINUTES, (1.0, 0.876, 0.730, 0.558, 0.398, 0.228, 0.110), strict=True))  # still to come
BASELINE_RED = (0.70, 1.20)  # own, opponent; wyscout only
BASELINE_OVER = 0.51  # where over 2.5 has no price (the Russian league): reproduces the protocol's figures
_GOALS = 16  # of a side in the baseline's grid; 15 or more have a chance of 1e-9
_GOOD_ENOUGH = 1e-9  # of log rates; reached in a few of the steps that are allowed
_CACHED = 256  # matches whose grids fit into a core's cache: five times as fast as all at once
_ROWS = 4096  # inputs made at a time

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveForecasts:
    """Probabilities of home, draw, away and where they lie at 90 %, (minutes, n, 3) each."""

    chances: FloatArray
    low: FloatArray  # as the chances where the model has no intervals
    high: FloatArray
    to_come: FloatArray  # (minutes, n, 2) goals of home and away still expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Per match and minute, (minutes, n) each."""

    rps: FloatArray
    log_loss: FloatArray
    accuracy: FloatArray


def forecast(
    forecaster: Forecaster, matches: LiveMatches, instead: Mapping[str, object] = MappingProxyType({})
) -> LiveForecasts:
    """Forecast the result at MINUTES by the model, told `instead` for those fields of its inputs."""
    rows = [replace(row, **instead) for minute in MINUTES for row in inputs_at(matches, minute)]
    chances, bounds, to_come = [], [], []
    for start in range(0, len(rows), _ROWS):
        for answer in forecaster.predict(rows[start : start + _ROWS]):
            score, found = answer.distribution.score, answer.intervals
            chance = _three_way(answer.distribution.remaining, score.home - score.away)
            chances.append(chance)
            bounds.append((found.home, found.draw, found.away) if found else list(zip(chance, chance, strict=True)))
            to_come.append(_means(answer.distribution.remaining))
    shape = (len(MINUTES), len(matches), 3)
    low, high = np.moveaxis(np.array(bounds, dtype=np.float64).reshape(*shape, 2), 3, 0)
    means = np.array(to_come).reshape(*shape[:2], 2)
    return LiveForecasts(chances=np.array(chances).reshape(shape), low=low, high=high, to_come=means)


def inputs_at(matches: LiveMatches, minute: int) -> list[ForecastInputs]:
    """Return the model's inputs at a minute of play: 45 is half time, 90 the start of the second half's stoppage."""
    period, in_period = (2, minute - 45) if minute >= 45 else (1 if minute else 0, minute)
    state, paths = matches.goals[:, minute].tolist(), goal_times(matches.goals[:, : minute + 1])
    shots = matches.shots[:, minute].tolist()
    reds = np.zeros_like(matches.goals[:, minute]) if matches.reds is None else matches.reds[:, minute]
    books = zip(matches.prices.tolist(), matches.over_under.tolist(), strict=True)
    names = zip(matches.league, matches.home, matches.away, strict=True)
    return [
        ForecastInputs(
            league=league or None,
            home_team=home or None,
            away_team=away or None,
            period=period,
            clock_ms=in_period * 60_000,
            home_goals=home_goals,
            away_goals=away_goals,
            home_reds=home_reds,
            away_reds=away_reds,
            anchor_1x2=tuple(book) if np.isfinite(book).all() else None,
            anchor_over_under=(2.5, *total) if np.isfinite(total).all() else None,
            home_shots=home_shots if home_shots or away_shots else None,  # as the fold has it before the first shot
            away_shots=away_shots if home_shots or away_shots else None,
            shots_by=matches.suite if home_shots or away_shots else None,
            goals=path,
        )
        for (
            (home_goals, away_goals),
            (home_reds, away_reds),
            (home_shots, away_shots),
            path,
            (book, total),
            (league, home, away),
        ) in zip(state, reds.tolist(), shots, paths, books, names, strict=True)
    ]


def goal_times(goals: IntArray) -> list[tuple[GoalAt, ...]]:
    """Return when the goals fell that (n, minutes, 2) counts show, each half past its minute."""
    paths: list[list[GoalAt]] = [[] for _ in goals]
    for match, minute, side in np.argwhere(np.diff(goals, axis=1) > 0).tolist():
        period, in_period = (1, minute) if minute < HALF_TIME else (2, minute - HALF_TIME)
        goal = GoalAt(period, in_period * 60_000 + 30_000, "away" if side else "home")
        paths[match] += [goal] * int(goals[match, minute + 1, side] - goals[match, minute, side])
    return [tuple(path) for path in paths]


def baseline(matches: LiveMatches) -> FloatArray:
    """Return (minutes, n, 3) by the protocol's baseline: the close as Poisson rates, times the share still to come."""
    rates = market_rates(matches)
    tables = []
    for minute in MINUTES:
        lead = matches.goals[:, minute, 0] - matches.goals[:, minute, 1]
        factor = np.ones_like(rates)
        if matches.reds is not None:
            reds = matches.reds[:, minute].T
            factor = np.asarray(BASELINE_RED[0] ** reds * BASELINE_RED[1] ** reds[::-1], dtype=np.float64)
        tables.append(_poisson_three_way(rates * BASELINE_SHARE[minute] * factor, lead))
    return np.array(tables)


def market_rates(matches: LiveMatches) -> Rates:
    """Return (2, n) rates of independent Poisson goals that the close implies."""
    fair_prices = np.array([fair(row, "power") for row in matches.prices.tolist()]).reshape(-1, 3)
    inverse = 1 / matches.over_under
    over = inverse[:, 0] / inverse.sum(axis=1)
    supremacy, over = fair_prices[:, 0] - fair_prices[:, 2], np.where(np.isnan(over), BASELINE_OVER, over)
    blocks = [slice(start, start + _CACHED) for start in range(0, max(1, len(over)), _CACHED)]
    return np.concatenate([poisson_rates(supremacy[block], over[block]) for block in blocks], axis=1)


def poisson_rates(supremacy: FloatArray, over: FloatArray) -> Rates:
    """Return (2, n) rates of independent Poisson goals with P(home) - P(away) and P(more than 2.5) as given."""
    home, away = np.indices((_GOALS, _GOALS)).reshape(2, -1)
    sums = np.stack([np.sign(home - away), home + away > 2.5], axis=1).astype(np.float64)
    wanted = np.stack([supremacy, over])

    def miss(log_rates: FloatArray) -> FloatArray:
        grid = _poisson_grid(np.exp(log_rates))
        return np.asarray((grid.reshape(-1, _GOALS**2) @ sums).T - wanted, dtype=np.float64)

    log_rates = np.log(np.tile([[1.5], [1.1]], (1, len(over))))
    nudge = 1e-5
    home_up, away_up = np.array([[nudge], [0.0]]), np.array([[0.0], [nudge]])
    for _ in range(25):
        now = miss(log_rates)
        by_home = (miss(log_rates + home_up) - now) / nudge
        by_away = (miss(log_rates + away_up) - now) / nudge
        slopes = np.stack([by_home, by_away], axis=1).transpose(2, 0, 1)
        step = np.linalg.solve(slopes, now.T[:, :, None])[:, :, 0].T
        log_rates = log_rates - np.clip(step, -0.5, 0.5)
        if np.abs(step).max(initial=0) < _GOOD_ENOUGH:
            break
    return np.asarray(np.exp(log_rates), dtype=np.float64)


def score(forecasts: FloatArray, matches: LiveMatches) -> Scores:
    """Score (minutes, n, 3) forecasts against the result of regular time."""
    return Scores(
        rps=np.array([ranked_probability_score(table, matches.outcome) for table in forecasts]),
        log_loss=np.array([log_loss(table, matches.outcome) for table in forecasts]),
        accuracy=np.array([accuracy(table, matches.outcome) for table in forecasts]),
    )


def _poisson_grid(rates: FloatArray) -> FloatArray:
    """Return (n, _GOALS, _GOALS) from (2, n) rates, normalised."""
    k = np.arange(_GOALS)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(k[1:]))])
    home, away = np.exp(k * np.log(rates[:, :, None]) - rates[:, :, None] - log_factorial)
    grid = home[:, :, None] * away[:, None, :]
    return np.asarray(grid / grid.sum(axis=(1, 2), keepdims=True), dtype=np.float64)


def _poisson_three_way(rates: FloatArray, lead: NDArray[np.int64]) -> FloatArray:
    grid = _poisson_grid(rates)
    index = np.arange(_GOALS)
    final = lead[:, None, None] + index[:, None] - index
    home, away = (grid * (final > 0)).sum(axis=(1, 2)), (grid * (final < 0)).sum(axis=(1, 2))
    return np.stack([home, 1 - home - away, away], axis=1)


def _three_way(remaining: FloatArray, lead: int) -> tuple[float, float, float]:
    home, away = np.tril(remaining, lead - 1).sum(), np.triu(remaining, lead + 1).sum()
    return float(home), float(1 - home - away), float(away)


def _means(remaining: FloatArray) -> tuple[float, float]:
    count = np.arange(len(remaining))
    return float(count @ remaining.sum(axis=1)), float(count @ remaining.sum(axis=0))
