"""The inputs of the forecast before kick-off, by name: from the results table, each blind to its own day and later.

Groups: `play` from what happened on the pitch, `past_prices` from the prices of finished matches, `price` from the
prices of the match itself before kick-off (the close is never among them).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.prematch import form
from training.prematch.averages import DECAYS, moving_averages
from training.prematch.filters import run
from training.prematch.odds import fair_power, fair_share, implied_log_rates
from training.prematch.signals import GOALS_SHARE, PLAY, PRICES, composite, observed
from training.prematch.table import BOOKS, FloatArray, IntArray, ResultTable

_DETAILED = {"go", "cp", *(signal.name for signal in PRICES)}  # with attack, defence, variance and home advantage
_OVERALL = ("attack_home", "defence_home", "attack_away", "defence_away", "variance", "home")
_TIERS, _YEAR_DAYS = 5, 365.25
_LOGIT_BOUND = 1e-4  # prices beyond say nothing finer


@dataclass(frozen=True, slots=True)
class Inputs:
    """Named columns of one group, (n, k) float64; NaN where not known."""

    names: tuple[str, ...]
    values: FloatArray

    def column(self, name: str) -> FloatArray:
        """Return the (n,) column of that name."""
        column: FloatArray = self.values[:, self.names.index(name)]
        return column

    def without(self, name: str) -> "Inputs":
        """Return the inputs with that column not known."""
        return Inputs(self.names, np.where([each == name for each in self.names], np.nan, self.values))

    def rows(self, chosen: IntArray | NDArray[np.bool_]) -> "Inputs":
        """Return the chosen rows only."""
        return Inputs(self.names, self.values[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class PrematchInputs:
    """All groups, and the fair prices they were made beside."""

    play: Inputs
    past_prices: Inputs
    price: Inputs
    pre: FloatArray  # (n, 3) probabilities by the pre-match prices, NaN where there are none
    close: FloatArray  # (n, 3) likewise at the close
    pre_over: FloatArray  # (n,) P(over 2.5)
    close_over: FloatArray

    def rows(self, chosen: IntArray | NDArray[np.bool_]) -> "PrematchInputs":
        """Return the chosen rows only."""
        return PrematchInputs(
            play=self.play.rows(chosen),
            past_prices=self.past_prices.rows(chosen),
            price=self.price.rows(chosen),
            pre=self.pre[chosen],
            close=self.close[chosen],
            pre_over=self.pre_over[chosen],
            close_over=self.close_over[chosen],
        )


def prematch_inputs(table: ResultTable) -> PrematchInputs:
    """Compute every input of every match of the table; a match without goals is a fixture and teaches nothing."""
    pre, close = fair_power(table.pre), fair_power(table.close)
    pre_over, close_over = fair_share(table.pre_total), fair_share(table.close_total)
    latest = np.where(np.isfinite(close), close, pre)
    latest_over = np.where(np.isfinite(close_over), close_over, pre_over)
    implied = np.where(np.isfinite(table.goals), implied_log_rates(latest, latest_over), np.nan)
    unused = np.zeros((len(table), 2))
    known = {signal.name: run(signal, table, *observed(signal, table, unused))[1] for signal in PLAY}
    play = [*(_of_filter(name, columns) for name, columns in known.items()), _form(table, known), _calendar(table)]
    priced = {signal.name: run(signal, table, *observed(signal, table, implied))[1] for signal in PRICES}
    rated = _joined([_of_filter(name, columns) for name, columns in priced.items()])
    past_prices = _joined([rated, _surprise(table, implied, implied_log_rates(pre, pre_over), rated, play[3])])
    return PrematchInputs(
        play=_joined(play),
        past_prices=past_prices,
        price=_price(table, pre, pre_over, past_prices, play[3]),
        pre=pre,
        close=close,
        pre_over=pre_over,
        close_over=close_over,
    )


def logits(outcome: FloatArray) -> FloatArray:
    """Return (n, 2): log odds of home and of away against the draw.

    >>> logits(np.array([[0.5, 0.25, 0.25]])).round(3)
    array([[0.693, 0.   ]])
    """
    logs = np.log(np.maximum(outcome, _LOGIT_BOUND))
    return logs[:, [0, 2]] - logs[:, [1]]


def logit(p: FloatArray) -> FloatArray:
    """Return the log odds of (n,) probabilities."""
    bounded = np.clip(p, _LOGIT_BOUND, 1 - _LOGIT_BOUND)
    return np.asarray(np.log(bounded / (1 - bounded)), dtype=np.float64)


def _of_filter(name: str, known: FloatArray) -> Inputs:
    """Return supremacy and total of a filter's log rates, and the rest where it is one of the detailed."""
    parts = [known[:, 0] - known[:, 1], known[:, 0] + known[:, 1]]
    names = [f"{name}_supremacy", f"{name}_total"]
    if name in _DETAILED:
        parts += list(known[:, 2:].T)
        names += [f"{name}_{column}" for column in _OVERALL]
    return Inputs(tuple(names), np.stack(parts, axis=1))


def _form(table: ResultTable, known: dict[str, FloatArray]) -> Inputs:
    goals, comp = _residual(table.goals, known["go"]), _residual(composite(table), known["cp"])
    return Inputs(form.NAMES, form.form_inputs(table, goals, comp))


def _residual(counts: FloatArray, known: FloatArray) -> FloatArray:
    rates = np.exp(known[:, :2])
    return np.asarray(counts[:, 0] - counts[:, 1] - (rates[:, 0] - rates[:, 1]), dtype=np.float64)


def _calendar(table: ResultTable) -> Inputs:
    year = 2 * np.pi * table.day / _YEAR_DAYS
    weekday = (table.day + 3) % 7  # Monday is 0
    parts = [np.sin(year), np.cos(year), (weekday >= 5).astype(np.float64), table.hour]
    parts += [(table.tier == tier).astype(np.float64) for tier in range(1, _TIERS + 1)]
    names = ["year_sine", "year_cosine", "weekend", "hour", *(f"tier_{tier}" for tier in range(1, _TIERS + 1))]
    return Inputs(tuple(names), np.stack(parts, axis=1))


def _price(table: ResultTable, pre: FloatArray, pre_over: FloatArray, past: Inputs, shots: Inputs) -> Inputs:
    """Return what the match's own early prices say: level, books' disagreement, handicap, ratings beside them."""
    base, implied = logits(pre), implied_log_rates(pre, pre_over)
    supremacy, total = implied[:, 0] - implied[:, 1], implied[:, 0] + implied[:, 1]
    columns = {
        "pre_home": base[:, 0],
        "pre_away": base[:, 1],
        "pre_over": logit(pre_over),
        "pre_supremacy": supremacy,
        "pre_total": total,
        "pre_overround": (1 / table.pre).sum(axis=1) - 1,
        "pre_total_overround": (1 / table.pre_total).sum(axis=1) - 1,
    }
    for number, book in enumerate(BOOKS):
        away_from = logits(fair_power(table.books[:, number])) - base
        columns[f"{book}_minus_pre_home"], columns[f"{book}_minus_pre_away"] = away_from[:, 0], away_from[:, 1]
    spread = np.log(table.books[:, list(BOOKS).index("max")] / table.books[:, list(BOOKS).index("avg")])
    for side, name in enumerate(("home", "draw", "away")):
        columns[f"max_over_avg_{name}"] = spread[:, side]
    line, share = table.handicap[:, 0], logit(fair_share(table.handicap[:, 1:]))
    columns["handicap_line"], columns["handicap_share"] = line, share
    columns["handicap_minus_supremacy"] = -line - supremacy * np.exp(total / 2)  # both in goals, to first order
    for name in ("im", "im2", "im3"):
        columns[f"{name}_minus_supremacy"] = past.column(f"{name}_supremacy") - supremacy
        columns[f"{name}_minus_total"] = past.column(f"{name}_total") - total
    columns["cp_minus_supremacy"] = shots.column("cp_supremacy") - supremacy
    columns["cp_minus_total"] = shots.column("cp_total") - total
    return Inputs(tuple(columns), np.stack(list(columns.values()), axis=1))


def _surprise(table: ResultTable, implied: FloatArray, early: FloatArray, rated: Inputs, shots: Inputs) -> Inputs:
    """Return moving averages of how a team did beside its prices, and its prices beside what came before them."""
    expected, composed = np.exp(implied), composite(table)
    lead, level = expected[:, 0] - expected[:, 1], implied[:, 0] - implied[:, 1]
    goals, mixed = (counts[:, 0] - counts[:, 1] for counts in (table.goals, composed))
    has_shots = np.isfinite(table.shots).all(axis=1)
    surprises = {
        "comp_beside_price": mixed - lead,
        "goals_beside_price": goals - lead,
        "shots_beside_price": np.where(has_shots, mixed - GOALS_SHARE * goals - (1 - GOALS_SHARE) * lead, np.nan),
        "price_beside_rating": level - rated.column("im_supremacy"),
        "price_beside_shots": level - shots.column("cp_supremacy"),
        "price_move": level - (early[:, 0] - early[:, 1]),
    }
    averages = moving_averages(table, np.stack(list(surprises.values()), axis=1))
    names = [f"{side}_{name}_{decay}" for side in ("home", "away") for decay in DECAYS for name in surprises]
    return Inputs(tuple(names), averages.reshape(len(table), -1))


def _joined(groups: list[Inputs]) -> Inputs:
    names = tuple(name for group in groups for name in group.names)
    return Inputs(names, np.concatenate([group.values for group in groups], axis=1))
