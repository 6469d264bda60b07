"""Our own expected goals, for providers that send none: a logistic model of where and how a shot is taken.

The terms are the field's usual ones (Pollard and Reilly 1997, The Statistician 46(4); angle and distance as in Sumpter,
Soccermatics); the weights are fitted by `training.fit_quantities`.
"""

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.features.columns import BoolArray
from actors.domain.features.fitted import fitted
from actors.domain.features.pitch import goal_angle, goal_distance_m

TERMS = ("one", "distance", "log_distance", "angle", "header", "header_distance", "free_kick", "counter", "set_piece")
SET_PIECE_S = 10.0  # so long after its own corner or free kick a side's shot counts as from a set piece


def shot_terms(
    x: FloatArray, y: FloatArray, header: FloatArray, free_kick: FloatArray, counter: FloatArray, set_piece: FloatArray
) -> FloatArray:
    """Return the (n, TERMS) terms of n shots from open play or free kicks; the last four are 0 or 1."""
    distance = goal_distance_m(x, y)
    columns = (
        np.ones_like(x),
        distance,
        np.log(distance + 1),
        goal_angle(x, y),
        header,
        header * distance,
        free_kick,
        counter,
        set_piece,
    )
    return np.stack(columns, axis=-1)


def expected_goals(terms: FloatArray, is_penalty: BoolArray) -> FloatArray:
    """Return the probability that each of n shots is a goal; NaN where its place is unknown."""
    constants = fitted()
    weights = np.array([constants.shot_weights[term] for term in TERMS])
    log_odds = (terms * weights).sum(axis=-1)
    return np.where(is_penalty, constants.penalty, 1 / (1 + np.exp(-log_odds)))
