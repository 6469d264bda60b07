"""Past states for comparison, from the matches of `data.root` that kicked off before a day. Loads no torch."""

from datetime import date
from pathlib import Path

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.events import Score
from actors.domain.past import PastMatch, PastStates
from training.live_data import IntArray, LiveMatches, load_live
from training.live_score import market_rates

SUITE = "understat"  # Wyscout's matches are among its own
_FIRST = date(1900, 1, 1)
_STATES = np.arange(0, 91, 5)  # minutes; every fifth loses nothing on validation, every tenth .001 of log loss


def load_past(root: Path, until: date) -> PastStates:
    """Load the states of every priced match before `until`; takes seconds.

    Raises:
        SetupError: The folder, a file or a column is not there.
    """
    return past_of(load_live(root, SUITE, _FIRST, until), until)


def past_of(matches: LiveMatches, until: date) -> PastStates:
    """Return the states of matches from before `until`: what was to come as the market's rates and the clock say.

    The clock is the share of all these matches' goals that fell later.
    """
    order = np.argsort(matches.day, kind="stable")
    goals, final = matches.goals[order], matches.final[order]
    total = max(1, int(final.sum()))
    left = 1 - goals[:, _STATES].sum(axis=(0, 2)) / total
    rates = market_rates(matches).T[order]
    return PastStates(
        until=until,
        matches=tuple(_match(matches, row) for row in order.tolist()),
        minutes=_STATES,
        left=left,
        goals=goals[:, _STATES],
        to_come=rates[:, None] * left[:, None],
        next_goal=_next_goal(np.concatenate([goals, final[:, None]], axis=1))[:, _STATES],
    )


def _next_goal(goals: IntArray) -> FloatArray:
    """Return (n, minutes, 2): the share of each side in the goals of the next minute that has any, zeros behind it."""
    steps = np.diff(goals, axis=1).clip(min=0)
    after = np.zeros((len(goals), 2))
    found = np.zeros(steps.shape)
    for minute in reversed(range(steps.shape[1])):
        scored = steps[:, minute].sum(axis=1, keepdims=True)
        after = np.where(scored > 0, steps[:, minute] / np.maximum(scored, 1), after)
        found[:, minute] = after
    return found


def _match(matches: LiveMatches, row: int) -> PastMatch:
    return PastMatch(
        match_id=f"{matches.suite}:{matches.match_id[row]}",
        league=matches.league[row],
        day=matches.day[row].astype("datetime64[D]").item(),
        home=matches.home[row],
        away=matches.away[row],
        final=Score(*matches.final[row].tolist()),
    )
