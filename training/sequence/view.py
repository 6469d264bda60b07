"""A match's events as one side sees them: tokens for the encoder, and what it is to foretell at each of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.fit_corrections import MINUTES
from training.live_data import FloatArray, IntArray
from training.sequence.events import KICK_OFF, Events

NUMBERS = 14
GROUPS = 20  # of the next event: ten of the own side, ten of the opponent
UNKNOWN = -1  # the next event of a half's last one
OWN, OPPONENT, NONE = range(3)  # who scores next
SOON_MS = 5 * 60_000
WINDOWS = (5, 10, 15)  # minutes
_HALF_MS = 10**8  # far longer than one, so that nothing is soon across half time

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Tokens (T,), the kick-off first. "Own" is the side that looks; it attacks towards 1."""

    kind: IntArray
    numbers: Floats  # (T, NUMBERS)
    next_group: IntArray
    shot_soon: Floats  # (T, 2) 1 where own side, opponent shoots within SOON_MS of the same half
    next_goal: IntArray
    at: IntArray  # (MINUTES,) the last token before each minute


def view(events: Events, side: int, log_rates: FloatArray) -> View:
    """Return the tokens as `side` sees them, given the log rates (2,) of home and away before kick-off."""
    own = events.side == side
    gained = np.where(own, events.scored, -events.scored)  # an own goal of the opponent counts for us
    time = events.period * _HALF_MS + events.t_ms
    numbers = np.zeros((len(own) + 1, NUMBERS), np.float32)
    numbers[1:, :12] = _numbers(events, own, gained)
    numbers[:, 12:] = log_rates[side], log_rates[1 - side]
    before = np.concatenate([[_HALF_MS], time])
    soon = [_within(before, time[events.shot & who], SOON_MS) for who in (own, ~own)]
    return View(
        kind=np.concatenate([[KICK_OFF], events.kind]),
        numbers=numbers,
        next_group=_next_group(events, own),
        shot_soon=np.stack(soon, axis=1).astype(np.float32),
        next_goal=_next_goal(gained),
        at=np.searchsorted(events.minute(), MINUTES),
    )


def window_counts(events: Events, side: int) -> FloatArray:
    """Return (MINUTES, 6 * WINDOWS): roots of shots, xG and final-third events of the last minutes, own, opponent's."""
    minute, counts = events.minute(), []
    for who in (side, 1 - side):
        here = events.side == who
        what = np.stack([events.shot & here, events.xg * here, (events.x >= 66) & here], axis=1).astype(np.float64)
        total = np.concatenate([np.zeros((1, 3)), np.cumsum(what, axis=0)])
        until = total[np.searchsorted(minute, MINUTES)]
        counts += [until - total[np.searchsorted(minute, np.array(MINUTES) - window)] for window in WINDOWS]
    return np.asarray(np.sqrt(np.concatenate(counts, axis=1).clip(min=0)), dtype=np.float64)


def _numbers(events: Events, own: NDArray[np.bool_], gained: IntArray) -> FloatArray:
    """Return (T, 12), each of the order of 1."""
    places = [
        np.nan_to_num(np.where(own, place, 100 - place) / 50 - 1)
        for place in (events.x, events.y, events.end_x, events.end_y)
    ]
    since = np.diff(events.t_ms, prepend=0).clip(0, 60_000) / 1000
    lead = np.cumsum(gained).clip(-3, 3)
    return np.stack(
        [
            own,
            *places,
            events.success,
            gained,
            np.log1p(since) / 3,
            events.t_ms / 2_700_000,
            events.period - 1,
            lead / 3,
            np.sqrt(events.xg) * np.where(own, 1, -1),
        ],
        axis=1,
    )


def _next_group(events: Events, own: NDArray[np.bool_]) -> IntArray:
    group = np.concatenate([events.group + 10 * ~own, [UNKNOWN]])
    last = np.concatenate([[False], np.diff(events.period) != 0, [True]])
    return np.where(last, UNKNOWN, group)


def _within(before: IntArray, times: IntArray, span: int) -> NDArray[np.bool_]:
    """Return whether one of the sorted times lies in (before, before + span]."""
    following = np.concatenate([times, [np.iinfo(np.int64).max // 2]])[np.searchsorted(times, before, side="right")]
    return np.asarray(following - before <= span)


def _next_goal(gained: IntArray) -> IntArray:
    """Return (T + 1,) who scores next after each token."""
    goals = np.flatnonzero(gained)
    scorer = np.append(np.where(gained[goals] > 0, OWN, OPPONENT), NONE)
    return scorer[np.searchsorted(goals, np.arange(len(gained) + 1))]
