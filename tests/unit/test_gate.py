"""The gate: what it lets through and what it keeps out, on matches drawn from chances that are known."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.gate import HeldOut, Tolerance, Verdict, judge
from training.metrics import FloatArray

N = 800
Said = Callable[[FloatArray], FloatArray]


def truths(draw: np.random.Generator, n: int = N) -> FloatArray:
    return draw.dirichlet([4.0, 2.5, 3.0], n)


def held_out(candidate: Said, champion: Said, seed: int = 3, n: int = N, phases: int = 2) -> list[HeldOut]:
    """Return phases of two suites; both models look at the true chances through their own glasses."""
    draw, found = np.random.default_rng(seed), []
    for suite in ("prematch", "live"):
        truth = truths(draw, n)
        outcome = (draw.random((n, 1)) > np.cumsum(truth, axis=1)[:, :-1]).sum(axis=1)
        groups = np.arange(n) // 20 if suite == "prematch" else None
        for phase in range(phases):
            both = {"candidate": candidate(truth), "champion": champion(truth)}
            found.append(HeldOut(suite=suite, phase=f"{phase}", **both, outcome=outcome, groups=groups))
    return found


def perfect(truth: FloatArray) -> FloatArray:
    return truth


def tempered(power: float) -> Said:
    """Return glasses that sharpen (above 1) or flatten."""

    def look(truth: FloatArray) -> FloatArray:
        powered = truth**power
        return np.asarray(powered / powered.sum(axis=1, keepdims=True))

    return look


def leaning(truth: FloatArray) -> FloatArray:
    """Give half of the draw's chance to the home side: badly calibrated, and so worse."""
    moved = truth[:, 1] / 2
    return np.stack([truth[:, 0] + moved, truth[:, 1] - moved, truth[:, 2]], axis=1)


def verdict(candidate: Said, champion: Said, seed: int = 3, tolerance: Tolerance | None = None) -> Verdict:
    return judge(held_out(candidate, champion, seed), tolerance or Tolerance(), seed=0)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_copy_of_the_champion_is_no_better(seed: int) -> None:
    found = verdict(perfect, perfect, seed)
    assert not found.is_accepted
    assert found.reasons == ("no better on the whole: log_loss +0.00000, rps +0.00000",)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000), power=st.sampled_from([0.3, 2.5]))
def test_a_clearly_better_candidate_passes_and_a_clearly_worse_one_does_not(seed: int, power: float) -> None:
    better = verdict(perfect, tempered(power), seed)
    assert better.is_accepted, better.reasons
    assert better.reasons[0].startswith("better on the whole by log_loss -")
    worse = verdict(tempered(power), perfect, seed)
    assert not worse.is_accepted
    assert any(reason.startswith("worse in ") for reason in worse.reasons)


def test_a_badly_calibrated_candidate_is_kept_out_for_that_too() -> None:
    found = verdict(leaning, perfect)
    assert any(reason.startswith("worse calibrated in live, 0: error ") for reason in found.reasons)
    phase = found.phases[0]
    assert phase.calibration_candidate > phase.calibration_champion + found.tolerance.calibration


def test_better_in_the_mean_is_not_enough_where_one_phase_is_worse() -> None:
    phases = held_out(perfect, tempered(0.2), phases=4)
    phases[2] = replace(phases[2], candidate=phases[2].champion, champion=phases[2].candidate)
    found = judge(phases, Tolerance(), seed=0)
    assert not found.is_accepted
    assert found.reasons[0].startswith("worse in prematch, 2: log_loss +")
    assert all("prematch, 2: " in reason for reason in found.reasons)


def test_too_few_matches_to_exclude_a_loss_keep_the_champion() -> None:
    draw = np.random.default_rng(1)

    def blurred(truth: FloatArray) -> FloatArray:
        noisy = truth * np.exp(draw.normal(0, 0.4, truth.shape))
        return np.asarray(noisy / noisy.sum(axis=1, keepdims=True))

    found = judge(held_out(blurred, blurred, n=40), Tolerance(), seed=0)
    assert any("is not excluded" in reason for reason in found.reasons)


def test_the_same_seed_gives_the_same_verdict_and_json_keeps_all_of_it() -> None:
    found = verdict(tempered(1.1), tempered(1.2))
    assert verdict(tempered(1.1), tempered(1.2)) == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=Verdict) == found
    assert (len(found.phases), [each.suite for each in found.suites]) == (4, ["prematch", "live"])


def test_nothing_held_out_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="at least one phase"):
        judge([], Tolerance(), seed=0)
