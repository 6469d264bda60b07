"""The linear forecasts before kick-off and which of them speaks, by what is known of the match.

`no_odds` and `past_odds` are logits of the result; `pre_odds` starts from the early prices and predicts where the
close will be; at the close nothing of ours adds, and the forecast is the fair close itself. Every variant carries a
few bootstrap members beside its weights, from which the intervals come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from training.prematch.inputs import PrematchInputs, logit, logits
from training.prematch.linear import Scale, softmax
from training.prematch.odds import implied_log_rates
from training.prematch.table import MAIN_LEAGUES, FloatArray, ResultTable

Known = Literal["full", "no_odds", "past_odds", "pre_odds", "close_odds"]
KNOWN: tuple[Known, ...] = get_args(Known)
Variant = Literal["no_odds", "past_odds", "pre_odds", "close_odds"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)  # from the least known to the most
MEMBERS = 20
_GROUPS = ("main", "rest")  # leagues with match statistics and early prices, and all others
_NORMAL_90 = 1.6449  # standard deviations on either side of a 90 % interval

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """One variant's weights for one group of leagues: k inputs and a constant."""

    scale: Scale
    weights: FloatArray  # (1 + MEMBERS, k + 1, 2) log odds of home and away against the draw; the first is the forecast
    over: FloatArray  # (k + 1, 1) log odds of more than 2.5 goals


@dataclass(frozen=True, slots=True, kw_only=True)
class PrematchModel:
    """All weights."""

    linear: Mapping[str, Linear]  # by variant and group, such as no_odds.main; pre_odds serves both
    recalibration: FloatArray  # (MEMBERS, 3, 2) how far bootstrap fits of the close are from their own mean


@dataclass(frozen=True, slots=True, kw_only=True)
class PrematchForecast:
    """Forecasts of n matches; with `outcome` and `over` the score-state chain's rates can be solved."""

    outcome: FloatArray  # (n, 3) probabilities of home, draw, away after 90 minutes
    low: FloatArray  # (n, 3) 90 % interval of each
    high: FloatArray
    over: FloatArray  # (n,) probability of more than 2.5 goals
    log_rates: FloatArray  # (n, 2) of the goals of home and away under which both hold, as nearly as can be
    basis: tuple[Variant, ...]  # which variant spoke

    def chain_targets(self) -> list[tuple[float, float, float, float]]:
        """Return what `training.anchored.stack_targets` takes: home's share of decided matches, draw, over, line."""
        home, draw, away = self.outcome.T
        share = (home / (home + away)).tolist()
        return [(*row, 2.5) for row in zip(share, draw.tolist(), self.over.tolist(), strict=True)]


def design(variant: Variant, inputs: PrematchInputs) -> FloatArray:
    """Return the (n, k) inputs that a variant may see."""
    match variant:
        case "no_odds":
            return inputs.play.values
        case "past_odds":
            return np.concatenate([inputs.play.values, inputs.past_prices.values], axis=1)
        case "pre_odds":
            groups = (inputs.price, inputs.play, inputs.past_prices)
            return np.concatenate([group.values for group in groups], axis=1)
        case "close_odds":
            return np.zeros((len(inputs.close), 0))


def input_names(variant: Variant, inputs: PrematchInputs) -> tuple[str, ...]:
    """Return the names of the columns of `design`."""
    groups = {
        "no_odds": (inputs.play,),
        "past_odds": (inputs.play, inputs.past_prices),
        "pre_odds": (inputs.price, inputs.play, inputs.past_prices),
        "close_odds": (),
    }
    return tuple(name for group in groups[variant] for name in group.names)


def variant_of(key: str) -> Variant:
    """Return the variant of a key of `PrematchModel.linear`.

    >>> variant_of("no_odds.main")
    'no_odds'
    """
    return next(variant for variant in VARIANTS if key.split(".")[0] == variant)


def group_of(table: ResultTable) -> NDArray[np.str_]:
    """Return (n,): the group whose weights a match's league uses; a league never seen is of the rest."""
    return np.where(table.in_leagues(MAIN_LEAGUES), *_GROUPS)


def forecast(model: PrematchModel, table: ResultTable, inputs: PrematchInputs, known: Known) -> PrematchForecast:
    """Forecast every match of the table from what `known` allows, or from the next best where that is missing."""
    n = len(table)
    score, spread, over = np.full((n, 2), np.nan), np.full((n, 3), np.nan), np.full(n, np.nan)
    chosen = choose(inputs, known)
    groups = group_of(table)
    for variant in VARIANTS:
        for group in _GROUPS:
            rows = np.flatnonzero((chosen == variant) & (groups == group))
            if len(rows):
                score[rows], spread[rows], over[rows] = _speak(model, variant, group, inputs.rows(rows))
    outcome = softmax(score)
    centre = logit(outcome)
    return PrematchForecast(
        outcome=outcome,
        low=_inverse(centre - _NORMAL_90 * spread),
        high=_inverse(centre + _NORMAL_90 * spread),
        over=over,
        log_rates=implied_log_rates(outcome, over),
        basis=tuple(chosen.tolist()),
    )


def choose(inputs: PrematchInputs, known: Known) -> NDArray[np.str_]:
    """Return (n,): the variant that speaks of each match."""
    chosen = np.full(len(inputs.pre), "no_odds" if known == "no_odds" else "past_odds", dtype="U10")
    if known in ("pre_odds", "close_odds", "full"):
        chosen[np.isfinite(inputs.pre).all(axis=1)] = "pre_odds"
    if known in ("close_odds", "full"):
        chosen[np.isfinite(inputs.close).all(axis=1)] = "close_odds"
    return chosen


def _speak(
    model: PrematchModel, variant: Variant, group: str, inputs: PrematchInputs
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log odds (n, 2), the deviation of each class's log odds over members (n, 3), and P(over 2.5)."""
    if variant == "close_odds":
        score = logits(inputs.close)
        members = score + _shifts(score, model.recalibration)
        return score, _deviation(members), np.where(np.isfinite(inputs.close_over), inputs.close_over, 0.5)
    keys = (f"{variant}.{group}", *(f"{variant}.{other}" for other in _GROUPS), variant)  # best first
    linear = next(model.linear[key] for key in keys if key in model.linear)
    scaled = linear.scale.apply(design(variant, inputs))
    scores = np.stack([scaled @ weights for weights in linear.weights])
    over = (scaled @ linear.over)[:, 0]
    if variant == "pre_odds":
        scores = scores + logits(inputs.pre)
        scores[1:] += _shifts(scores[0], model.recalibration)
        over = over + np.nan_to_num(logit(inputs.pre_over))
    return scores[0], _deviation(scores[1:]), _inverse(over)


def _shifts(score: FloatArray, recalibration: FloatArray) -> FloatArray:
    """Return (MEMBERS, n, 2): by how much the prices themselves may be wrong."""
    with_constant = np.concatenate([score, np.ones((len(score), 1))], axis=1)
    return np.stack([with_constant @ weights for weights in recalibration])


def _deviation(scores: FloatArray) -> FloatArray:
    """Return (n, 3): the standard deviation over members of each class's log odds against the rest."""
    return np.asarray(logit(softmax(scores)).std(axis=0), dtype=np.float64)


def _inverse(log_odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)
