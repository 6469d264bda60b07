"""Fits the score-state chain: each match's rates under the chain as it stands, the effect of the score, and the shares
of the blocks, in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from training.anchored import price_target, stack_targets
from training.anchors import Solved, solve
from training.chain import BLOCKS, LEADS
from training.even_chain import EvenChain
from training.live_data import MINUTES, FloatArray, IntArray, LiveMatches, need_rows
from training.poisson import poisson_ridge

_ROUNDS = 3  # rates move the effects by a third of a standard error in the second round, and not visibly in the third
_EFFECT_PRECISION = 100.0  # ridge on log effects: a standard deviation of .1; flat from 25 to 400 on validation
_SOLVE_ROWS = 256
_BLOCK_OF_MINUTE = np.minimum(np.arange(MINUTES) // 5, BLOCKS - 1)
_MINUTES_OF_BLOCK = np.where(np.arange(BLOCKS) < BLOCKS - 1, 5.0, 1.0)  # 90+ is one row


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is fitted on minutes."""

    log_effect: FloatArray  # (2, LEADS)
    share: FloatArray  # (BLOCKS,)

    def module(self) -> EvenChain:
        """Return the chain as a torch module."""
        return EvenChain(torch.from_numpy(np.exp(self.log_effect)))


def fit_default_over(matches: LiveMatches) -> FloatArray:
    """Regress the logit of fair over 2.5 on the logit of the draw and the squared logit of home's share: (3,)."""
    rows = np.array([price_target(*key, (0.0, 0.0, 0.0)) for key in _price_keys(matches)])
    priced = np.isfinite(matches.over_under).all(axis=1)
    need_rows(int(priced.sum()), "understat: no match has prices for over and under 2.5 goals")
    share, draw, over = (np.log(column / (1 - column)) for column in rows[priced, :3].T)
    design = np.stack([np.ones_like(draw), draw, share**2], axis=1)
    return np.asarray(np.linalg.lstsq(design, over, rcond=None)[0], dtype=np.float64)


def fit_chain(matches: LiveMatches, default_over: FloatArray, report: Callable[[str], None]) -> Chain:
    """Fit effects and shares, and each match's rates under them, in turn."""
    goals, lead = goals_and_lead(matches)
    scored = _per_block(goals)
    chain = Chain(log_effect=np.zeros((2, LEADS)), share=_normalised(scored))
    for turn in range(_ROUNDS):
        report(f"rates of {len(matches)} matches, round {turn + 1} of {_ROUNDS}")
        rates = solve_rates(chain, matches, default_over).rates.numpy()
        for _ in range(_ROUNDS):  # cheap beside the rates
            exposure = exposure_of(rates, chain.share, lead)
            chain = Chain(log_effect=_fit_effect(goals, exposure, lead), share=chain.share)
            chain = Chain(log_effect=chain.log_effect, share=_fit_share(scored, rates, chain.log_effect, lead))
    return chain


def solve_rates(chain: Chain, matches: LiveMatches, default_over: FloatArray) -> Solved:
    """Solve rates and tilt of all matches under the chain."""
    module, share = chain.module(), torch.from_numpy(chain.share)
    keys = _price_keys(matches)
    parts = []
    for start in range(0, len(keys), _SOLVE_ROWS):  # small enough for the cache
        rows = [price_target(*key, default_over.tolist()) for key in keys[start : start + _SOLVE_ROWS]]
        parts.append(solve(module, share, stack_targets(rows)))
    return Solved(
        rates=torch.cat([part.rates for part in parts], dim=1),
        tilt=torch.cat([part.tilt for part in parts]),
        means=torch.cat([part.means for part in parts], dim=1),
        residual=torch.cat([part.residual for part in parts]),
    )


def goals_and_lead(matches: LiveMatches) -> tuple[IntArray, IntArray]:
    """Return goals within each minute (n, MINUTES, 2), and the state before it (n, MINUTES) as 0..LEADS - 1."""
    score = np.concatenate([matches.goals, matches.final[:, None]], axis=1)
    lead = score[:, :-1, 0] - score[:, :-1, 1]
    return np.diff(score, axis=1), np.clip(lead, -(LEADS // 2), LEADS // 2) + LEADS // 2


def exposure_of(rates: FloatArray, share: FloatArray, lead: IntArray) -> FloatArray:
    """Return (2, n, MINUTES): goals expected within each minute but for the score's effect."""
    return np.asarray(rates[:, :, None] * share_per_minute(share, lead), dtype=np.float64)


def share_per_minute(share: FloatArray, lead: IntArray) -> FloatArray:
    """Return (n, MINUTES): share of a match's goals that each minute has."""
    per_minute = (share / _MINUTES_OF_BLOCK)[_BLOCK_OF_MINUTE]
    return np.asarray(np.broadcast_to(per_minute, lead.shape), dtype=np.float64)


def _fit_effect(goals: IntArray, exposure: FloatArray, lead: IntArray) -> FloatArray:
    """Return (2, LEADS) log effects, ridge towards 0."""
    effect = np.zeros((2, LEADS))
    for side in (0, 1):
        for state in range(LEADS):
            at = lead == state
            scored, expected = goals[:, :, side][at].sum(), exposure[side][at].sum()
            one = np.ones((1, 1))
            fitted = poisson_ridge(one, np.array([scored]), np.array([expected]), np.zeros(1), _EFFECT_PRECISION * one)
            effect[side, state] = fitted[0]
    return effect


def _fit_share(scored: FloatArray, rates: FloatArray, log_effect: FloatArray, lead: IntArray) -> FloatArray:
    """Return (BLOCKS,): goals of each block over what the effects alone would make of an even spread."""
    expected = exposure_of(rates, np.ones(BLOCKS), lead)
    spread = sum(_per_block((expected[side] * np.exp(log_effect[side])[lead])[:, :, None]) for side in (0, 1))
    return _normalised(scored / spread)


def _per_block(values: FloatArray | IntArray) -> FloatArray:
    """Add up (n, MINUTES, sides) over matches, sides and the minutes of each block: (BLOCKS,)."""
    sums = np.bincount(_BLOCK_OF_MINUTE, weights=values.sum(axis=(0, 2)), minlength=BLOCKS)
    return sums.astype(np.float64)


def _normalised(values: FloatArray) -> FloatArray:
    floor = 1e-6 * values.sum()  # a block in which few matches saw no goal keeps the chain moving
    return np.asarray(np.maximum(values, floor) / np.maximum(values, floor).sum(), dtype=np.float64)


def _price_keys(
    matches: LiveMatches,
) -> list[tuple[tuple[float, float, float], tuple[float, float, float] | None]]:
    totals = [(2.5, over, under) if over > 1 and under > 1 else None for over, under in matches.over_under.tolist()]
    return list(zip(map(tuple, matches.prices.tolist()), totals, strict=True))
