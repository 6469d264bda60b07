"""Past states drawn from a seed, for tests."""

from datetime import date, timedelta

import numpy as np

from actors.domain.events import Score
from actors.domain.past import PastMatch, PastStates

UNTIL = date(2017, 12, 1)
FIRST = date(2016, 1, 1)


def past_states(matches: int = 60, seed: int = 0, minutes: tuple[int, ...] = (0, 30, 60, 90)) -> PastStates:
    """One match every other day from FIRST on, with whole rates so that distances tie."""
    draw = np.random.default_rng(seed)
    goals = draw.integers(0, 2, (matches, len(minutes), 2)).cumsum(axis=1)
    final = goals[:, -1] + draw.integers(0, 2, (matches, 2))
    return PastStates(
        until=UNTIL,
        matches=tuple(
            PastMatch(
                match_id=f"understat:{number}",
                league="E0",
                day=FIRST + timedelta(days=2 * number),
                home=f"Team {number % 5}",
                away=f"Team {number % 7}",
                final=Score(*final[number].tolist()),
            )
            for number in range(matches)
        ),
        minutes=np.array(minutes),
        left=1 - np.array(minutes) / 95,
        goals=goals,
        to_come=draw.integers(0, 4, (matches, len(minutes), 2)) / 2,
        next_goal=np.broadcast_to([1.0, 0.0], (matches, len(minutes), 2)),
    )
