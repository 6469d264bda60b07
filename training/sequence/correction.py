"""A shrunk correction of the in-play model's log rates by further inputs, and how it scores beside the model alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.domain.distribution import Forecaster
from training.chain import GOALS
from training.fit_corrections import MINUTES
from training.live_data import FloatArray, IntArray, LiveMatches
from training.live_score import inputs_at
from training.metrics import log_loss, ranked_probability_score
from training.poisson import poisson_ridge

SCORED = (15, 30, 45, 60, 75, 85)
POOLED = slice(0, 5)  # of SCORED: 15' to 75'
_PARTS = 5  # of a cross-validation
_ROWS = 4096  # forecast at a time
_WIDEST_LEAD = 2  # of the states that a residual is taken from
_FURTHEST = 4.0  # of a residual, in standard deviations
_TINY = 1e-3  # ridge of the residuals' regression, which only keeps it solvable


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the model says of matches at MINUTES; home first."""

    remaining: FloatArray  # (MINUTES, n, GOALS, GOALS) chances of goals to come, home down, away across
    expected: FloatArray  # (2, MINUTES, n) goals to come
    to_come: IntArray  # (2, MINUTES, n) that came
    context: FloatArray  # (2, MINUTES, n, c): rates before kick-off and the score, which the model has used
    log_rates: FloatArray  # (2, n) before kick-off
    lead: IntArray  # (MINUTES, n)
    outcome: IntArray  # (n,)


def known(forecaster: Forecaster, matches: LiveMatches) -> Known:
    """Ask the model for its forecasts of all matches at MINUTES."""
    rows = [row for minute in MINUTES for row in inputs_at(matches, minute)]
    answers = [each for start in range(0, len(rows), _ROWS) for each in forecaster.predict(rows[start : start + _ROWS])]
    shape = (len(MINUTES), len(matches))
    remaining = np.array([each.distribution.remaining for each in answers]).reshape(*shape, GOALS, GOALS)
    goals, count = matches.goals[:, list(MINUTES)], np.arange(GOALS)
    log_rates = np.log([(each.home_rate, each.away_rate) for each in answers[: len(matches)]]).T
    lead = (goals[:, :, 0] - goals[:, :, 1]).T
    return Known(
        remaining=remaining,
        expected=np.stack([remaining.sum(axis=3) @ count, remaining.sum(axis=2) @ count]),
        to_come=(matches.final[:, None] - goals).transpose(2, 1, 0),
        context=np.stack([_context(side, log_rates, lead) for side in (0, 1)]),
        log_rates=log_rates,
        lead=lead,
        outcome=matches.outcome,
    )


def part(of: Known, rows: IntArray) -> Known:
    """Return what is known of some of the matches."""
    return Known(
        remaining=of.remaining[:, rows],
        expected=of.expected[:, :, rows],
        to_come=of.to_come[:, :, rows],
        context=of.context[:, :, rows],
        log_rates=of.log_rates[:, rows],
        lead=of.lead[:, rows],
        outcome=of.outcome[rows],
    )


def fit_and_apply(
    past: Known, inputs: FloatArray, later: Known, later_inputs: FloatArray, precisions: Sequence[float]
) -> FloatArray:
    """Fit weights of inputs (2, MINUTES, n, k) on the past, shared by sides and minutes; return the later corrections.

    Inputs count as far as rates and score do not explain them at that minute, in standard deviations. The likelihood is
    Poisson's of the goals to come, the model's expectation its offset.

    Returns:
        (precisions, 2, MINUTES, n): what is added to log rates under each ridge.
    """
    design, later_design = _residuals(past, inputs, later, later_inputs)
    flat = design.reshape(-1, design.shape[-1])
    middle, eye = np.zeros(flat.shape[1]), np.eye(flat.shape[1])
    counts, expected = past.to_come.reshape(-1), past.expected.reshape(-1)
    weights = [poisson_ridge(flat, counts, expected, middle, precision * eye) for precision in precisions]
    return np.array([later_design @ each for each in weights])


def cross_fit(of: Known, inputs: FloatArray, precisions: Sequence[float]) -> FloatArray:
    """Return (precisions, 2, MINUTES, n): each match's corrections by weights fitted on the other four fifths."""
    found = np.zeros((len(precisions), *of.expected.shape))
    fifth = np.arange(len(of.outcome)) % _PARTS
    for held in range(_PARTS):
        seen, rows = np.flatnonzero(fifth != held), np.flatnonzero(fifth == held)
        found[..., rows] = fit_and_apply(
            part(of, seen), inputs[:, :, seen], part(of, rows), inputs[:, :, rows], precisions
        )
    return found


def gains(of: Known, corrections: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what corrections (2, MINUTES, n) change of RPS and of log loss, (SCORED, n) each; below 0 they help."""
    rps, log = [], []
    for place in map(MINUTES.index, SCORED):
        before = _chances(of, place, np.zeros_like(corrections[:, place]))
        after = _chances(of, place, corrections[:, place])
        rps.append(ranked_probability_score(after, of.outcome) - ranked_probability_score(before, of.outcome))
        log.append(log_loss(after, of.outcome) - log_loss(before, of.outcome))
    return np.array(rps), np.array(log)


def _chances(of: Known, place: int, corrections: FloatArray) -> FloatArray:
    """Return (n, 3): a factor on a Poisson rate tilts its counts by its powers, and the chain's grid likewise."""
    count = np.arange(GOALS)
    home, away = np.exp(corrections[:, :, None] * count)
    grid = of.remaining[place] * home[:, :, None] * away[:, None, :]
    final = count[:, None] - count + of.lead[place][:, None, None]
    shares = np.stack([(grid * fell).sum(axis=(1, 2)) for fell in (final > 0, final == 0, final < 0)], axis=-1)
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True), dtype=np.float64)


def _context(side: int, log_rates: FloatArray, lead: IntArray) -> FloatArray:
    own, other, sign = log_rates[side], log_rates[1 - side], 1 - 2 * side
    state = (sign * lead).clip(-_WIDEST_LEAD, _WIDEST_LEAD)
    columns = [np.ones(lead.shape), *(np.broadcast_to(each, lead.shape) for each in (own, other))]
    columns += [np.full(lead.shape, float(sign)), *((state == each) * 1.0 for each in (-2, -1, 1, 2))]
    return np.stack(columns, axis=-1)


def _residuals(
    past: Known, inputs: FloatArray, later: Known, later_inputs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return both inputs less what the context explains of the past ones at the same minute, standardised."""
    found: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for minute in range(len(MINUTES)):
        context, values = (each[:, minute].reshape(-1, each.shape[-1]) for each in (past.context, inputs))
        ridge = _TINY * np.eye(context.shape[1])
        explained = np.linalg.solve(context.T @ context + ridge, context.T @ values)
        deviation = (values - context @ explained).std(axis=0) + 1e-9
        for place, (of, what) in enumerate(((past, inputs), (later, later_inputs))):
            residual = (what[:, minute] - of.context[:, minute] @ explained) / deviation
            found[place].append(residual.clip(-_FURTHEST, _FURTHEST))
    return np.stack(found[0], axis=1), np.stack(found[1], axis=1)
