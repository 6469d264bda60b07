"""The live suites: forecasts at seven minutes of every match, scored beside the protocol's baseline."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from actors.domain.errors import SetupError
from training.ablation import ablation, ablation_lines
from training.calibration import CONFORMAL, largest_error
from training.live_anchors import with_forecasts, without_prices
from training.live_data import LiveMatches, load_live
from training.live_score import MINUTES, POOLED, LiveForecasts, Scores, baseline, forecast, score
from training.metrics import FloatArray, Interval, paired_bootstrap
from training.model_file import PREMATCH_FOLDER, Manifest
from training.network import TorchForecaster
from training.options import EvaluateConfig, report_path
from training.prematch.model import KNOWN
from training.report import OUTCOMES, Drawn, gains_figure, reliability_figure, write_report
from training.score_comparables import comparables_table

SUITES = {"live_understat": "understat", "live_wyscout": "wyscout"}
INPUTS = ("full", "no_odds", "past_odds")
_MINUTES = tuple(f"{minute}'" for minute in MINUTES)


def run(config: EvaluateConfig) -> list[str]:
    """Score the matches of a suite and write a row per forecast; return the tables, line by line.

    Raises:
        SetupError: Unknown inputs, nothing to score, or the model was trained on what would be scored.
        ModelRejected: The model cannot be trusted.
    """
    torch.set_num_threads(1)
    _check_inputs(config)
    forecaster = TorchForecaster(Path(config.model))
    forecaster.verify()
    manifest = forecaster.manifest
    matches = _matches(config, manifest)
    seen, anchors = _as_seen(matches, config)
    ours = forecast(forecaster, seen)
    scores, reference = score(ours.chances, matches), score(baseline(matches), matches)
    worth = ablation(forecaster, seen, ours, config.seed, config.resamples)
    head = f"{config.suite}, inputs={config.inputs}, [{config.since}, {config.until}), n={len(matches)}"
    lines = [
        f"model {manifest.model_version}, trained until {manifest.trained_until} (exclusive)",
        head,
        anchors,
        *score_table(scores, reference, config),
        *_calibration(ours, matches, config.seed),
        *_conformal(ours, matches, manifest),
        *_comparables(ours, matches, manifest, {"model": scores, "baseline": reference}, config),
        *ablation_lines(worth),
    ]
    if config.out:
        write_rows(Path(config.out), matches, ours, manifest.model_version)
        gains = {name: _gains(getattr(scores, name) - getattr(reference, name), config) for name in ("rps", "log_loss")}
        write_report(
            report_path(config), f"{manifest.model_version}: {head}", lines, _figures(ours, matches, gains, worth)
        )
    return lines


def _check_inputs(config: EvaluateConfig) -> None:
    if config.inputs not in INPUTS:
        raise SetupError(f"inputs of a live suite must be one of {', '.join(INPUTS)}, was {config.inputs!r}")
    if config.inputs == "past_odds" and not (Path(config.model) / PREMATCH_FOLDER).is_dir():
        raise SetupError(f"{config.model}: has no {PREMATCH_FOLDER}/, which inputs=past_odds needs")


def _matches(config: EvaluateConfig, manifest: Manifest) -> LiveMatches:
    """Read what is scored: later matches than any that the model was fitted on."""
    since = date.fromisoformat(config.since)
    if date.fromisoformat(manifest.trained_until) > since:
        raise SetupError(f"{config.model}: trained until {manifest.trained_until}, since={since} is before it")
    matches = load_live(Path(config.data.root), SUITES[config.suite], since, date.fromisoformat(config.until))
    if not len(matches):
        raise SetupError(f"{config.data.root}: {config.suite} has no priced match in [{since}, {config.until})")
    return matches


def _figures(
    ours: LiveForecasts, matches: LiveMatches, gains: Mapping[str, list[Interval]], worth: Mapping[str, list[Interval]]
) -> list[Drawn]:
    return [
        gains_figure("Model less baseline; below 0 it is better; bars: 95 %", gains, _MINUTES),
        reliability_figure(dict(zip(_MINUTES, ours.chances, strict=True)), matches.outcome),
        gains_figure("RPS more without a group of inputs; above 0 the group helps", worth, _MINUTES),
    ]


def _as_seen(matches: LiveMatches, config: EvaluateConfig) -> tuple[LiveMatches, str]:
    """Return the matches with the prices that the inputs allow, or fair ones of our own; and what they are."""
    if config.inputs == "full":
        return matches, "rates from the closing prices"
    known = next(name for name in KNOWN if name == config.inputs)
    folder = Path(config.model) / PREMATCH_FOLDER
    if not folder.is_dir():
        return without_prices(matches), "rates from the ratings, as they were when the model was trained"
    seen = with_forecasts(matches, folder, Path(config.data.root), date.fromisoformat(config.until), known)
    found = int(np.isfinite(seen.prices[:, 0]).sum())
    return seen, f"rates from the forecast before kick-off, {known}, for {found} matches; from ratings for the others"


def write_rows(path: Path, matches: LiveMatches, forecasts: LiveForecasts, version: str) -> None:
    """Write one row per forecast, by minute, then by match."""
    columns: dict[str, object] = {
        "match_key": [str(number) for _ in MINUTES for number in matches.match_id.tolist()],
        "minute": pa.array(np.repeat(MINUTES, len(matches)), pa.int32()),
    }
    tables = (("", forecasts.chances), ("_lo", forecasts.low), ("_hi", forecasts.high))
    for suffix, table in tables:
        for k, outcome in enumerate(OUTCOMES):
            columns[f"p_{outcome}{suffix}"] = table[:, :, k].reshape(-1)
    columns["model_version"] = [version] * (len(MINUTES) * len(matches))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def score_table(ours: Scores, theirs: Scores, config: EvaluateConfig) -> list[str]:
    """Return the protocol's table: scores of both by minute, and paired differences with 95 % intervals."""
    lines = [f"{'':24}" + "".join(f"{minute:>21}'" for minute in MINUTES)]
    for name in ("rps", "log_loss", "accuracy"):
        mine, reference = getattr(ours, name), getattr(theirs, name)
        lines.append(f"{name + ' baseline':24}" + "".join(f"{value:>22.5f}" for value in reference.mean(axis=1)))
        lines.append(f"{name + ' model':24}" + "".join(f"{value:>22.5f}" for value in mine.mean(axis=1)))
        gains = _gains(mine - reference, config)
        lines.append(f"{'  difference x .001':24}" + "".join(f"{gain.thousandths():>22}" for gain in gains))
    pooled = (ours.rps - theirs.rps)[POOLED].mean(axis=0)
    gain = paired_bootstrap(pooled, config.seed, config.resamples)
    return [*lines, f"mean RPS over 15'-75', difference x .001: {gain.thousandths()}"]


def _gains(differences: FloatArray, config: EvaluateConfig) -> list[Interval]:
    """Return the mean and interval of each row of (minutes, n) differences."""
    return [paired_bootstrap(row, config.seed, config.resamples) for row in differences]


def _calibration(forecasts: LiveForecasts, matches: LiveMatches, seed: int) -> list[str]:
    found, bound = largest_error(forecasts.chances, matches.outcome, seed)
    return [
        f"largest calibration error over minutes and outcomes: {found:.4f}; a perfect forecaster's p95: {bound:.4f}"
    ]


def _conformal(forecasts: LiveForecasts, matches: LiveMatches, manifest: Manifest) -> list[str]:
    """Return how often outcome sets of nominal 90 % hold the result, in all and by league."""
    names = [CONFORMAL.format(minute=minute) for minute in MINUTES]
    if any(name not in manifest.metrics for name in names):
        return []
    given = forecasts.chances[:, np.arange(len(matches)), matches.outcome]
    inside = given >= np.array([manifest.metrics[name] for name in names])[:, None]
    lines = [f"outcome sets of 90 %: hold the result {inside.mean():.4f}" + _by_minute(inside.mean(axis=1).tolist())]
    for league in sorted(set(matches.league)):
        own = np.array([each == league for each in matches.league])
        lines.append(f"  {league}: {inside[:, own].mean():.4f}, n={own.sum()}")
    return lines


def _comparables(
    forecasts: LiveForecasts,
    matches: LiveMatches,
    manifest: Manifest,
    others: Mapping[str, Scores],
    config: EvaluateConfig,
) -> list[str]:
    """Return how comparables score beside the model that they are told of; only where that knows all there is."""
    if config.inputs != INPUTS[0]:
        return []
    root, until = Path(config.data.root), date.fromisoformat(manifest.trained_until)
    return comparables_table(root, until, forecasts, matches, others, config.seed, config.resamples)


def _by_minute(values: Sequence[float]) -> str:
    return "".join(f"; {minute}' {value:.3f}" for minute, value in zip(MINUTES, values, strict=True))
