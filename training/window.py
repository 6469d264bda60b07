"""The held-out window of a retraining: the newest matches before `as_of`, which neither model may have been fitted on.

It begins where every suite has enough of its newest matches, but never before the champion's `trained_until`: what the
champion was fitted on judges nobody. The candidate is fitted until the window begins. So a champion that was fitted
lately leaves a short window, and one fitted on everything leaves none until matches have been played.
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Days = NDArray[np.datetime64]


class Window(Struct, frozen=True, kw_only=True):
    """Held out is since <= date < until; so many matches of each suite."""

    since: date
    until: date
    matches: dict[str, int]

    def shortage(self, least: int) -> str | None:
        """Say where there are fewer matches than `least`; None where there are enough."""
        short = [f"{suite} has {count}" for suite, count in self.matches.items() if count < least]
        if not short:
            return None
        return f"with {self.since} <= date < {self.until} {' and '.join(short)} matches; at least {least} are needed"


def window_of(days: Mapping[str, Days], trained_until: date, as_of: date, wanted: int) -> Window:
    """Return the shortest window in which every suite has the wanted matches, or all there are.

    A suite without any match since is left out where another has some: it would hold up the others for ever.

    Args:
        days: Of each suite's matches in [trained_until, as_of), in any order.
        trained_until: Of the champion, exclusive.
        wanted: Matches of each suite.
    """
    days = {suite: each for suite, each in days.items() if len(each)} or days
    starts = [np.sort(each)[-wanted].item() if len(each) >= wanted else trained_until for each in days.values()]
    since: date = min([as_of, *starts])
    matches = {suite: int((each >= np.datetime64(since)).sum()) for suite, each in days.items()}
    return Window(since=since, until=as_of, matches=matches)
