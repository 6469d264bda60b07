"""Scores a model beside the protocol's baseline: `python -m training.baseline_score data.root=DIR model=FOLDER`.

Prints one table per live suite: RPS, log loss and accuracy at seven minutes for both, on the same matches, and the
paired differences with a bootstrap interval over matches.
"""

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actors.domain.distribution import FloatArray, Forecaster, ForecastInputs
from actors.domain.errors import ModelRejected, SetupError
from actors.domain.overround import fair
from training.baseline_config import ScoreConfig, parse
from training.baseline_data import LiveMatches, load_live
from training.metrics import Interval, accuracy, log_loss, paired_bootstrap, ranked_probability_score
from training.network import TorchForecaster

MINUTES = (0, 15, 30, 45, 60, 75, 85)
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
_ROWS = 4096  # inputs made at a time

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Per match and minute, (minutes, n) each."""

    rps: FloatArray
    log_loss: FloatArray
    accuracy: FloatArray


def main(arguments: list[str]) -> int:
    """Print the tables; return the exit code."""
    try:
        for line in report(parse(ScoreConfig, arguments)):
            print(line, flush=True)
    except (SetupError, ModelRejected) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def report(config: ScoreConfig) -> list[str]:
    """Score the model on the split of every suite; raises SetupError where it was trained on matches of the split."""
    torch.set_num_threads(1)
    forecaster = TorchForecaster(Path(config.model))
    forecaster.verify()
    lines = [f"model {forecaster.model_version}, trained until {forecaster.manifest.trained_until} (exclusive)"]
    rps_gains = []
    for suite in config.suites:
        start, end = SPLITS[suite, config.split]
        if date.fromisoformat(forecaster.manifest.trained_until) > start:
            raise SetupError(
                f"{config.model}: trained until {forecaster.manifest.trained_until}, {suite} starts {start}"
            )
        matches = load_live(Path(config.data.root), suite, start, end)
        ours = score(forecast(forecaster, matches, prices=config.prices), matches)
        theirs = score(baseline(matches), matches)
        lines += [f"\n{suite} {config.split}, [{start}, {end}), n={len(matches)}", *_table(ours, theirs, config)]
        rps_gains.append((ours.rps - theirs.rps)[1:6].mean(axis=0))
    pooled = paired_bootstrap(np.concatenate(rps_gains), config.seed, config.resamples)
    return [*lines, f"\nmean RPS over 15'-75', all suites pooled, x .001: {_interval(pooled)}"]


def forecast(forecaster: Forecaster, matches: LiveMatches, *, prices: bool = True) -> FloatArray:
    """Return (minutes, n, 3) probabilities of home, draw, away by the model."""
    rows = [row for minute in MINUTES for row in inputs_at(matches, minute, prices=prices)]
    answers = []
    for start in range(0, len(rows), _ROWS):
        for answer in forecaster.predict(rows[start : start + _ROWS]):
            score = answer.distribution.score
            answers.append(_three_way(answer.distribution.remaining, score.home - score.away))
    return np.array(answers).reshape(len(MINUTES), len(matches), 3)


def inputs_at(matches: LiveMatches, minute: int, *, prices: bool = True) -> list[ForecastInputs]:
    """Return the model's inputs at a minute of play: 45 is half time, 90 the start of the second half's stoppage."""
    period, in_period = (2, minute - 45) if minute >= 45 else (1 if minute else 0, minute)
    state = matches.goals[:, minute].tolist()
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
            anchor_1x2=tuple(book) if prices else None,
            anchor_over_under=(2.5, *total) if prices and np.isfinite(total).all() else None,
        )
        for (home_goals, away_goals), (home_reds, away_reds), (book, total), (league, home, away) in zip(
            state, reds.tolist(), books, names, strict=True
        )
    ]


def baseline(matches: LiveMatches) -> FloatArray:
    """Return (minutes, n, 3) by the protocol's baseline: the close as Poisson rates, times the share still to come."""
    fair_prices = np.array([fair(row, "power") for row in matches.prices.tolist()])
    inverse = 1 / matches.over_under
    over = inverse[:, 0] / inverse.sum(axis=1)
    rates = poisson_rates(fair_prices[:, 0] - fair_prices[:, 2], np.where(np.isnan(over), BASELINE_OVER, over))
    tables = []
    for minute in MINUTES:
        lead = matches.goals[:, minute, 0] - matches.goals[:, minute, 1]
        factor = np.ones_like(rates)
        if matches.reds is not None:
            reds = matches.reds[:, minute].T
            factor = np.asarray(BASELINE_RED[0] ** reds * BASELINE_RED[1] ** reds[::-1], dtype=np.float64)
        tables.append(_poisson_three_way(rates * BASELINE_SHARE[minute] * factor, lead))
    return np.array(tables)


def poisson_rates(supremacy: FloatArray, over: FloatArray) -> Rates:
    """Return (2, n) rates of independent Poisson goals with P(home) - P(away) and P(more than 2.5) as given."""
    level = np.zeros(len(over), np.int64)
    total = np.indices((_GOALS, _GOALS)).sum(axis=0) > 2.5

    def miss(log_rates: FloatArray) -> FloatArray:
        grid = _poisson_grid(np.exp(log_rates))
        home, _, away = _poisson_three_way(np.exp(log_rates), level).T
        return np.stack([home - away - supremacy, grid[:, total].sum(axis=1) - over])

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
    return np.asarray(np.exp(log_rates), dtype=np.float64)


def validation_metrics(forecaster: Forecaster, root: Path, until: date) -> dict[str, float]:
    """Return mean scores on the validation split of each suite that starts at `until` or later, for the manifest."""
    metrics: dict[str, float] = {}
    for suite in ("understat", "wyscout"):
        start, end = SPLITS[suite, "validation"]
        matches = load_live(root, suite, start, end)
        if until > start or not len(matches):
            continue
        metrics[f"{suite}_validation_matches"] = len(matches)
        for who, forecasts in (("model", forecast(forecaster, matches)), ("baseline", baseline(matches))):
            scores = score(forecasts, matches)
            metrics[f"{suite}_validation_rps_{who}"] = round(float(scores.rps[1:6].mean()), 6)
            metrics[f"{suite}_validation_log_loss_{who}"] = round(float(scores.log_loss[1:6].mean()), 6)
    return metrics


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


def _table(ours: Scores, theirs: Scores, config: ScoreConfig) -> list[str]:
    lines = [f"{'':24}" + "".join(f"{minute:>21}'" for minute in MINUTES)]
    for name in ("rps", "log_loss", "accuracy"):
        mine, reference = getattr(ours, name), getattr(theirs, name)
        lines.append(f"{name + ' baseline':24}" + "".join(f"{value:>22.5f}" for value in reference.mean(axis=1)))
        lines.append(f"{name + ' model':24}" + "".join(f"{value:>22.5f}" for value in mine.mean(axis=1)))
        gains = [paired_bootstrap(row, config.seed, config.resamples) for row in mine - reference]
        lines.append(f"{'  difference x .001':24}" + "".join(f"{_interval(gain):>22}" for gain in gains))
    return lines


def _interval(gain: Interval) -> str:
    return f"{gain.mean * 1e3:+.2f} [{gain.low * 1e3:+.2f},{gain.high * 1e3:+.2f}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
