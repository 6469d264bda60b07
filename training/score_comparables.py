"""Comparables scored as a forecast (target Q10): how often each result followed on the nearest past states."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np

from actors.domain.comparables import Present, nearest, result_of
from actors.domain.distribution import FloatArray
from actors.domain.errors import SetupError
from actors.domain.markets import TwoWay
from actors.domain.past import PastStates
from training.live_data import LiveMatches
from training.live_score import MINUTES, POOLED, LiveForecasts, Scores, score
from training.metrics import paired_bootstrap
from training.past_states import load_past


def comparables_table(
    root: Path,
    until: date,
    forecasts: LiveForecasts,
    matches: LiveMatches,
    others: Mapping[str, Scores],
    seed: int,
    resamples: int,
) -> list[str]:
    """Return the log loss of comparables from before `until` beside that of others, by name, line by line."""
    try:
        past = load_past(root, until)
    except SetupError as error:  # the model is scored without them
        return [f"comparables: {error}"]
    if not past.matches:
        return [f"comparables: no past matches before {until}"]
    ours = score(comparable_chances(past, forecasts.to_come, matches), matches).log_loss
    lines = [f"comparables, {len(past.matches)} past matches before {until}, log loss less that of"]
    for name, scores in others.items():
        apart = ours - scores.log_loss
        rows = [*apart, apart[POOLED].mean(axis=0), apart.mean(axis=0)]
        labels = [*(f"{minute}'" for minute in MINUTES), "15'-75'", "all"]
        gains = [paired_bootstrap(row, seed, resamples) for row in rows]
        found = "; ".join(f"{label} {gain.thousandths()}" for label, gain in zip(labels, gains, strict=True))
        lines.append(f"  {name} x .001, n={len(matches)}: {found}")
    return lines


def comparable_chances(past: PastStates, to_come: FloatArray, matches: LiveMatches) -> FloatArray:
    """Return (minutes, n, 3) result frequencies among the past states nearest to what a model expects.

    Args:
        to_come: (minutes, n, 2) goals still expected of home and away at MINUTES.
    """
    chances = np.zeros((*to_come.shape[:2], 3))
    days = matches.day.astype("datetime64[D]").tolist()
    for place, minute in enumerate(MINUTES):
        leads = (matches.goals[:, minute, 0] - matches.goals[:, minute, 1]).tolist()
        for row, ((home, away), lead) in enumerate(zip(to_come[place].tolist(), leads, strict=True)):
            present = Present(
                minute=minute,
                lead=lead,
                to_come=TwoWay(home=home, away=away),
                home=matches.home[row],
                away=matches.away[row],
            )
            result = result_of(past, nearest(past, present, days[row]), lead)
            chances[place, row] = (result.home, result.draw, result.away)
    return chances
