"""Fits what a red card does to the rates of both sides."""

from dataclasses import dataclass

import numpy as np

from training.fit_chain import Chain, exposure_of, goals_and_lead, solve_rates
from training.live_data import MINUTES, FloatArray, LiveMatches
from training.poisson import curvature, poisson_ridge

_RED_PRIOR = ((0.70, 0.15), (1.40, 0.15))  # own, opponent: model notes, step 7; standard deviation of the logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Reds:
    """Log factors of an own and an opponent's red card."""

    log_factor: FloatArray  # (2,)
    covariance: FloatArray  # (2, 2)


def fit_reds(matches: LiveMatches, chain: Chain, default_over: FloatArray) -> Reds:
    """Fit the factors of an own and an opponent's red card by the Poisson likelihood of goals per minute."""
    rates = solve_rates(chain, matches, default_over).rates.numpy()
    goals, lead = goals_and_lead(matches)
    effect = np.exp(chain.log_effect)
    expected = exposure_of(rates, chain.share, lead) * np.stack([effect[side][lead] for side in (0, 1)])
    reds = matches.reds if matches.reds is not None else np.zeros((len(matches), MINUTES, 2), np.int64)
    own, other = np.moveaxis(reds, 2, 0), np.moveaxis(reds[:, :, ::-1], 2, 0)
    seen = (own + other) > 0  # the rest says nothing about cards
    design = np.stack([own[seen], other[seen]], axis=1).astype(np.float64)
    middle = np.log([factor for factor, _ in _RED_PRIOR])
    precision = np.diag([spread**-2.0 for _, spread in _RED_PRIOR])
    log_factor = poisson_ridge(design, np.moveaxis(goals, 2, 0)[seen], expected[seen], middle, precision)
    mean = expected[seen] * np.exp(design @ log_factor)
    covariance = np.asarray(np.linalg.inv(curvature(design, mean, precision)), dtype=np.float64)
    return Reds(log_factor=log_factor, covariance=covariance)
