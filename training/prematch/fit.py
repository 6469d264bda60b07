"""Fits every variant on what is dated before a day, and its bootstrap members on resampled weeks."""

from collections.abc import Callable

import numpy as np

from actors.domain.errors import SetupError
from training.prematch.inputs import PrematchInputs, logit, logits
from training.prematch.linear import (
    Scale,
    fit_logit,
    fit_ridge,
    fit_scale,
    logit_members,
    resample_weeks,
    ridge_members,
)
from training.prematch.model import (
    MEMBERS,
    BoolArray,
    Linear,
    Variant,
    design,
    group_of,
)
from training.prematch.table import FloatArray, ResultTable

_YEAR_DAYS = 365
RESULT_YEARS = 12.6  # of matches that the logits learn from; flat from 8 to 17 on validation
CLOSE_YEARS = 4.1  # of matches that tell where a close comes to lie
_RESULT_PENALTY, _CLOSE_PENALTY, _TOTAL_PENALTY = 300.0, 300.0, 300.0  # flat over a factor of ten on validation
_CALIBRATION_PENALTY = 1.0


def fit_variant(
    variant: Variant,
    table: ResultTable,
    inputs: PrematchInputs,
    random: np.random.Generator,
    report: Callable[[str], None],
) -> dict[str, Linear]:
    """Fit one variant on a table that ends the day before the model may speak; return its weights by variant and group.

    Raises:
        SetupError: No match has the prices that pre_odds learns from.
    """
    played, until = table.outcome() >= 0, int(table.day[-1]) + 1  # not the day asked for, which may be far ahead
    if variant == "pre_odds":
        rows = played & (table.day >= until - CLOSE_YEARS * _YEAR_DAYS) & _priced(inputs)
        if not rows.any():
            raise SetupError("results: no played match has both pre-match and closing prices: nothing to fit on")
        report(f"pre_odds: where the close comes to lie, {int(rows.sum())} matches")
        return {variant: _fit_close(table, inputs, rows, random)}
    groups, linear = group_of(table), dict[str, Linear]()
    recent = played & (table.day >= until - RESULT_YEARS * _YEAR_DAYS)
    over = _total_weights(variant, inputs, recent & (groups == "main"))
    for group in ("main", "rest"):
        rows = recent & (groups == group)
        report(f"{variant}: the result, {int(rows.sum())} matches of the {group} leagues")
        if rows.any():
            linear[f"{variant}.{group}"] = _fit_result(variant, table, inputs, rows, over, random)
    return linear


def _priced(inputs: PrematchInputs) -> BoolArray:
    return np.asarray(np.isfinite(inputs.pre).all(axis=1) & np.isfinite(inputs.close).all(axis=1))


def _fit_result(
    variant: Variant,
    table: ResultTable,
    inputs: PrematchInputs,
    rows: BoolArray,
    over: tuple[Scale, FloatArray],
    random: np.random.Generator,
) -> Linear:
    values, outcome, day = design(variant, inputs)[rows], table.outcome()[rows], table.day[rows]
    scale = fit_scale(values)
    scaled = scale.apply(values)
    best = fit_logit(scaled, outcome, _RESULT_PENALTY)
    drawn = resample_weeks(day, MEMBERS, random)
    members = logit_members(scaled, outcome, _RESULT_PENALTY, best, drawn)
    return Linear(scale=scale, weights=np.stack([best, *members]), over=_rescaled(over, scale))


def _total_weights(variant: Variant, inputs: PrematchInputs, rows: BoolArray) -> tuple[Scale, FloatArray]:
    """Learn what the market makes of the total: prices are a target here, never an input."""
    price = np.where(np.isfinite(inputs.close_over), inputs.close_over, inputs.pre_over)
    rows = rows & np.isfinite(price)
    values = design(variant, inputs)[rows]
    scale = fit_scale(values)
    return scale, fit_ridge(scale.apply(values), logit(price[rows])[:, None], _TOTAL_PENALTY)


def _rescaled(fitted: tuple[Scale, FloatArray], scale: Scale) -> FloatArray:
    """Return weights that say under `scale` what they said under their own, but for clipped and missing inputs."""
    own, weights = fitted
    slope = weights[:-1, 0] / own.deviation
    moving = np.where(np.isfinite(scale.deviation), scale.deviation, 0.0)
    constant = weights[-1, 0] + float((slope * (scale.mean - own.mean)).sum())
    return np.concatenate([slope * moving, [constant]])[:, None]


def _fit_close(table: ResultTable, inputs: PrematchInputs, rows: BoolArray, random: np.random.Generator) -> Linear:
    values, day = design("pre_odds", inputs)[rows], table.day[rows]
    shift = logits(inputs.close[rows]) - logits(inputs.pre[rows])
    scale = fit_scale(values)
    scaled = scale.apply(values)
    best = fit_ridge(scaled, shift, _CLOSE_PENALTY)
    members = ridge_members(scaled, shift, _CLOSE_PENALTY, best, resample_weeks(day, MEMBERS, random))
    total = logit(inputs.close_over[rows]) - logit(inputs.pre_over[rows])
    known = np.isfinite(total)
    over = fit_ridge(scaled[known], total[known][:, None], _CLOSE_PENALTY)
    return Linear(scale=scale, weights=np.stack([best, *members]), over=over)


def fit_recalibration(table: ResultTable, inputs: PrematchInputs, random: np.random.Generator) -> FloatArray:
    """Fit the result on the close's own log odds, on resampled weeks; return each fit's distance from their mean."""
    rows = (table.outcome() >= 0) & np.isfinite(inputs.close).all(axis=1)
    score = logits(inputs.close[rows])
    with_constant = np.concatenate([score, np.ones((len(score), 1))], axis=1)
    outcome, day = table.outcome()[rows], table.day[rows]
    best = fit_logit(with_constant, outcome, _CALIBRATION_PENALTY)
    drawn = resample_weeks(day, MEMBERS, random)
    fits = logit_members(with_constant, outcome, _CALIBRATION_PENALTY, best, drawn)
    return np.asarray(fits - fits.mean(axis=0), dtype=np.float64)
