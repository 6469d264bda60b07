"""What moved a forecast: its change in log-odds, in parts that follow the order in which the match happened.

From the inputs of an earlier forecast to those of a later one, one thing at a time is changed (the clock up to an
event, then the event), and the model says after each what it makes of that. What the steps add is summed by what was
changed. The parts depend on the order, which is the match's own, and sum to the whole change but for rounding (1e-12).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.events import Clock, Side
from actors.domain.markets import ThreeWay

LEAST = 1e-6  # a result less likely than that counts as so likely: log-odds of a certainty have no end

Kind = Literal["clock", "market", "prior", "goal", "red_card", "shot", "correction"]
_FIELD: dict[Kind, str] = {"goal": "goals", "red_card": "reds", "shot": "shots"}  # the inputs that count them, by side
_STEADY = ("clock", "market", "prior")  # what is no event of the match
_ORDER: tuple[tuple[Kind, Side | None], ...] = (
    *(("clock", None), ("market", None), ("prior", None), ("goal", "home"), ("goal", "away")),
    *(("red_card", "home"), ("red_card", "away"), ("shot", "home"), ("shot", "away")),
)  # of what changed between two forecasts


class LogOdds(Struct, frozen=True, kw_only=True):
    """Natural logarithms of the odds of each result against the rest, or differences of them."""

    home: float = 0.0
    draw: float = 0.0
    away: float = 0.0


class Said(Struct, frozen=True, kw_only=True):
    """What a published forecast said, as far as it is explained."""

    prediction_id: str
    seq: int
    model_version: str
    inputs: ForecastInputs
    one_x_two: ThreeWay


class Step(Struct, frozen=True, kw_only=True):
    """One thing that changed, and the inputs behind it; `count` below zero was taken back."""

    kind: Kind
    side: Side | None = None
    count: int = 0
    inputs: ForecastInputs


class EventPart(Struct, frozen=True, kw_only=True):
    """What one event did: `count` goals, red cards or shots of a side (below zero: taken back), or a correction."""

    kind: Kind
    side: Side | None
    count: int
    clock: Clock
    change: LogOdds


class Explanation(Struct, frozen=True, kw_only=True):
    """The change in log-odds between two forecasts; clock, market, prior, model and events sum to `change`.

    `market` is that of prices, `prior` that of ratings and form, which speak without prices. `model` is what another
    model version makes of the same inputs.
    """

    since: str  # prediction id of the earlier forecast
    since_clock: Clock
    change: LogOdds
    clock: LogOdds
    market: LogOdds
    prior: LogOdds
    model: LogOdds
    events: list[EventPart]
    note: str | None = None  # where the later forecast is of a model that is not run here any more


def log_odds(chances: ThreeWay) -> LogOdds:
    """Return the log-odds of each result, of probabilities kept LEAST away from 0 and 1.

    >>> log_odds(ThreeWay(home=0.5, draw=0.5, away=0.0))
    LogOdds(home=0.0, draw=0.0, away=-13.815509557963774)
    """
    return LogOdds(home=_logit(chances.home), draw=_logit(chances.draw), away=_logit(chances.away))


def path(seen: Sequence[ForecastInputs]) -> list[Step]:
    """Return the steps from the first of the published inputs to the last, in order; the last ends where they end.

    Inputs between that differ by the clock alone need no step of their own: it goes on to the next that happened.
    """
    now, found = seen[0], list[Step]()
    for number, target in enumerate(seen[1:], start=2):
        steps = list(_towards(now, target))
        if number == len(seen) or any(step.kind != "clock" for step in steps):
            found += steps
            now = target
    return found


def explain(before: Said, after: Said, steps: Sequence[Step], chances: Sequence[ThreeWay], version: str) -> Explanation:
    """Sum what the steps add; `chances` are of model `version` on the inputs of `before` and behind each step."""
    odds = [log_odds(each) for each in chances]
    added = [_minus(later, earlier) for earlier, later in pairwise(odds)]
    rows = list(zip(steps, added, strict=True))
    said, says = log_odds(before.one_x_two), log_odds(after.one_x_two)
    return Explanation(
        since=before.prediction_id,
        since_clock=clock_of(before.inputs),
        change=_minus(says, said),
        clock=_sum([part for step, part in rows if step.kind == "clock"]),
        market=_sum([part for step, part in rows if step.kind == "market"]),
        prior=_sum([part for step, part in rows if step.kind == "prior"]),
        model=_sum([_minus(odds[0], said), _minus(says, odds[-1])]),
        events=[_event(step, part) for step, part in rows if step.kind not in _STEADY],
        note=_note(after.model_version, version),
    )


def clock_of(inputs: ForecastInputs) -> Clock:
    """Return the match clock of inputs."""
    return Clock(inputs.period, inputs.clock_ms)


def _towards(now: ForecastInputs, target: ForecastInputs) -> Iterator[Step]:
    """Yield what changes between two inputs, one step each: time passes first, then come the events."""
    for kind, side in _ORDER:
        after = replace(now, **_changes(kind, side, now, target))
        if after != now:
            yield Step(kind=kind, side=side, count=_more(kind, side, now, target), inputs=after)
            now = after
    if now != target:
        yield Step(kind="correction", inputs=target)


def _changes(kind: Kind, side: Side | None, now: ForecastInputs, target: ForecastInputs) -> dict[str, object]:
    if kind == "clock":
        return {"period": target.period, "clock_ms": target.clock_ms}
    if kind == "market":
        return {"anchor_1x2": target.anchor_1x2, "anchor_over_under": target.anchor_over_under}
    if kind == "prior":
        return {"prior": target.prior}
    if side is None or not _more(kind, side, now, target):
        return {}
    name = f"{side}_{_FIELD[kind]}"
    counted = {name: getattr(target, name)}
    match kind:
        case "goal":
            return {**counted, "goals": _goals(side, now.goals, target.goals)}
        case "shot" if counted[name] is None:  # withdrawn, all of them: no step of one side
            return {}
        case "shot":  # those of both sides are known, or of none
            known = {"home_shots": now.home_shots or 0, "away_shots": now.away_shots or 0}
            return {**known, "shots_by": target.shots_by, **counted}
        case _:
            return counted


def _more(kind: Kind, side: Side | None, now: ForecastInputs, target: ForecastInputs) -> int:
    if kind not in _FIELD:
        return 0
    name = f"{side}_{_FIELD[kind]}"
    return (getattr(target, name) or 0) - (getattr(now, name) or 0)


def _goals(side: Side, now: tuple[GoalAt, ...] | None, target: tuple[GoalAt, ...] | None) -> tuple[GoalAt, ...] | None:
    """Return the goals as they were, those of one side as they are; None where either is not known."""
    if now is None or target is None:
        return None
    goals = [goal for goal in now if goal.side != side] + [goal for goal in target if goal.side == side]
    return tuple(sorted(goals, key=lambda goal: (goal.period, goal.clock_ms)))


def _event(step: Step, change: LogOdds) -> EventPart:
    return EventPart(kind=step.kind, side=step.side, count=step.count, clock=clock_of(step.inputs), change=change)


def _note(made_by: str, run: str) -> str | None:
    if made_by == run:
        return None
    return f"{made_by} is not run here any more: the parts are those of {run}, and `model` is what is left"


def _logit(probability: float) -> float:
    kept = min(max(probability, LEAST), 1 - LEAST)
    return math.log(kept / (1 - kept))


def _minus(one: LogOdds, other: LogOdds) -> LogOdds:
    return LogOdds(home=one.home - other.home, draw=one.draw - other.draw, away=one.away - other.away)


def _sum(parts: Sequence[LogOdds]) -> LogOdds:
    return LogOdds(
        home=math.fsum(part.home for part in parts),
        draw=math.fsum(part.draw for part in parts),
        away=math.fsum(part.away for part in parts),
    )
