"""The gate of a retrained model: the candidate beside the champion on held-out matches that neither was fitted on.

What must hold, all of it:

- nowhere shown to be worse: in no phase does the interval of the difference lie above 0. The intervals hold at 95 %
  for all phases and both scores together (Bonferroni), so that twenty looks do not make a false alarm.
- surely not much worse: in no suite, over its phases, does the 95 % interval reach beyond a tolerance. Too few matches
  to be sure of that are a reason to keep the champion.
- better on the whole: the mean over suites of both differences is below 0. A copy of the champion is not.
- calibration: in no phase is the candidate's largest error above the champion's by more than a tolerance, unless it is
  one that a perfect forecaster shows too on so few matches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from training.calibration import largest_error
from training.metrics import FloatArray, IntArray, log_loss, paired_bootstrap, ranked_probability_score

_LEVEL = 0.95
_RESAMPLES = 4000  # the intervals of phases lie far out in the tail
_SCORES: dict[str, Callable[[FloatArray, IntArray], FloatArray]] = {
    "log_loss": log_loss,
    "rps": ranked_probability_score,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What both models said at one phase of n held-out matches; the phases of a suite have the same matches."""

    suite: str
    phase: str
    candidate: FloatArray  # (n, 3) probabilities of home, draw, away
    champion: FloatArray
    outcome: IntArray  # (n,)
    groups: IntArray | None = None  # (n,) what is resampled as a whole, such as weeks; None: each match


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much of a loss must be excluded, and how much calibration may differ."""

    log_loss: float = 0.005
    rps: float = 0.002
    calibration: float = 0.01


class Compared(Struct, frozen=True, kw_only=True):
    """A mean score of both, and candidate minus champion with its interval: below 0 the candidate is better."""

    candidate: float
    champion: float
    difference: float
    low: float
    high: float


class PhaseFigures(Struct, frozen=True, kw_only=True):
    """One phase; calibration is the largest expected calibration error over the three outcomes."""

    suite: str
    phase: str
    matches: int
    log_loss: Compared
    rps: Compared
    calibration_candidate: float
    calibration_champion: float
    calibration_by_chance: float  # 95th percentile of a perfect forecaster that says what the candidate says


class SuiteFigures(Struct, frozen=True, kw_only=True):
    """A suite: each match's scores are means over its phases."""

    suite: str
    matches: int
    log_loss: Compared
    rps: Compared


class Verdict(Struct, frozen=True, kw_only=True):
    """What the gate says, why, and all that it looked at."""

    is_accepted: bool
    reasons: tuple[str, ...]
    suites: tuple[SuiteFigures, ...]
    phases: tuple[PhaseFigures, ...]
    tolerance: Tolerance


def judge(phases: Sequence[HeldOut], tolerance: Tolerance, seed: int) -> Verdict:
    """Compare candidate and champion; the same seed gives the same verdict.

    Raises:
        ValueError: There is no phase, or one without a match.
    """
    if not phases:
        raise ValueError("needs at least one phase, received none")
    level = 1 - (1 - _LEVEL) / (len(_SCORES) * len(phases))
    figures = tuple(_phase_figures(phase, level, seed) for phase in phases)
    suites = tuple(
        _suite_figures([each for each in phases if each.suite == name], seed)
        for name in dict.fromkeys(phase.suite for phase in phases)
    )
    against = [*_shown_worse(figures), *_maybe_worse(suites, tolerance), *_worse_calibrated(figures, tolerance)]
    against += _no_better(suites)
    return Verdict(
        is_accepted=not against,
        reasons=tuple(against) or (f"better on the whole by {_on_the_whole(suites)}, and nowhere worse",),
        suites=suites,
        phases=figures,
        tolerance=tolerance,
    )


def _phase_figures(phase: HeldOut, level: float, seed: int) -> PhaseFigures:
    compared = {name: _compared(name, [phase], level, seed) for name in _SCORES}
    of_candidate, by_chance = largest_error(phase.candidate[None], phase.outcome, seed)
    of_champion, _ = largest_error(phase.champion[None], phase.outcome, seed, worlds=1)
    return PhaseFigures(
        suite=phase.suite,
        phase=phase.phase,
        matches=len(phase.outcome),
        log_loss=compared["log_loss"],
        rps=compared["rps"],
        calibration_candidate=of_candidate,
        calibration_champion=of_champion,
        calibration_by_chance=by_chance,
    )


def _suite_figures(phases: Sequence[HeldOut], seed: int) -> SuiteFigures:
    compared = {name: _compared(name, phases, _LEVEL, seed) for name in _SCORES}
    return SuiteFigures(
        suite=phases[0].suite, matches=len(phases[0].outcome), log_loss=compared["log_loss"], rps=compared["rps"]
    )


def _compared(name: str, phases: Sequence[HeldOut], level: float, seed: int) -> Compared:
    score = _SCORES[name]
    candidate = np.mean([score(phase.candidate, phase.outcome) for phase in phases], axis=0)
    champion = np.mean([score(phase.champion, phase.outcome) for phase in phases], axis=0)
    interval = paired_bootstrap(candidate - champion, seed, _RESAMPLES, level, phases[0].groups)
    return Compared(
        candidate=float(candidate.mean()),
        champion=float(champion.mean()),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
    )


def _shown_worse(phases: Sequence[PhaseFigures]) -> Iterator[str]:
    for phase in phases:
        for name, found in _both(phase):
            if found.low > 0:
                yield f"worse in {phase.suite}, {phase.phase}: {name} {_said(found)}"


def _maybe_worse(suites: Sequence[SuiteFigures], tolerance: Tolerance) -> Iterator[str]:
    for suite in suites:
        for name, found in _both(suite):
            most: float = getattr(tolerance, name)
            if found.high > most:
                yield f"a loss above {most:g} is not excluded in {suite.suite}: {name} {_said(found)}"


def _worse_calibrated(phases: Sequence[PhaseFigures], tolerance: Tolerance) -> Iterator[str]:
    for phase in phases:
        ours, theirs, chance = (
            phase.calibration_candidate,
            phase.calibration_champion,
            phase.calibration_by_chance,
        )
        if ours > theirs + tolerance.calibration and ours > chance:
            said = f"error {ours:.4f}, the champion's {theirs:.4f}, a perfect forecaster's p95 {chance:.4f}"
            yield f"worse calibrated in {phase.suite}, {phase.phase}: {said}"


def _no_better(suites: Sequence[SuiteFigures]) -> list[str]:
    is_better = all(_mean(suites, name) < 0 for name in _SCORES)
    return [] if is_better else [f"no better on the whole: {_on_the_whole(suites)}"]


def _on_the_whole(suites: Sequence[SuiteFigures]) -> str:
    return ", ".join(f"{name} {_mean(suites, name):+.5f}" for name in _SCORES)


def _mean(suites: Sequence[SuiteFigures], name: str) -> float:
    return float(np.mean([getattr(suite, name).difference for suite in suites]))


def _both(figures: PhaseFigures | SuiteFigures) -> tuple[tuple[str, Compared], ...]:
    return ("log_loss", figures.log_loss), ("rps", figures.rps)


def _said(found: Compared) -> str:
    return f"{found.difference:+.5f} [{found.low:+.5f}, {found.high:+.5f}]"
