"""Matches that are over, with what was known of each at some minutes: what a match at hand can be compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from actors.domain.distribution import FloatArray
from actors.domain.events import Score

IntArray = NDArray[np.int64]
WIDEST = 3  # leads from here on are alike, as in the model's chain


class PastMatch(Struct, frozen=True, kw_only=True):
    """Who played when, and how regular time ended."""

    match_id: str
    league: str  # its code, such as E0
    day: date  # of kick-off, UTC
    home: str
    away: str
    final: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class PastStates:
    """n matches, the earliest first, each with its state at s minutes: a state knows what happened before its minute.

    Raises:
        ValueError: The shapes differ, or the matches are not in order.
    """

    until: date  # exclusive: nothing of this day or later is in it, not even in the shares
    matches: tuple[PastMatch, ...]
    minutes: IntArray  # (s,) of play, ascending: 45 is half time, 90 the start of the second half's stoppage
    left: FloatArray  # (s,) share of a match's goals that are still to come
    goals: IntArray  # (n, s, 2) so far; home, away
    to_come: FloatArray  # (n, s, 2) goals that were to be expected from then on
    next_goal: FloatArray  # (n, s, 2) 1 for the side that scored next, halves if it cannot be told, zeros if nobody
    days: NDArray[np.datetime64] = field(init=False)  # (n,)
    final: IntArray = field(init=False)  # (n, 2)
    lead: IntArray = field(init=False)  # (n, s) of home, at most WIDEST
    deviations: FloatArray = field(init=False)  # (2, n, s) goals to come in standard deviations of a Poisson count
    rows: Mapping[tuple[str, str], tuple[int, ...]] = field(init=False)  # by home and away

    def __post_init__(self) -> None:
        shape = (len(self.matches), len(self.minutes), 2)
        for name in ("goals", "to_come", "next_goal"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}, was {getattr(self, name).shape}")
        days = np.array([match.day for match in self.matches], dtype="datetime64[D]")
        if (days[1:] < days[:-1]).any() or (len(days) and days[-1] >= np.datetime64(self.until)):
            raise ValueError(f"matches must be in order of their days and before {self.until}")
        rows: dict[tuple[str, str], tuple[int, ...]] = {}
        for row, match in enumerate(self.matches):
            rows[match.home, match.away] = (*rows.get((match.home, match.away), ()), row)
        final = np.array([(match.final.home, match.final.away) for match in self.matches], dtype=np.int64).reshape(
            -1, 2
        )
        lead = (self.goals[:, :, 0] - self.goals[:, :, 1]).clip(-WIDEST, WIDEST)
        derived = {
            "days": days,
            "final": final,
            "lead": lead,
            "rows": rows,
            "deviations": np.ascontiguousarray(2 * np.sqrt(self.to_come).transpose(2, 0, 1)),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
