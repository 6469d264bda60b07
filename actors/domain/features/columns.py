"""A match's events as columns, kept up to date event by event: what every quantity is computed from.

Rows lie in the order in which they came, which means nothing: whoever needs the order of play sorts by place.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from actors.domain.distribution import FloatArray
from actors.domain.event_set import EventSet, StoredEvent
from actors.domain.events import (
    BallEvent,
    Card,
    Goal,
    Incident,
    OwnGoal,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    PeriodEnd,
    Substitution,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

INTS = ("period", "ms", "since", "index", "side", "what", "detail", "success", "shot", "on_target", "tags", "player")
FLOATS = ("x", "y", "end_x", "end_y", "xg")
UNKNOWN = -1  # of a yes or no that the provider did not tell, and of a side where there is none

_BALL = (
    *("pass", "shot", "carry", "touch", "duel", "foul", "offside", "corner", "free_kick", "throw_in", "goal_kick"),
    *("save", "clearance", "keeper", "out", "interception", "recovery", "take_on", "block", "pressure"),
)
_INCIDENTS = ("goal", "penalty", "penalty_missed", "yellow", "second_yellow", "red", "substitution", "period_end")
WHAT: Mapping[str, int] = MappingProxyType({name: code for code, name in enumerate(("other", *_BALL, *_INCIDENTS))})
_DETAILS = (
    *("Air duel", "Ground attacking duel", "Ground defending duel", "Ground loose ball duel", "Cross", "Head pass"),
    *("High pass", "Launch", "Smart pass", "Free kick cross", "Free kick shot", "Penalty"),
)
DETAIL: Mapping[str, int] = MappingProxyType({name: code for code, name in enumerate(_DETAILS, start=1)})
_TAGS = (  # of the provider's vocabulary, two names for one thing where providers differ
    *(("accurate",), ("not_accurate",), ("won",), ("lost",), ("key_pass",), ("through",), ("interception",)),
    *(("sliding_tackle",), ("counter_attack",), ("dangerous_ball_lost",), ("missed_ball",), ("blocked",)),
    *(("head_or_body", "Head"), ("take_on_left", "take_on_right"), ("anticipation",)),
)
TAG: Mapping[str, int] = MappingProxyType({name: 1 << bit for bit, names in enumerate(_TAGS) for name in names})
TELLS_DETAILS = TAG["accurate"] | TAG["not_accurate"]  # a provider that sends these sends the rest of its vocabulary
_SIDE = {"home": 0, "away": 1}
_YES_NO = {True: 1, False: 0, None: UNKNOWN}
_FIRST_ROWS = 2_048


class Columns:
    """The events of one match, one row each. `update` costs in proportion to what has changed since the last one."""

    def __init__(self, events: EventSet | None = None) -> None:
        self._events = EventSet.empty()
        self._row_of: dict[str, int] = {}
        self.players: dict[str, int] = {}  # provider's id -> code, in the order of coming
        self._ints = np.zeros((_FIRST_ROWS, len(INTS)), np.int64)
        self._floats = np.zeros((_FIRST_ROWS, len(FLOATS)))
        if events is not None:
            self.update(events)

    def update(self, events: EventSet) -> bool:
        """Take the events as they are now, corrections and retractions included; return whether any row changed."""
        changed = False
        for event_id, event in events.differing(self._events):
            changed |= self._put(event_id, event)
        self._events = events
        return changed

    def by_place(self) -> tuple[IntArray, FloatArray]:
        """Return the rows of regular time in order of play: (n, INTS) and (n, FLOATS)."""
        ints = self._ints[: len(self._row_of)]
        period = ints[:, 0]
        kept = np.flatnonzero((period == 1) | (period == 2))  # 0: before kick-off, or taken back
        order = kept[np.lexsort((ints[kept, 3], ints[kept, 2], ints[kept, 1], ints[kept, 0]))]
        return ints[order], self._floats[order]

    def _put(self, event_id: str, event: StoredEvent | None) -> bool:
        row = self._row_of.get(event_id)
        payload = event.payload if event is not None else None
        coded = _coded(payload) if payload is not None else None
        if event is None or coded is None:
            if row is None:
                return False
            self._ints[row] = 0
            return True
        if row is None:
            row = self._row_of[event_id] = len(self._row_of)
            self._make_room(row)
        ints, self._floats[row] = coded
        self._ints[row] = (event.clock.period, event.clock.ms, event.since, event.index, *ints, self._player(payload))
        return True

    def _player(self, payload: Incident | None) -> int:
        player_id = getattr(payload, "player_id", None)
        return UNKNOWN if player_id is None else self.players.setdefault(player_id, len(self.players))

    def _make_room(self, row: int) -> None:
        if row >= len(self._ints):
            self._ints = np.concatenate([self._ints, np.zeros_like(self._ints)])
            self._floats = np.concatenate([self._floats, np.zeros_like(self._floats)])


_Coded = tuple[tuple[int, int, int, int, int, int, int], tuple[float, float, float, float, float]]
_NAN = float("nan")
_NOWHERE = (_NAN,) * 5


def _coded(payload: Incident) -> _Coded | None:
    """Return a payload's numbers from `side` on and its floats; None for what no quantity counts."""
    match payload:
        case BallEvent():
            return _ball(payload)
        case Goal() | OwnGoal() | PenaltyScored():
            return _incident(payload.side, "goal")
        case PenaltyAwarded():
            return _incident(payload.side, "penalty")
        case PenaltyMissed():
            return _incident(payload.side, "penalty_missed")
        case Card():
            return _incident(payload.side, payload.colour)
        case Substitution():
            return _incident(payload.side, "substitution")
        case PeriodEnd():
            return (UNKNOWN, WHAT["period_end"], 0, UNKNOWN, 0, UNKNOWN, 0), _NOWHERE
        case _:
            return None


def _incident(side: str, what: str) -> _Coded:
    return (_SIDE[side], WHAT[what], 0, UNKNOWN, 0, UNKNOWN, 0), _NOWHERE


def _ball(ball: BallEvent) -> _Coded:
    ints = (
        _SIDE[ball.side],
        WHAT.get(ball.action, 0),
        DETAIL.get(ball.detail, 0),
        _YES_NO[ball.success],
        int(ball.is_shot),
        _YES_NO[ball.on_target],
        _mask(ball.tags),
    )
    places = (ball.x, ball.y, ball.end_x, ball.end_y, ball.xg)
    x, y, end_x, end_y, xg = (_NAN if value is None else value for value in places)
    return ints, (x, y, end_x, end_y, xg)


@lru_cache(maxsize=8_192)
def _mask(tags: tuple[str, ...]) -> int:
    mask = 0
    for tag in tags:
        mask |= TAG.get(tag, 0)
    return mask
