"""The suite before kick-off: forecasts of a span of days, scored beside the pre-match prices and the close."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.domain.errors import SetupError
from training.metrics import (
    Interval,
    accuracy,
    log_loss,
    paired_bootstrap,
    ranked_probability_score,
    resampled_sums,
)
from training.model_file import PREMATCH_FOLDER
from training.options import EvaluateConfig, report_path
from training.prematch.inputs import PrematchInputs, prematch_inputs
from training.prematch.model import KNOWN, BoolArray, PrematchForecast, forecast
from training.prematch.store import read_prematch
from training.prematch.table import MAIN_LEAGUES, TOP_FIVE, FloatArray, IntArray, ResultTable, load_table
from training.report import Drawn, reliability_figure, write_report

SELECTIVE = 0.67  # accuracy that D2 asks for
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Matches that were played, with the forecasts of model and market; n rows."""

    week: IntArray
    outcome: IntArray
    model: FloatArray  # (n, 3)
    pre: FloatArray  # (n, 3), NaN where there are no prices
    close: FloatArray

    def rows(self, chosen: BoolArray) -> "Scored":
        """Return the chosen rows."""
        return Scored(
            week=self.week[chosen],
            outcome=self.outcome[chosen],
            model=self.model[chosen],
            pre=self.pre[chosen],
            close=self.close[chosen],
        )


def evaluate_prematch(config: EvaluateConfig) -> list[str]:
    """Forecast and score; return the table's lines, and write `out` where it is given.

    Raises:
        SetupError: `since` lies before the model's trained_until, or there is no match to score.
        ModelRejected: The model's folder is not what it should be.
    """
    manifest, model, _ = read_prematch(_folder(Path(config.model)))
    if date.fromisoformat(config.since) < date.fromisoformat(manifest.trained_until):
        raise SetupError(
            f"since={config.since}: {config.model} was trained until {manifest.trained_until}; score later matches only"
        )
    table = load_table(Path(config.data.root))
    known = next(name for name in KNOWN if name == config.inputs)
    span = np.flatnonzero((table.day >= _day(config.since)) & (table.day < _day(config.until)))
    if not len(span):
        raise SetupError(f"{config.data.root}: no match with {config.since} <= date < {config.until}")
    table = table.rows(table.day < _day(config.until))
    inputs = prematch_inputs(table)
    table, inputs = table.rows(span), inputs.rows(span)
    answer = forecast(model, table, inputs, known)
    head = f"model {manifest.model_version}, trained until {manifest.trained_until} (exclusive), inputs={known}"
    lines = [head, f"[{config.since}, {config.until}), forecasts: {len(table)}"]
    lines += _tables(config, table, inputs, answer)
    if config.out:
        _write(Path(config.out), table, answer, manifest.model_version)
        title = f"{manifest.model_version}: before kick-off, {known}"
        write_report(report_path(config), title, lines, [_reliability(table, inputs, answer)])
    return lines


def _reliability(table: ResultTable, inputs: PrematchInputs, answer: PrematchForecast) -> Drawn:
    """Draw the model's beside the close's, where that is known, on the same matches."""
    outcome = table.outcome()
    played = outcome >= 0
    priced = played & np.isfinite(inputs.close).all(axis=1)
    rows = priced if priced.any() else played
    phases = {"model": answer.outcome[rows]} | ({"close": inputs.close[rows]} if priced.any() else {})
    return reliability_figure(phases, outcome[rows])


def _folder(model: Path) -> Path:
    """Return where the part before kick-off lies: below the in-play network that it was fitted with, or alone."""
    return model / PREMATCH_FOLDER if (model / PREMATCH_FOLDER).is_dir() else model


def _day(text: str) -> int:
    return (date.fromisoformat(text) - _EPOCH).days


def _write(path: Path, table: ResultTable, answer: PrematchForecast, version: str) -> None:
    columns: dict[str, object] = {
        "match_key": table.keys(),
        "minute": np.zeros(len(table), np.int32),
    }
    for side, name in enumerate(("home", "draw", "away")):
        columns[f"p_{name}"] = answer.outcome[:, side]
        columns[f"p_{name}_lo"], columns[f"p_{name}_hi"] = answer.low[:, side], answer.high[:, side]
    columns["p_over25"] = answer.over
    columns["goals_home"], columns["goals_away"] = np.exp(answer.log_rates).T
    columns["basis"] = answer.basis
    columns["model_version"] = [version] * len(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _tables(config: EvaluateConfig, table: ResultTable, inputs: PrematchInputs, answer: PrematchForecast) -> list[str]:
    scored = Scored(
        week=table.day // 7,
        outcome=table.outcome(),
        model=answer.outcome,
        pre=inputs.pre,
        close=inputs.close,
    )
    has_pre, has_close = (np.isfinite(prices).all(axis=1) for prices in (scored.pre, scored.close))
    main, played = table.in_leagues(MAIN_LEAGUES), scored.outcome >= 0
    groups = {
        "22 main leagues": played & main & has_pre & has_close,
        "top five": played & table.in_leagues(TOP_FIVE) & has_pre & has_close,
        "other leagues": played & ~main & has_close,
    }
    lines = []
    for name, chosen in groups.items():
        if chosen.any():
            lines += ["", *_table(name, scored.rows(chosen), config)]
    return lines


def _table(name: str, scored: Scored, config: EvaluateConfig) -> list[str]:
    decided = scored.outcome != 1
    lines = [f"{name}: n={len(scored.outcome)}, drawn {1 - decided.mean():.3f}; RPS, log loss, accuracy, D1"]
    markets = {"pre-match odds": scored.pre, "close": scored.close}
    markets = {market: prices for market, prices in markets.items() if np.isfinite(prices).all()}
    for who, table in {"model": scored.model, **markets}.items():
        scores = (ranked_probability_score, log_loss, accuracy)
        means = [f"{score(table, scored.outcome).mean():.5f}" for score in scores]
        lines.append(f"  {who:16}" + "  ".join(means) + f"  {_right_side(table, scored.outcome)[decided].mean():.4f}")
    for market, prices in markets.items():
        lines += [f"  model - {market}: {line}" for line in _differences(scored, prices, config)]
    if "pre-match odds" in markets:
        lines += [f"  {line}" for line in _moves(scored, config)]
    return [*lines, *(f"  {line}" for line in _selective(scored, config))]


def _differences(scored: Scored, prices: FloatArray, config: EvaluateConfig) -> list[str]:
    decided = scored.outcome != 1
    lines = []
    for name, score in (("RPS", ranked_probability_score), ("log loss", log_loss)):
        gain = score(scored.model, scored.outcome) - score(prices, scored.outcome)
        lines.append(f"{name} {_interval(_bootstrap(gain, scored.week, config))}")
    right = _right_side(scored.model, scored.outcome) - _right_side(prices, scored.outcome)
    return [*lines, f"D1 {_interval(_bootstrap(right[decided], scored.week[decided], config))}"]


def _moves(scored: Scored, config: EvaluateConfig) -> list[str]:
    """Return how much of the gap to the close is closed, and how often the direction of the move is right (D3)."""
    model, pre, close = (
        ranked_probability_score(table, scored.outcome) for table in (scored.model, scored.pre, scored.close)
    )
    sums = resampled_sums(np.stack([pre - model, pre - close], axis=1), scored.week, config.seed, config.resamples)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    share = (pre - model).sum() / (pre - close).sum()
    lines = [f"share of the gap from pre-match odds to the close that is closed: {share:.3f} [{low:.3f}, {high:.3f}]"]
    moved, expected = (_lean(table) - _lean(scored.pre) for table in (scored.close, scored.model))
    right = (np.sign(moved) == np.sign(expected)).astype(np.float64)
    for name, rows in (("all", moved != 0), ("largest fifth", _largest_fifth(expected) & (moved != 0))):
        at = _bootstrap(right[rows], scored.week[rows], config)
        lines.append(f"D3, {name}: {at.mean:.4f} [{at.low:.4f}, {at.high:.4f}], n={int(rows.sum())}")
    return lines


def _selective(scored: Scored, config: EvaluateConfig) -> list[str]:
    """Return D2: coverage and accuracy at the frozen threshold, and the threshold that would do here."""
    best, right = scored.model.max(axis=1), accuracy(scored.model, scored.outcome)
    order = np.argsort(-best, kind="stable")
    running = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(running >= SELECTIVE)
    lines = []
    if len(reached):
        last = reached[-1]
        lines.append(
            f"D2 here: threshold {best[order][last]:.4f} reaches {SELECTIVE} at coverage {(last + 1) / len(best):.4f}"
        )
    if config.threshold > 0:
        above = best >= config.threshold
        covered = _bootstrap(above.astype(np.float64), scored.week, config)
        hit = _bootstrap(right[above], scored.week[above], config) if above.any() else None
        at = f", accuracy {hit.mean:.4f} [{hit.low:.4f}, {hit.high:.4f}]" if hit else ""
        lines.append(
            f"D2 at {config.threshold:.4f}: coverage {covered.mean:.4f} [{covered.low:.4f}, {covered.high:.4f}]{at}"
        )
    return lines


def _right_side(table: FloatArray, outcome: IntArray) -> FloatArray:
    """Return (n,): whether the likelier of home and away won."""
    return np.asarray((table[:, 0] > table[:, 2]) == (outcome == 0), dtype=np.float64)


def _lean(table: FloatArray) -> FloatArray:
    return np.asarray(table[:, 0] - table[:, 2], dtype=np.float64)


def _largest_fifth(expected: FloatArray) -> BoolArray:
    size = np.abs(expected)
    return np.asarray(size >= np.quantile(size, 0.8))


def _bootstrap(values: FloatArray, week: IntArray, config: EvaluateConfig) -> Interval:
    return paired_bootstrap(values, config.seed, config.resamples, groups=week)


def _interval(gain: Interval) -> str:
    return f"{gain.mean:+.5f} [{gain.low:+.5f}, {gain.high:+.5f}]"
