"""Writes what the stages found as one folder: the in-play network, and in prematch/ the forecast before kick-off."""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.drift import INPUTS, REFERENCE, Reference, describe
from training.calibration import CONFORMAL, conformal_threshold
from training.live_data import FloatArray, LiveMatches
from training.live_score import MINUTES, POOLED, baseline, forecast, inputs_at, score
from training.model_file import (
    IN_PLAY,
    PREMATCH,
    PREMATCH_FOLDER,
    Expected,
    Golden,
    Manifest,
    check_tensors,
    encode_weights,
    expected_shapes,
    sha256,
    write_model,
)
from training.network import TorchForecaster
from training.prematch.model import input_names, variant_of
from training.prematch.store import KIND as PREMATCH_KIND
from training.prematch.store import InputNames
from training.stages import PREMATCH_PREFIX, Progress, Work

KIND = "in-play network: odds-anchored score-state chain, corrected by shots, goals and state"
_REDS = ("home_reds", "away_reds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model comes from, but for what it was fitted from and how."""

    version: str
    code_commit: str | None
    data: dict[str, str]  # sha256 of each file


def version_of(out: Path) -> str:
    """Return the version that a model's folder stands for: its name, in the characters that a version may have.

    >>> version_of(Path("/models/Our model_A"))
    'our-model-a'
    """
    return re.sub("[^a-z0-9.]+", "-", out.name.lower()).lstrip("-.")[:64] or "model"


def write_models(folder: Path, origin: Origin, work: Work, progress: Progress) -> None:
    """Write both parts of a fitted model."""
    work.report("writing the model")
    manifest = manifest_of(origin, work, progress)
    write_prematch(folder / PREMATCH_FOLDER, work, progress, manifest)
    _write_in_play(folder, work, progress, manifest)


def manifest_of(origin: Origin, work: Work, progress: Progress) -> Manifest:
    """Return the in-play network's manifest, but for what only its written weights can tell."""
    return Manifest(
        format=IN_PLAY,
        model_version=origin.version,
        kind=KIND,
        note=f"Nothing dated on or after {work.until} was used, so every suite cut off there or later may score it.",
        trained_until=work.until.isoformat(),
        seed=work.seed,
        fitted_in_s=round(progress.took_s, 1),
        code_commit=origin.code_commit,
        data_hash=sha256(msgspec.json.encode(origin.data)),
        data=origin.data,
        inputs=ForecastInputs.__struct_fields__,
        metrics={},
        weights_sha256="0" * 64,
        vocabulary_sha256="0" * 64,
        golden=(),
    )


def write_prematch(folder: Path, work: Work, progress: Progress, manifest: Manifest) -> None:
    """Write the part before kick-off; what `manifest` says of the in-play network is put right."""
    found = {
        name.removeprefix(PREMATCH_PREFIX): array
        for name, array in progress.arrays.items()
        if name.startswith(PREMATCH_PREFIX)
    }
    keys = [name.removesuffix(".weights") for name in found if name.endswith(".weights")]
    names = {key: input_names(variant_of(key), work.prematch) for key in keys}
    weights, vocabulary = encode_weights(_tensors(found)), msgspec.json.encode(InputNames(inputs=names))
    manifest = msgspec.structs.replace(
        manifest,
        format=PREMATCH,
        kind=PREMATCH_KIND,
        inputs=names["pre_odds"],
        metrics={"fitted_matches": float(np.isfinite(work.results.goals[:, 0]).sum())},
        weights_sha256=sha256(weights),
        vocabulary_sha256=sha256(vocabulary),
    )
    write_model(folder, weights, vocabulary, manifest)


def _write_in_play(folder: Path, work: Work, progress: Progress, manifest: Manifest) -> None:
    """Write the model, load it as serving does, and write it again with its own answers, scores and thresholds."""
    shapes, chain = expected_shapes(progress.vocabulary, IN_PLAY), progress.chain()
    tensors = _tensors({name: array for name, array in progress.arrays.items() if name in shapes})
    tensors["effect"] = chain.module().effect
    check_tensors(tensors, shapes, folder)
    weights, names = encode_weights(tensors), msgspec.json.encode(progress.vocabulary)
    reference = msgspec.json.encode(reference_of(work.matches, work.cards))
    manifest = msgspec.structs.replace(
        manifest,
        weights_sha256=sha256(weights),
        vocabulary_sha256=sha256(names),
        reference_sha256=sha256(reference),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REFERENCE).write_bytes(reference)
    write_model(folder, weights, names, manifest)
    forecaster = TorchForecaster(folder)
    golden = _golden(forecaster, golden_inputs(work.matches, work.cards))
    metrics = {"fitted_matches": float(len(work.matches)), "fitted_matches_with_cards": float(len(work.cards))}
    metrics |= _metrics(forecaster, work.matches)
    write_model(folder, weights, names, msgspec.structs.replace(manifest, golden=golden, metrics=metrics))


def reference_of(matches: LiveMatches, cards: LiveMatches) -> Reference:
    """Return how each input was in the matches of the fit; red cards in those whose cards have times."""
    rows, with_reds = ({minute: inputs_at(each, minute) for minute in MINUTES} for each in (matches, cards))
    return Reference(inputs=tuple(describe(name, with_reds if name in _REDS else rows) for name in INPUTS))


def _tensors(arrays: dict[str, FloatArray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _golden(forecaster: TorchForecaster, inputs: list[ForecastInputs]) -> tuple[Golden, ...]:
    return tuple(
        Golden(
            inputs=row,
            expected=Expected(
                basis=answer.basis,
                home_rate=answer.home_rate,
                away_rate=answer.away_rate,
                next_home=answer.distribution.next_home,
                next_away=answer.distribution.next_away,
                remaining=tuple(map(tuple, answer.distribution.remaining.tolist())),
                intervals=answer.intervals,
            ),
        )
        for row, answer in zip(inputs, forecaster.predict(inputs), strict=True)
    )


def _metrics(forecaster: TorchForecaster, matches: LiveMatches) -> dict[str, float]:
    """Return scores on the fit's own matches, and its conformal thresholds: they are many to its few weights."""
    chances, metrics = forecast(forecaster, matches).chances, {}
    for who, table in (("model", chances), ("baseline", baseline(matches))):
        scores = score(table, matches)
        metrics[f"fitted_rps_{who}"] = round(float(scores.rps[POOLED].mean()), 6)
        metrics[f"fitted_log_loss_{who}"] = round(float(scores.log_loss[POOLED].mean()), 6)
    for minute, table in zip(MINUTES, chances, strict=True):
        metrics[CONFORMAL.format(minute=minute)] = round(conformal_threshold(table, matches.outcome, 0.9), 6)
    return metrics


def golden_inputs(matches: LiveMatches, cards: LiveMatches) -> list[ForecastInputs]:
    """Return inputs that reach every part of the model."""
    change = msgspec.structs.replace
    home, draw, away = matches.prices[0].tolist()
    total = next(((2.5, o, u) for o, u in matches.over_under.tolist() if o > 1 and u > 1), None)
    prices = ForecastInputs(anchor_1x2=(home, draw, away), anchor_over_under=total)
    goal = GoalAt(1, 31 * 60_000, "home")
    shown = change(prices, league="E0", home_shots=9, away_shots=4, shots_by="understat", goals=(goal,))
    named = ForecastInputs(league=cards.league[0], home_team=cards.home[0], away_team=cards.away[0])
    return [
        prices,
        change(prices, period=1, clock_ms=23 * 60_000 + 500, home_goals=1),
        change(shown, period=2, clock_ms=16 * 60_000, home_goals=1, away_reds=1),
        change(shown, league="nowhere", shots_by="wyscout", period=1, clock_ms=44 * 60_000, home_goals=1),
        change(prices, period=1, clock_ms=46 * 60_000, away_goals=2, away_reds=1, anchor_over_under=None),
        change(prices, period=2, clock_ms=0, anchor_over_under=(2.75, 2.02, 1.84)),
        change(prices, period=2, clock_ms=47 * 60_000, home_goals=1, away_goals=1, home_reds=2),
        ForecastInputs(period=2, clock_ms=30 * 60_000, anchor_1x2=(1.01, 50.0, 100.0)),
        named,
        change(named, home_team="A team that nobody has rated", period=2, clock_ms=1_000, away_goals=1),
        ForecastInputs(period=3),
    ]
