"""What moved a forecast: the order of the steps, and parts that sum to the change. Expected values are by hand."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.events import Clock, Side
from actors.domain.explain import LEAST, Explanation, LogOdds, Said, explain, log_odds, path
from actors.domain.markets import ThreeWay
from tests.unit.builders import a_prior

MINUTE_MS = 60_000
PRICES = (2.0, 3.5, 4.0)


def at(minute: int, **changes: object) -> ForecastInputs:
    """Inputs in the first half; before kick-off at minute 0."""
    period = 1 if minute else 0
    return replace(ForecastInputs(goals=(), anchor_1x2=PRICES), period=period, clock_ms=minute * MINUTE_MS, **changes)


def chances(home: float) -> ThreeWay:
    """The rest in equal parts."""
    return ThreeWay(home=home, draw=(1 - home) / 2, away=(1 - home) / 2)


def said(inputs: ForecastInputs, home: float, version: str = "one") -> Said:
    return Said(prediction_id="m@1", seq=1, model_version=version, inputs=inputs, one_x_two=chances(home))


def goal(minute: int, side: Side) -> GoalAt:
    return GoalAt(1, minute * MINUTE_MS, side)


def kinds(seen: Sequence[ForecastInputs]) -> list[tuple[str, Side | None, int]]:
    return [(step.kind, step.side, step.count) for step in path(seen)]


def test_the_clock_runs_up_to_an_event_before_the_event() -> None:
    scored = at(23, home_goals=1, goals=(goal(23, "home"),))
    clock, home = path([at(0), at(10), at(20), scored])
    assert (clock.kind, clock.inputs) == ("clock", at(23))
    assert (home.kind, home.side, home.count, home.inputs) == ("goal", "home", 1, scored)


def test_what_only_time_lies_between_is_one_step() -> None:
    assert kinds([at(0), at(10), at(20), at(30)]) == [("clock", None, 0)]
    assert kinds([at(30), at(30)]) == []
    assert kinds([at(30)]) == []


def test_what_ratings_say_is_a_part_of_its_own_and_no_event() -> None:
    unpriced = replace(at(0), anchor_1x2=None)
    steps = path([unpriced, replace(unpriced, prior=a_prior())])
    assert [(step.kind, step.inputs.prior) for step in steps] == [("prior", a_prior())]
    found = explain(said(unpriced, 0.4), said(steps[0].inputs, 0.5), steps, [chances(0.4), chances(0.5)], "one")
    assert (found.prior, found.events) == (found.change, [])


def test_events_come_in_the_order_of_the_match() -> None:
    shot = at(5, home_shots=1, away_shots=0, shots_by="test")
    prices = replace(at(0), anchor_1x2=(1.8, 3.6, 4.8))
    red = replace(shot, anchor_1x2=prices.anchor_1x2, clock_ms=9 * MINUTE_MS, away_reds=1)
    back = replace(red, away_reds=0)
    shot = replace(shot, anchor_1x2=prices.anchor_1x2)
    assert kinds([at(0), prices, shot, red, back]) == [
        ("market", None, 0),
        ("clock", None, 0),
        ("shot", "home", 1),
        ("clock", None, 0),
        ("red_card", "away", 1),
        ("red_card", "away", -1),
    ]


def test_the_first_shot_makes_those_of_both_sides_known() -> None:
    _, away = path([at(0), at(5, home_shots=0, away_shots=1, shots_by="test")])
    assert (away.kind, away.side, away.count) == ("shot", "away", 1)
    _, home, away = path([at(0), at(5, home_shots=2, away_shots=3, shots_by="test")])
    assert (home.inputs.home_shots, home.inputs.away_shots, home.inputs.shots_by) == (2, 0, "test")
    assert (away.inputs.home_shots, away.inputs.away_shots) == (2, 3)


def test_goals_that_came_together_are_a_step_for_each_side_with_their_times() -> None:
    goals = (goal(20, "away"), goal(23, "home"), goal(30, "home"))
    clock, home, away = path([at(10), at(31, home_goals=2, away_goals=1, goals=goals)])
    assert (clock.inputs.goals, home.count, home.inputs.goals) == ((), 2, goals[1:])
    assert (away.count, away.inputs.goals) == (1, goals)


def test_a_goal_taken_back_counts_below_zero_and_a_moved_one_is_a_correction() -> None:
    scored = at(23, home_goals=1, goals=(goal(23, "home"),))
    assert kinds([scored, at(23)]) == [("goal", "home", -1)]
    assert kinds([scored, replace(scored, goals=(goal(22, "home"),))]) == [("correction", None, 0)]
    assert kinds([at(5, home_shots=1, away_shots=0, shots_by="test"), at(5)]) == [("correction", None, 0)]


def explained() -> Explanation:
    """Home's odds are 1 before kick-off and, by the same model: 1/2 at 23', 4 with a goal, 2 without, 3 at 30'."""
    scored = at(23, home_goals=1, goals=(goal(23, "home"),))
    before, after = said(at(0), 1 / 2), said(at(30), 3 / 4)
    steps = path([before.inputs, scored, at(23), after.inputs])
    return explain(before, after, steps, [chances(p) for p in (1 / 2, 1 / 3, 4 / 5, 2 / 3, 3 / 4)], "one")


def test_parts_are_the_differences_of_log_odds_by_hand() -> None:
    found = explained()
    assert found.change.home == pytest.approx(math.log(3), abs=1e-15)
    assert found.clock.home == pytest.approx(math.log(1 / 2) + math.log(3 / 2), abs=1e-15)
    assert [(part.kind, part.side, part.count, part.clock) for part in found.events] == [
        ("goal", "home", 1, Clock(1, 23 * MINUTE_MS)),
        ("goal", "home", -1, Clock(1, 23 * MINUTE_MS)),
    ]
    assert [part.change.home for part in found.events] == pytest.approx([math.log(8), math.log(1 / 2)], abs=1e-15)
    assert (found.market, found.model, found.note) == (LogOdds(), LogOdds(), None)


def test_draw_and_away_have_parts_of_their_own() -> None:
    rest = [(1 - p) / 2 / (1 - (1 - p) / 2) for p in (1 / 2, 3 / 4)]  # odds of draw, and of away
    found = explained()
    assert found.change.draw == found.change.away == pytest.approx(math.log(rest[1] / rest[0]), abs=1e-15)


def test_another_version_is_a_part_of_its_own() -> None:
    before, after = said(at(0), 1 / 2, "one"), said(at(30), 3 / 4, "two")
    found = explain(before, after, path([before.inputs, after.inputs]), [chances(2 / 3), chances(3 / 4)], "two")
    assert (found.model.home, found.clock.home) == pytest.approx((math.log(2), math.log(3 / 2)), abs=1e-15)
    assert found.note is None


def test_a_version_that_is_not_run_any_more_is_said_and_the_rest_is_model() -> None:
    before, after = said(at(0), 1 / 2, "one"), said(at(30), 3 / 4, "one")
    found = explain(before, after, path([before.inputs, after.inputs]), [chances(2 / 3), chances(4 / 5)], "two")
    assert found.clock.home == pytest.approx(math.log(2), abs=1e-15)
    assert found.model.home == pytest.approx(math.log(2) + math.log(3 / 4), abs=1e-15)
    assert found.note is not None
    assert "one is not run here any more" in found.note


def test_a_certain_result_has_log_odds_with_an_end() -> None:
    most = math.log((1 - LEAST) / LEAST)
    assert log_odds(chances(1.0)).home == pytest.approx(most)
    assert log_odds(chances(1.0)).draw == pytest.approx(-most)


GOALS = st.lists(
    st.builds(GoalAt, st.integers(1, 2), st.integers(0, 50 * MINUTE_MS), st.sampled_from(["home", "away"]))
)
COUNTS = st.integers(0, 3)
PROBABILITIES = st.floats(0, 1)
INPUTS = st.builds(
    ForecastInputs,
    period=st.integers(0, 3),
    clock_ms=st.integers(0, 50 * MINUTE_MS),
    home_goals=COUNTS,
    away_goals=COUNTS,
    home_reds=COUNTS,
    away_reds=COUNTS,
    anchor_1x2=st.sampled_from([None, PRICES]),
    prior=st.sampled_from([UNSET, a_prior(), a_prior(home=0.6)]),
    home_shots=st.none() | COUNTS,
    away_shots=st.none() | COUNTS,
    goals=st.none() | GOALS.map(tuple),
)


@given(st.lists(INPUTS, min_size=2, max_size=5), st.data())
@settings(deadline=None, derandomize=True)
def test_whatever_happened_the_steps_end_where_they_should_and_the_parts_sum_to_the_change(
    seen: list[ForecastInputs], data: st.DataObject
) -> None:
    steps = path(seen)
    assert (steps[-1].inputs if steps else seen[0]) == seen[-1]
    count = len(steps) + 1
    answers = [chances(p) for p in data.draw(st.lists(PROBABILITIES, min_size=count, max_size=count))]
    before, after = (said(each, data.draw(PROBABILITIES)) for each in (seen[0], seen[-1]))
    found = explain(before, after, steps, answers, "one")
    parts = [found.clock, found.market, found.prior, found.model, *(part.change for part in found.events)]
    for side in ("home", "draw", "away"):
        assert math.fsum(getattr(part, side) for part in parts) == pytest.approx(getattr(found.change, side), abs=1e-9)
