"""Fits how much of a half is still to come once its clock is past 45 minutes."""

import numpy as np

from training.live_data import FloatArray, HalfLengths, need_rows


def fit_stoppage(lengths: HalfLengths) -> FloatArray:
    """Fit stoppage from how long halves lasted: goals come at an even pace, so time left stands for goals left.

    Returns (5,): share of the ninth block (40:00 to half time) that lies behind 45:00; floor and decay of each half.
    """
    first, second = lengths.first_s - 45 * 60, lengths.second_s - 45 * 60
    added = float(np.maximum(first, 0).mean())
    return np.array([added / (300 + added), *_fit_tail(first), *_fit_tail(second)])


def _fit_tail(over_s: FloatArray) -> tuple[float, float]:
    """Fit floor and decay of the mean time left, given that the half is still on, by weighted least squares."""
    elapsed = np.arange(0, 8 * 60, 15.0)
    on = np.array([(over_s > at).sum() for at in elapsed])
    need_rows(int(on[0]), "wyscout: no half lasted longer than 45 minutes")
    left = np.array([np.maximum(over_s[over_s > at] - at, 0).mean() if (over_s > at).any() else 0.0 for at in elapsed])
    best = (np.inf, 0.5, 90.0)
    for floor in np.arange(0.05, 0.96, 0.05):
        for decay in np.arange(15.0, 301.0, 15.0):
            shape = floor + (1 - floor) * np.exp(-elapsed / decay)
            miss = float((on * (left - left[0] * shape) ** 2).sum())
            best = min(best, (miss, float(floor), float(decay)))
    return best[1], best[2]
