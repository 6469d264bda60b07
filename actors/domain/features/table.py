"""A match's events in order of play, with what follows from that order.

What a row says depends on itself and earlier rows, so that a table of the whole match, read up to a clock, says what
was known then.
"""

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.events import MAX_PERIOD_MS, Clock
from actors.domain.features.columns import DETAIL, FLOATS, INTS, TAG, TELLS_DETAILS, WHAT, BoolArray, Columns, IntArray
from actors.domain.features.shot_model import SET_PIECE_S, expected_goals, shot_terms
from actors.domain.features.zone_value import value_gained

HOLDING = ("pass", "shot", "carry", "touch", "corner", "free_kick", "throw_in", "goal_kick", "take_on", "recovery")
LONGEST_HOLD_MS = 10_000  # between two touches of one side; beyond that the ball was dead


@cache
def among(names: tuple[str, ...], is_detail: bool = False) -> BoolArray:
    """Return by code, of WHAT or DETAIL, whether it is that of one of the names."""
    codes = DETAIL if is_detail else WHAT
    found = np.zeros(max(codes.values()) + 1, np.bool_)
    found[[codes[name] for name in names]] = True
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The (n,) rows of one match; `t_ms` is time of play since kick-off, half time left out."""

    t_ms: IntArray
    period: IntArray
    side: IntArray
    what: IntArray
    detail: IntArray
    success: IntArray
    shot: BoolArray
    on_target: IntArray
    tags: IntArray
    player: IntArray  # code of the columns, -1 for none
    x: FloatArray
    y: FloatArray
    end_x: FloatArray
    end_y: FloatArray
    xg: FloatArray  # the provider's, else our model's; NaN for what is no shot
    value: FloatArray  # gained by a move that came off; NaN for what is none
    held_ms: IntArray  # since the touch before it, if that was of the same side
    won_ball: BoolArray  # first touch of a possession
    first_half_ms: int

    def is_what(self, *names: str) -> BoolArray:
        """Say which rows are one of these."""
        found: BoolArray = among(names)[self.what]
        return found

    def is_detail(self, *names: str) -> BoolArray:
        """Say which rows have one of these details."""
        found: BoolArray = among(names, is_detail=True)[self.detail]
        return found

    def has_tag(self, name: str) -> BoolArray:
        """Say which rows carry a tag."""
        carried: BoolArray = (self.tags & TAG[name]) != 0
        return carried

    @property
    def tells_details(self) -> BoolArray:
        """Which rows show that the provider has the vocabulary that details and tags need."""
        told: BoolArray = (self.tags & TELLS_DETAILS) != 0
        return told

    def rows_from(self, first: int) -> "Table":
        """Return the table without the rows before `first`; what they meant for the others stays."""
        return replace(self, **{name: getattr(self, name)[first:] for name in _ARRAYS})

    def rows_shared_with(self, other: "Table") -> int:
        """Return how many rows both tables begin with, alike to the last bit."""
        shared = min(len(self.t_ms), len(other.t_ms))
        for name in _ARRAYS:
            here, there = getattr(self, name)[:shared], getattr(other, name)[:shared]
            bits = np.bool_ if here.dtype == np.bool_ else np.int64
            differs = here.view(bits) != there.view(bits)
            shared = int(differs.argmax()) if differs.any() else shared
        return shared

    def now_ms(self, at: Clock) -> int:
        """Return the time of play at a clock; from the third period on, that of the end of regular time."""
        if at.period <= 0:
            return 0
        if at.period == 1:
            return at.ms
        if at.period == 2:
            return self.first_half_ms + at.ms
        return int(self.t_ms[-1]) if len(self.t_ms) else 0

    def first_row_after(self, t_ms: float, rows: int) -> int:
        """Return the first of `rows` rows that happened after a time of play."""
        return int(np.searchsorted(self.t_ms[:rows], t_ms, side="right"))

    def rows_until(self, at: Clock) -> int:
        """Return how many rows had happened at a clock, those of that very instant included."""
        if at.period >= 3:
            return len(self.t_ms)
        key = self.period * (MAX_PERIOD_MS + 1) + self.t_ms - np.where(self.period == 2, self.first_half_ms, 0)
        return int(np.searchsorted(key, at.period * (MAX_PERIOD_MS + 1) + at.ms, side="right"))


_ARRAYS = tuple(each.name for each in fields(Table) if each.name != "first_half_ms")


def table_of(columns: Columns) -> Table:
    """Put a match's events in order and derive what follows from it."""
    return with_value(with_xg(plain_table(columns)))


def plain_table(columns: Columns) -> Table:
    """Put a match's events in order, with nothing in it that was fitted."""
    ints, floats = columns.by_place()
    column = {name: ints[:, place] for place, name in enumerate(INTS)}
    place = {name: floats[:, index] for index, name in enumerate(FLOATS)}
    period, ms = column["period"], column["ms"]
    first_half_ms = int(ms[period == 1].max(initial=0))
    t_ms = ms + np.where(period == 2, first_half_ms, 0)
    held_ms, won_ball = _possession(column, t_ms)
    return Table(
        t_ms=t_ms,
        period=period,
        side=column["side"],
        what=column["what"],
        detail=column["detail"],
        success=column["success"],
        shot=column["shot"] == 1,
        on_target=column["on_target"],
        tags=column["tags"],
        player=column["player"],
        x=place["x"],
        y=place["y"],
        end_x=place["end_x"],
        end_y=place["end_y"],
        xg=place["xg"],
        value=np.full(len(ms), np.nan),
        held_ms=held_ms,
        won_ball=won_ball,
        first_half_ms=first_half_ms,
    )


def shot_context(table: Table, shots: IntArray) -> tuple[BoolArray, ...]:
    """Return header, direct free kick, counter-attack, set piece and penalty for the rows that are shots."""
    tags, detail, t_ms = table.tags[shots], table.detail[shots], table.t_ms
    starts = table.is_what("corner", "free_kick")
    set_piece = np.zeros(len(shots), np.bool_)
    for side in (0, 1):
        taken = t_ms[starts & (table.side == side)]
        own = table.side[shots] == side
        if len(taken) and own.any():
            last = np.searchsorted(taken, t_ms[shots], side="right") - 1
            since_ms = t_ms[shots] - taken[np.maximum(last, 0)]
            set_piece |= own & (last >= 0) & (since_ms <= SET_PIECE_S * 1000)
    return (
        (tags & TAG["head_or_body"]) != 0,
        detail == DETAIL["Free kick shot"],
        (tags & TAG["counter_attack"]) != 0,
        set_piece,
        detail == DETAIL["Penalty"],
    )


def with_xg(table: Table) -> Table:
    """Return the table with our own expected goals where the provider sent none."""
    shots = np.flatnonzero(table.shot)
    header, free_kick, counter, set_piece, penalty = shot_context(table, shots)
    kinds = [flags.astype(np.float64) for flags in (header, free_kick, counter, set_piece)]
    terms = shot_terms(table.x[shots], table.y[shots], *kinds)
    told = table.xg[shots]
    xg = np.full(len(table.t_ms), np.nan)
    xg[shots] = np.where(np.isnan(told), expected_goals(terms, penalty), told)
    return replace(table, xg=xg)


def with_value(table: Table) -> Table:
    """Return the table with what each move that came off added to the value of having the ball."""
    came_off = table.is_what("pass", "carry", "free_kick", "corner", "throw_in") & (table.success == 1)
    gained = value_gained(table.x, table.y, table.end_x, table.end_y)
    return replace(table, value=np.where(came_off, gained, np.nan))


def _possession(column: dict[str, IntArray], t_ms: IntArray) -> tuple[IntArray, BoolArray]:
    held_ms, won_ball = np.zeros(len(t_ms), np.int64), np.zeros(len(t_ms), np.bool_)
    holding = np.flatnonzero(among(HOLDING)[column["what"]])
    if len(holding):
        side, period, t = column["side"][holding], column["period"][holding], t_ms[holding]
        same = (side[1:] == side[:-1]) & (period[1:] == period[:-1])
        waited = np.diff(t)
        held_ms[holding[1:]] = np.where(same & (waited <= LONGEST_HOLD_MS), waited, 0)
        won_ball[holding] = np.concatenate([[True], ~same])
    return held_ms, won_ball
