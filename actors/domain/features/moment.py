"""A match at one clock: what had happened by then, counted for each side, window and quantity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.event_set import StoredEvent
from actors.domain.events import Clock, Lineups
from actors.domain.features.columns import WHAT
from actors.domain.features.prematch import PreMatch
from actors.domain.features.quantities import QUANTITIES, Needs
from actors.domain.features.table import Table, among
from actors.domain.match import MatchState

MINUTE_MS = 60_000
_FIRST_ROWS = 2_048  # a match has about 1,700 events
WINDOWS: Mapping[str, float] = MappingProxyType({"5min": 5.0, "10min": 10.0, "15min": 15.0, "match": math.inf})


class Weights:
    """How much each row of one match counts; whole numbers, so that every sum of them is exact. Kept up to date.

    `rows` is (QUANTITIES, n); `sums` is (2, QUANTITIES, n + 1), of each side's rows before a row.
    """

    def __init__(self) -> None:
        self._table: Table | None = None
        self.rows = np.empty((len(QUANTITIES), _FIRST_ROWS))  # with room to spare: fresh memory takes longer than sums
        self.sums = np.zeros((2, len(QUANTITIES), _FIRST_ROWS + 1))

    def update(self, table: Table) -> None:
        """Weigh the rows of a table; those that it begins with as the last one did are not weighed again."""
        count, kept = len(table.t_ms), 0 if self._table is None else table.rows_shared_with(self._table)
        while count > self.rows.shape[1]:
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)], axis=1)
            self.sums = np.concatenate([self.sums, np.empty_like(self.sums[:, :, 1:])], axis=2)
        rest = table.rows_from(kept)
        for place, quantity in enumerate(QUANTITIES):
            self.rows[place, kept:count] = quantity.weigh(rest)
        for side in (0, 1):
            added = np.cumsum(self.rows[:, kept:count] * (rest.side == side), axis=1)
            self.sums[side, :, kept + 1 : count + 1] = self.sums[side, :, kept : kept + 1] + added
        self._table = table


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known at `at`; `counts` is (WINDOWS, 2, QUANTITIES)."""

    state: MatchState
    prematch: PreMatch
    table: Table
    rows: int
    at: Clock
    now_ms: int
    decisive: tuple[StoredEvent, ...]
    weights: Weights
    counts: FloatArray
    told: Mapping[Needs, bool]

    @property
    def elapsed_min(self) -> float:
        """Minutes of play since kick-off."""
        return self.now_ms / MINUTE_MS


def moment_of(state: MatchState, prematch: PreMatch, table: Table, weights: Weights, at: Clock) -> Moment:
    """Count what had happened at a clock, events of that very instant included."""
    rows, now_ms = table.rows_until(at), table.now_ms(at)
    decisive = tuple(event for event in state.events.decisive if event.is_decisive and event.clock <= at)
    first = [table.first_row_after(now_ms - minutes * MINUTE_MS, rows) for minutes in WINDOWS.values()]
    counts = weights.sums[:, :, rows, None] - weights.sums[:, :, first]
    return Moment(
        state=state,
        prematch=prematch,
        table=table,
        rows=rows,
        at=at,
        now_ms=now_ms,
        decisive=decisive,
        weights=weights,
        counts=np.ascontiguousarray(counts.transpose(2, 0, 1)),
        told=_told(table, rows, decisive),
    )


def _told(table: Table, rows: int, decisive: tuple[StoredEvent, ...]) -> Mapping[Needs, bool]:
    """Say what the provider sends, by what has come: without it, a count of nought would mean nothing."""
    what = table.what[:rows]
    balls = bool((what == WHAT["pass"]).any())
    sheets = any(isinstance(event.payload, Lineups) for event in decisive)
    booked = among(("yellow", "second_yellow", "red", "substitution"))[what]
    return {
        "score": True,
        "incidents": balls or sheets or bool(booked.any()),
        "shots": balls or bool(table.shot[:rows].any()),
        "balls": balls,
        "details": bool(table.tells_details[:rows].any()),
    }
