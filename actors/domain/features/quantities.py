"""What is counted of each side: one definition each, a mask or a weight over a match's rows."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
from msgspec import Struct

from actors.domain.distribution import FloatArray
from actors.domain.features.columns import BoolArray
from actors.domain.features.describe import Group
from actors.domain.features.fixed_point import to_fixed
from actors.domain.features.pitch import FINAL_THIRD, LENGTH_M, MIDDLE_THIRD, WIDTH_M, goal_distance_m, in_box
from actors.domain.features.table import Table

Needs = Literal["score", "incidents", "shots", "balls", "details"]  # for nought to mean nought

BIG_CHANCE = 0.2
LONG_PASS_M, SWITCH_M, PROGRESS_M, DEEP_M = 32.0, 30.0, 15.0, 20.0
HIGH_UP = 60.0  # percent of the length: where a defensive action is pressing
SET_PIECES = ("corner", "free_kick")


class Quantity(Struct, frozen=True, kw_only=True):
    """Something that happens, and which rows of a match say that it did. `weigh` gives whole numbers only."""

    name: str
    definition: str
    needs: Needs
    group: Group
    weigh: Callable[[Table], FloatArray | BoolArray]
    unit: str = "events"
    scale: float = 1.0  # `weigh` counts in units of 1 / scale


def _what(*names: str) -> Callable[[Table], BoolArray]:
    return lambda t: t.is_what(*names)


def _detail(*names: str) -> Callable[[Table], BoolArray]:
    return lambda t: t.is_detail(*names)


def _tag(name: str) -> Callable[[Table], BoolArray]:
    return lambda t: t.has_tag(name)


def _won(*details: str) -> Callable[[Table], BoolArray]:
    return lambda t: t.is_detail(*details) & t.has_tag("won")


def _pass(condition: Callable[[Table], BoolArray]) -> Callable[[Table], BoolArray]:
    return lambda t: t.is_what("pass") & condition(t)


def _completed(condition: Callable[[Table], BoolArray]) -> Callable[[Table], BoolArray]:
    return lambda t: t.is_what("pass") & (t.success == 1) & condition(t)


def _shot(condition: Callable[[Table], BoolArray]) -> Callable[[Table], BoolArray]:
    return lambda t: t.shot & condition(t)


def _length_m(t: Table) -> FloatArray:
    return np.hypot((t.end_x - t.x) * LENGTH_M / 100, (t.end_y - t.y) * WIDTH_M / 100)


def _is_progressive(t: Table) -> BoolArray:
    nearer: BoolArray = goal_distance_m(t.x, t.y) - goal_distance_m(t.end_x, t.end_y) >= PROGRESS_M
    return nearer


def _enters_box(t: Table) -> BoolArray:
    kept: BoolArray = t.success != 0
    return t.is_what("pass", "carry", *SET_PIECES) & kept & in_box(t.end_x, t.end_y) & ~in_box(t.x, t.y)


def _shot_xg(condition: Callable[[Table], BoolArray]) -> Callable[[Table], FloatArray]:
    return lambda t: to_fixed(np.where(t.shot & condition(t), t.xg, 0.0))


def _is_far(t: Table) -> BoolArray:
    return t.shot & ~in_box(t.x, t.y)


def _everything(t: Table) -> BoolArray:
    return np.ones(len(t.t_ms), np.bool_)


_Row = tuple[str, str, Callable[[Table], FloatArray | BoolArray]]


def _all(needs: Needs, group: Group, *rows: _Row, unit: str = "events", scale: float = 1.0) -> tuple[Quantity, ...]:
    return tuple(
        Quantity(name=name, definition=definition, needs=needs, group=group, weigh=weigh, unit=unit, scale=scale)
        for name, definition, weigh in rows
    )


_PASSES = _all(
    "balls",
    "rates",
    ("passes", "passes from open play", _what("pass")),
    ("completed_passes", "passes that reached a team-mate", _completed(_everything)),
    ("forward_passes", "passes that end at least 10 % of the length further on", _pass(lambda t: t.end_x - t.x >= 10)),
    ("back_passes", "passes that end further back", _pass(lambda t: t.end_x < t.x)),
    ("progressive_passes", f"completed, {PROGRESS_M:g} m nearer to the goal", _completed(_is_progressive)),
    ("long_passes", f"passes of at least {LONG_PASS_M:g} m", _pass(lambda t: _length_m(t) >= LONG_PASS_M)),
    (
        "switches",
        f"completed, at least {SWITCH_M:g} m across the pitch",
        _completed(lambda t: np.abs(t.end_y - t.y) * WIDTH_M / 100 >= SWITCH_M),
    ),
    ("own_half_passes", "passes from the own half", _pass(lambda t: t.x < 50)),
    ("final_third_passes", "completed passes that end there", _completed(lambda t: t.end_x >= FINAL_THIRD)),
    (
        "final_third_entries",
        "completed passes that come from behind it",
        _completed(lambda t: (t.end_x >= FINAL_THIRD) & (t.x < FINAL_THIRD)),
    ),
    ("box_entries", "balls played or carried into the penalty area that were not lost", _enters_box),
    (
        "deep_completions",
        f"completed passes that end within {DEEP_M:g} m of the goal",
        _completed(lambda t: goal_distance_m(t.end_x, t.end_y) <= DEEP_M),
    ),
)
_PASS_KINDS = _all(
    "details",
    "rates",
    ("crosses", "crosses, from free kicks too", _detail("Cross", "Free kick cross")),
    ("completed_crosses", "crosses that reached a team-mate", lambda t: t.is_detail("Cross") & (t.success == 1)),
    ("smart_passes", "passes that the provider calls smart", _detail("Smart pass")),
    ("key_passes", "passes that led to a shot", _tag("key_pass")),
    ("through_balls", "passes behind the defence", _tag("through")),
    ("high_passes", "passes in the air, launches too", _detail("High pass", "Launch")),
    ("head_passes", "passes by head", _detail("Head pass")),
)
_SHOTS = _all(
    "shots",
    "shot_quality",
    ("shots", "shots, penalties too", lambda t: t.shot),
    ("shots_on_target", "shots that were goals or saved", _shot(lambda t: t.on_target == 1)),
    ("box_shots", "shots from the penalty area", _shot(lambda t: in_box(t.x, t.y))),
    ("far_shots", "shots from outside the penalty area", _is_far),
    ("close_shots", "shots within 11 m", _shot(lambda t: goal_distance_m(t.x, t.y) <= 11)),
    ("big_chances", f"shots of at least {BIG_CHANCE:g} expected goals", _shot(lambda t: t.xg >= BIG_CHANCE)),
)
_XG = _all(
    "shots",
    "shot_quality",
    ("xg", "expected goals, the provider's or our shot model's", _shot_xg(_everything)),
    ("box_xg", "expected goals of shots from the penalty area", _shot_xg(lambda t: in_box(t.x, t.y))),
    unit="expected goals",
    scale=1e6,
)
_SHOT_KINDS = _all(
    "details",
    "shot_quality",
    ("blocked_shots", "shots that a defender stopped", _shot(lambda t: t.has_tag("blocked"))),
    ("headed_shots", "shots by head or body", _shot(lambda t: t.has_tag("head_or_body"))),
    ("counter_shots", "shots from a counter-attack", _shot(lambda t: t.has_tag("counter_attack"))),
)
_RESTARTS = _all(
    "balls",
    "rates",
    ("corners", "corners taken", _what("corner")),
    ("free_kicks", "free kicks taken, shots apart", _what("free_kick")),
    ("free_kicks_final_third", "of them in the final third", lambda t: t.is_what("free_kick") & (t.x >= FINAL_THIRD)),
    ("throw_ins", "throw-ins taken", _what("throw_in")),
    ("throw_ins_final_third", "of them in the final third", lambda t: t.is_what("throw_in") & (t.x >= FINAL_THIRD)),
    ("goal_kicks", "goal kicks taken", _what("goal_kick")),
)
_BATTLES = _all(
    "balls",
    "rates",
    ("duels", "duels", _what("duel")),
    (
        "high_defence",
        f"duels, fouls and interceptions beyond {HIGH_UP:g} % of the length",
        lambda t: (t.is_what("duel", "foul", "interception") | t.has_tag("interception")) & (t.x >= HIGH_UP),
    ),
    ("clearances", "clearances", _what("clearance")),
    ("saves", "saves of the goalkeeper", _what("save")),
    ("fouls", "fouls committed", _what("foul")),
    ("fouls_own_third", "fouls committed in the own third", lambda t: t.is_what("foul") & (t.x < MIDDLE_THIRD)),
    ("offsides", "times caught offside", _what("offside")),
    ("carries", "runs with the ball", _what("carry")),
    ("touches", "other touches of the ball", _what("touch")),
)
_BATTLE_KINDS = _all(
    "details",
    "rates",
    ("duels_won", "duels won", lambda t: t.is_what("duel") & t.has_tag("won")),
    ("duels_lost", "duels lost", lambda t: t.is_what("duel") & t.has_tag("lost")),
    ("air_duels", "duels in the air", _detail("Air duel")),
    ("air_duels_won", "duels in the air won", _won("Air duel")),
    ("attacking_duels", "duels on the ground with the ball", _detail("Ground attacking duel")),
    ("attacking_duels_won", "of them won", _won("Ground attacking duel")),
    ("loose_ball_duels", "duels for a loose ball", _detail("Ground loose ball duel")),
    ("take_ons", "attempts to go past a man", _tag("take_on_left")),
    ("tackles", "sliding tackles", _tag("sliding_tackle")),
    ("interceptions", "interceptions", _tag("interception")),
    ("anticipations", "balls reached before the opponent", _tag("anticipation")),
    ("dangerous_losses", "balls lost where it hurts", _tag("dangerous_ball_lost")),
    ("miscontrols", "balls missed", _tag("missed_ball")),
    ("counter_actions", "actions in a counter-attack", _tag("counter_attack")),
)
_POSSESSION = (
    *_all(
        "balls",
        "momentum",
        ("possession_s", "time between two touches of the side", lambda t: t.held_ms.astype(np.float64)),
        unit="s",
        scale=1e3,
    ),
    *_all(
        "balls",
        "momentum",
        ("possessions", "times the side came into possession", lambda t: t.won_ball),
        (
            "high_recoveries",
            f"of them beyond {HIGH_UP:g} % of the length, set pieces apart",
            lambda t: t.won_ball & (t.x >= HIGH_UP) & ~t.is_what(*SET_PIECES, "throw_in"),
        ),
    ),
    *_all(
        "balls",
        "momentum",
        (
            "value_gained",
            "possession value (expected threat) that moves of the ball added",
            lambda t: to_fixed(np.maximum(np.nan_to_num(t.value), 0.0)),
        ),
        unit="expected goals",
        scale=1e6,
    ),
)
_INCIDENTS = (
    *_all("score", "state_and_clock", ("goals", "goals, own goals of the other side too", _what("goal"))),
    *_all(
        "incidents",
        "discipline",
        ("cautions", "yellow cards, second ones too", _what("yellow", "second_yellow")),
        ("dismissals", "red cards, second yellow ones too", _what("second_yellow", "red")),
    ),
    *_all("incidents", "substitutions", ("substitutions", "substitutions made", _what("substitution"))),
)
IN_WINDOWS: tuple[Quantity, ...] = (
    *(*_INCIDENTS, *_SHOTS, *_XG, *_SHOT_KINDS, *_PASSES, *_PASS_KINDS),
    *(*_RESTARTS, *_BATTLES, *_BATTLE_KINDS, *_POSSESSION),
)

_LANES = ("left", "half_left", "half_right", "right")  # as the acting side sees it: y grows to its right
_DEPTHS = ("own_third", "middle_third", "final_third")

_BOX_ACTIONS = ("pass", "touch", "shot", "duel", "clearance")


def _in_zone(t: Table, depth: int, lane: int) -> BoolArray:
    held = t.is_what("pass", "carry", "touch", "shot", "duel", "throw_in", *SET_PIECES)
    along = (t.x >= 100 * depth / 3) & ((t.x < 100 * (depth + 1) / 3) | (depth == 2))
    return held & along & (t.y >= 25 * lane) & ((t.y < 25 * (lane + 1)) | (lane == 3))


IN_ZONES: tuple[Quantity, ...] = (
    *_all(
        "balls",
        "zones_and_sides",
        *(
            (f"actions_{depth}_{lane}", f"actions in the {depth}, {lane}", partial(_in_zone, depth=i, lane=j))
            for i, depth in enumerate(_DEPTHS)
            for j, lane in enumerate(_LANES)
        ),
        ("actions_box", "in the penalty area attacked", lambda t: t.is_what(*_BOX_ACTIONS) & in_box(t.x, t.y)),
        ("actions_own_box", "in the own one", lambda t: t.is_what(*_BOX_ACTIONS) & in_box(100 - t.x, t.y)),
    ),
)
QUANTITIES: tuple[Quantity, ...] = (*IN_WINDOWS, *IN_ZONES)
PLACE_OF = {quantity.name: place for place, quantity in enumerate(QUANTITIES)}
