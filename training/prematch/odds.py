"""Prices of many matches at once: the overround taken out, and the log rates of goals that would explain them."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from actors.domain.overround import MAX_ITERATIONS
from training.prematch.table import FloatArray

RHO = -0.06  # dependence of low scores, Dixon and Coles (1997), J. R. Stat. Soc. C 46(2); model notes, signal `im`
_GOALS = 11  # of a side, 0..10
_TOTAL_WEIGHT = 0.7  # of P(over 2.5) beside P(home) and P(away)
_MAX_STEPS = 12
_NUDGE = 1e-5


def fair_power(prices: FloatArray) -> FloatArray:
    """Take the overround out of (n, k) decimal prices by the power method; NaN where one is missing.

    The same as `actors.domain.overround.fair`, row by row, but for the last bits.

    >>> fair_power(np.array([[2.7, 2.3, 4.4]])).round(4)
    array([[0.3592, 0.4237, 0.2171]])
    """
    usable = _usable(prices)
    logs = -np.log(np.where(usable[:, None], prices, 2.0))
    low, high = np.log(prices.shape[1]) / -logs.min(axis=1), np.log(prices.shape[1]) / -logs.max(axis=1)
    k = np.ones(len(prices)).clip(low, high)
    for _ in range(MAX_ITERATIONS):
        powers = np.exp(k[:, None] * logs)
        total = powers.sum(axis=1)
        step = np.log(total) / ((powers * logs).sum(axis=1) / total)
        k = np.clip(k - step, low, high)
        if not len(k) or np.abs(step).max() < 1e-14:
            break
    powers = np.exp(k[:, None] * logs)
    return np.where(usable[:, None], powers / powers.sum(axis=1, keepdims=True), np.nan)


def fair_share(prices: FloatArray) -> FloatArray:
    """Return (n,): the first of two selections' probability, overround removed in proportion; NaN where missing."""
    usable = _usable(prices)
    inverse = 1 / np.where(usable[:, None], prices, 2.0)
    return np.where(usable, inverse[:, 0] / inverse.sum(axis=1), np.nan)


def implied_log_rates(outcome: FloatArray, over: FloatArray) -> FloatArray:
    """Return (n, 2): log rates whose Dixon-Coles grid comes nearest to P(home), P(away) and P(over 2.5).

    Args:
        outcome: (n, 3) probabilities of home, draw, away; NaN rows give NaN.
        over: (n,) P(over 2.5); NaN: the outcome alone decides.
    """
    rates: FloatArray = _solve_all(np.ascontiguousarray(outcome), np.ascontiguousarray(over))
    return rates


def _usable(prices: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((np.isfinite(prices) & (prices > 1)).all(axis=1))


def _grid_sums(home: float, away: float) -> tuple[float, float, float]:
    """Return P(home), P(away) and P(over 2.5) of the grid with these rates."""
    p_home, p_away = math.exp(-home), math.exp(-away)
    below = np.zeros(_GOALS)  # P(away's goals = k)
    for k in range(_GOALS):
        below[k] = p_away
        p_away *= away / (k + 1)
    wins, losses, under = 0.0, 0.0, 0.0
    for i in range(_GOALS):
        for j in range(_GOALS):
            cell = p_home * below[j]
            if i == 0 and j == 0:
                cell *= 1 - home * away * RHO
            elif i == 0 and j == 1:
                cell *= 1 + home * RHO
            elif i == 1 and j == 0:
                cell *= 1 + away * RHO
            elif i == 1 and j == 1:
                cell *= 1 - RHO
            if i > j:
                wins += cell
            elif i < j:
                losses += cell
            if i + j < 3:
                under += cell
        p_home *= home / (i + 1)
    return wins, losses, 1 - under


def _solve_one(p_home: float, p_away: float, over: float) -> tuple[float, float]:
    """Gauss-Newton on the log rates, damped to steps of a half."""
    weight = 0.0 if math.isnan(over) else _TOTAL_WEIGHT
    target = 0.5 if math.isnan(over) else over
    x, y = 0.3, 0.1
    for _ in range(_MAX_STEPS):
        a, b, c = _sums(math.exp(x), math.exp(y))
        ax, bx, cx = _sums(math.exp(x + _NUDGE), math.exp(y))
        ay, by, cy = _sums(math.exp(x), math.exp(y + _NUDGE))
        miss = np.array([p_home - a, p_away - b, weight * (target - c)])
        by_x = np.array([ax - a, bx - b, weight * (cx - c)]) / _NUDGE
        by_y = np.array([ay - a, by - b, weight * (cy - c)]) / _NUDGE
        xx, xy, yy = (by_x * by_x).sum() + 1e-12, (by_x * by_y).sum(), (by_y * by_y).sum() + 1e-12
        gx, gy = (by_x * miss).sum(), (by_y * miss).sum()
        determinant = xx * yy - xy * xy
        dx = min(max((yy * gx - xy * gy) / determinant, -0.5), 0.5)
        dy = min(max((xx * gy - xy * gx) / determinant, -0.5), 0.5)
        x, y = min(max(x + dx, -4.0), 2.2), min(max(y + dy, -4.0), 2.2)
        if abs(dx) + abs(dy) < 1e-9:
            break
    return x, y


def _solve_rows(outcome: FloatArray, over: FloatArray) -> FloatArray:
    rates = np.full((len(over), 2), np.nan)
    for row in range(len(over)):
        if not math.isnan(outcome[row, 0]):
            rates[row, 0], rates[row, 1] = _solve(outcome[row, 0], outcome[row, 2], over[row])
    return rates


_sums = numba.njit(cache=True)(_grid_sums)
_solve = numba.njit(cache=True)(_solve_one)
_solve_all = numba.njit(cache=True)(_solve_rows)
