"""How sure the corrections are: the bootstrap over matches holds the truth where rows of a match go together."""

import numpy as np
import pytest

from training.coverage import simulated_coverage, to_come
from training.fit_corrections import bootstrap_covariance
from training.poisson import curvature, poisson_ridge


def a_world(matches: int, minutes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return evidence that stays with a side through its match, and goals expected between minutes."""
    random = np.random.default_rng(seed)
    own = random.normal(0, 0.4, (1, 2 * matches, 1)) + random.normal(0, 0.1, (minutes, 2 * matches, 1))
    design = np.concatenate([own, np.ones_like(own)], axis=2)
    return design, np.full((minutes, 2 * matches), 1.3 / minutes)


def test_intervals_of_nominal_90_hold_the_truth_that_often() -> None:
    design, hazards = a_world(matches=300, minutes=9, seed=2)
    held = simulated_coverage(design, hazards, np.array([0.4, 0.05]), np.eye(2), worlds=60, seed=3)
    assert held.shape == (9,)
    assert held.mean() == pytest.approx(0.9, abs=0.04)


def test_the_curvature_alone_would_be_too_sure_since_rows_of_one_match_share_their_goals() -> None:
    design, hazards = a_world(matches=300, minutes=9, seed=2)
    goals = to_come(np.random.default_rng(4).poisson(hazards)).reshape(-1)
    flat, offset = design.reshape(-1, 2), to_come(hazards).reshape(-1)
    fitted = poisson_ridge(flat, goals, offset, np.zeros(2), np.eye(2))
    mean = offset * np.exp(flat @ fitted)
    match = np.tile(np.arange(600) % 300, 9)
    bootstrap = bootstrap_covariance(flat, goals, mean, match, np.eye(2), seed=1)
    naive = np.linalg.inv(curvature(flat, mean, np.eye(2)))
    assert (np.diag(bootstrap) > 1.5 * np.diag(naive)).all()


def test_the_same_seed_draws_the_same_matches() -> None:
    design, hazards = a_world(matches=40, minutes=3, seed=5)
    goals = to_come(np.random.default_rng(6).poisson(hazards)).reshape(-1)
    flat, match = design.reshape(-1, 2), np.tile(np.arange(80) % 40, 3)
    mean = to_come(hazards).reshape(-1)
    one, two, other = (bootstrap_covariance(flat, goals, mean, match, np.eye(2), seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()
