"""Fits what the in-play network adds to the chain: expected shots, the weights of the evidence, and how sure they are.

Source: model notes of the project, "In play", step 6, and "Intervals".
"""

from dataclasses import dataclass

import numpy as np
import torch

from training.anchored import score_grids
from training.anchors import Solved
from training.chain import LEADS
from training.even_chain import EvenChain
from training.evidence import LEARNT, MIDDLE_LOG_RATE, NAMES, EvidenceReader, ShotLevels
from training.fit_reds import Reds
from training.live_data import FloatArray, IntArray, LiveMatches
from training.live_score import inputs_at
from training.poisson import poisson_ridge

MINUTES = tuple(range(5, 90, 5))
_RESAMPLES = 400
_SURPRISE_PRECISION, _PRECISION = 5.0, 500.0  # ridge: flat from 50 to 1,000 on 2016/17
_SHOT_EFFECT_PRECISION = 50.0
_LEVEL = 2  # inputs: the level of both sides, and of home against away
_SIDES = np.array([1.0, -1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What is fitted on rows every five minutes."""

    weights: FloatArray  # (NAMES,)
    spread: FloatArray  # (NAMES, NAMES): spread @ spread.T is the covariance of the weights


def fit_shots(matches: LiveMatches, rates: FloatArray, exposure: FloatArray, lead: IntArray) -> ShotLevels:
    """Fit the shots to expect, by Poisson regression on each match's minutes at each goal difference.

    Args:
        rates: (2, n) rates of the chain before kick-off.
        exposure: (n, minutes) share of the match's goals in each minute.
        lead: (n, minutes) index of the goal difference before it.
    """
    states = lead[:, :-1, None] == np.arange(LEADS)
    time = (states * exposure[:, :-1, None]).sum(axis=1)
    taken = np.diff(matches.shots, axis=1)
    logs = np.log(rates) - MIDDLE_LOG_RATE
    levels, effects = [], []
    for side in (0, 1):
        counts = (states * taken[:, :, side, None]).sum(axis=1)
        theta = _fit_shots_of(counts, time, logs[side], logs[1 - side])
        levels.append(theta[:3].tolist())
        effects.append(np.exp(theta[3:]).tolist())
    return ShotLevels(level=levels, effect=effects, scale={matches.suite: 1.0})


def shot_scale(
    matches: LiveMatches, shots: ShotLevels, rates: FloatArray, exposure: FloatArray, lead: IntArray
) -> float:
    """Return the shots that a suite counts over those expected; arguments as those of `fit_shots`."""
    logs = np.log(rates) - MIDDLE_LOG_RATE
    expected = 0.0
    for side in (0, 1):
        constant, own, opponent = shots.level[side]
        along = (exposure * np.array(shots.effect[side])[lead])[:, :-1].sum(axis=1)
        expected += float((np.exp(constant + own * logs[side] + opponent * logs[1 - side]) * along).sum())
    return float(matches.shots[:, -1].sum()) / expected


def fit_corrections(
    matches: LiveMatches, solved: Solved, chain: EvenChain, reader: EvidenceReader, reds: Reds, seed: int
) -> Corrections:
    """Fit the weights by the Poisson likelihood of the goals still to come, the chain as offset; bootstrap matches."""
    n, learnt = len(matches), slice(0, LEARNT)
    design, goals, expected = (
        np.concatenate(parts) for parts in zip(*_rows(matches, solved, chain, reader), strict=True)
    )
    precision = np.diag([_SURPRISE_PRECISION] * 4 + [_PRECISION] * (LEARNT - 4))
    weights = np.zeros(len(NAMES))
    weights[learnt] = poisson_ridge(design, goals, expected, np.zeros(LEARNT), precision)
    weights[LEARNT : LEARNT + 2] = reds.log_factor
    match = np.tile(np.arange(n), len(design) // n)
    mean = expected * np.exp(design @ weights[learnt])
    level = np.stack([np.ones(2 * n), np.repeat(_SIDES, n)], axis=1)
    kick_off = solved.means.numpy().reshape(-1)
    spread = np.zeros((len(NAMES), len(NAMES)))
    spread[learnt, learnt] = _factor(bootstrap_covariance(design, goals, mean, match, precision, seed))
    spread[LEARNT : LEARNT + 2, LEARNT : LEARNT + 2] = _factor(reds.covariance)
    spread[-_LEVEL:, -_LEVEL:] = _factor(
        bootstrap_covariance(
            level, matches.final.T.reshape(-1), kick_off, np.tile(np.arange(n), 2), np.zeros((2, 2)), seed
        )
    )
    return Corrections(weights=weights, spread=spread)


def bootstrap_covariance(
    design: FloatArray,
    counts: FloatArray | IntArray,
    mean: FloatArray,
    match: IntArray,
    precision: FloatArray,
    seed: int,
) -> FloatArray:
    """Return the covariance of the weights when matches are drawn anew; each refit is one Newton step.

    Args:
        design: (rows, weights); counts, mean: (rows,) seen and fitted.
        match: (rows,) index of the match: rows of one match are not independent.
        precision: (weights, weights) of the prior.
    Source: Efron (1979), Ann. Stat. 7(1); one step as Moulton and Zeger (1991), Comput. Stat. Data Anal. 11(1).
    """
    miss = design * (counts - mean)[:, None]
    scores = np.zeros((int(match.max()) + 1, design.shape[1]))
    np.add.at(scores, match, miss)
    curvature = design.T @ (design * mean[:, None]) + precision
    draws = np.random.default_rng(seed).multinomial(len(scores), np.full(len(scores), 1 / len(scores)), _RESAMPLES)
    moves = np.linalg.solve(curvature, scores.T @ (draws - 1.0).T)
    return np.asarray(moves @ moves.T / _RESAMPLES, dtype=np.float64)


def _rows(
    matches: LiveMatches, solved: Solved, chain: EvenChain, reader: EvidenceReader
) -> list[tuple[FloatArray, IntArray, FloatArray]]:
    """Return evidence (2 n, LEARNT), goals still to come (2 n,) and the chain's (2 n,), home first, per minute."""
    rows = []
    for minute in MINUTES:
        inputs = inputs_at(matches, minute)
        evidence, design = reader.read(inputs, solved.rates.numpy()), np.zeros((2, len(matches), len(NAMES)))
        for side in (0, 1):
            np.put_along_axis(design[side], evidence.places[:, side], evidence.values[:, side], axis=1)
        lead = torch.from_numpy(matches.goals[:, minute, 0] - matches.goals[:, minute, 1])
        left = torch.from_numpy(evidence.left).unsqueeze(0)
        remaining = score_grids(chain, solved.rates, left, lead, solved.tilt).remaining
        goals = np.arange(remaining.shape[1])
        expected = np.concatenate([remaining.sum(axis=2) @ goals, remaining.sum(axis=1) @ goals])
        to_come = (matches.final - matches.goals[:, minute]).T.reshape(-1)
        rows.append((design.reshape(-1, len(NAMES))[:, :LEARNT], to_come, expected))
    return rows


def _fit_shots_of(counts: IntArray, time: FloatArray, own: FloatArray, opponent: FloatArray) -> FloatArray:
    """Return (3 + LEADS,): constant, slopes, log effects; counts and time are (n, LEADS)."""
    design = np.zeros((*counts.shape, 3 + LEADS))
    design[:, :, 0], design[:, :, 1], design[:, :, 2] = 1.0, own[:, None], opponent[:, None]
    design[:, :, 3:] = np.eye(LEADS)
    seen = time > 0
    middle = np.zeros(3 + LEADS)
    middle[0] = np.log(max(counts.sum(), 1) / time.sum())
    precision = np.diag([1.0] * 3 + [_SHOT_EFFECT_PRECISION] * LEADS)
    return poisson_ridge(design[seen], counts[seen], time[seen], middle, precision)


def _factor(covariance: FloatArray) -> FloatArray:
    """Return a lower triangle whose square is the covariance; a weight that never moved keeps a trace of variance."""
    return np.asarray(np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance))), dtype=np.float64)
