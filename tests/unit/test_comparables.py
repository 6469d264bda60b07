"""The search for past states: exact, blind to the future and to the match itself; and what it makes of its finds."""

import math
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain import comparables as module
from actors.domain.comparables import Comparables, Present, comparables, nearest, present_of, weights, wilson
from actors.domain.distribution import ForecastInputs
from actors.domain.errors import SetupError
from actors.domain.events import Score
from actors.domain.markets import TwoWay
from actors.domain.past import PastStates
from tests.unit.past import FIRST, UNTIL, past_states
from tests.unit.test_fit import write_data
from training.past_states import load_past

LATER = date(2018, 1, 1)
EARLIEST = Present(minute=0, lead=0, to_come=TwoWay(home=1.5, away=1.0))
FIRST_HALF = ForecastInputs(period=1, clock_ms=30 * 60_000)


@st.composite
def presents(draw: st.DrawFn) -> Present:
    goals = st.floats(0, 4)
    names = st.sampled_from([None, *(f"Team {number}" for number in range(7))])
    to_come = TwoWay(home=draw(goals), away=draw(goals))
    lead, minute = draw(st.integers(-5, 5)), draw(st.integers(0, 90))
    return Present(minute=minute, lead=lead, to_come=to_come, home=draw(names), away=draw(names))


def by_hand(past: PastStates, present: Present, before: date) -> list[tuple[float, int]]:
    """Return (distance, match) of every match with a state of the same lead, one by one."""

    def apart(row: int, place: int) -> float:
        late = math.log(past.left[place]) - float(np.interp(present.minute, past.minutes, np.log(past.left)))
        sides = zip(past.to_come[row, place].tolist(), (present.to_come.home, present.to_come.away), strict=True)
        return math.hypot(0.3 * late, *(2 * math.sqrt(then) - 2 * math.sqrt(now) for then, now in sides))

    def lead(row: int, place: int) -> int:
        home, away = past.goals[row, place].tolist()
        return max(-3, min(3, home - away))

    found = []
    for row, match in enumerate(past.matches):
        if match.day < before and (match.home, match.away) != (present.home, present.away):
            like = [place for place in range(len(past.minutes)) if lead(row, place) == max(-3, min(3, present.lead))]
            found += [(min(apart(row, place) for place in like), row)] if like else []
    return sorted(found)


@settings(max_examples=60, deadline=None)
@given(present=presents(), seed=st.integers(0, 5), days=st.integers(0, 130), most=st.integers(1, 80))
def test_the_search_finds_what_looking_at_every_state_finds(present: Present, seed: int, days: int, most: int) -> None:
    past, before = past_states(seed=seed), FIRST + timedelta(days=days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NEAREST", most)
        rows, places, apart = nearest(past, present, before)
    expected = by_hand(past, present, before)[:most]
    assert apart.tolist() == pytest.approx([distance for distance, _ in expected], abs=1e-9)
    assert len(set(rows.tolist())) == len(rows)
    allowed = {row for _, row in by_hand(past, present, before)}
    assert set(rows.tolist()) <= allowed
    assert (past.lead[rows, places] == max(-3, min(3, present.lead))).all()


def test_what_is_later_than_the_match_changes_nothing() -> None:
    past, before = past_states(), FIRST + timedelta(days=101)
    later = past.days >= np.datetime64(before)
    assert 0 < later.sum() < len(later)
    wild = replace(
        past, to_come=np.where(later[:, None, None], 1.5, past.to_come), goals=past.goals * ~later[:, None, None]
    )
    one, two = (comparables(each, FIRST_HALF, EARLIEST, before) for each in (past, wild))
    assert isinstance(one, Comparables)
    assert one == two
    assert all(each.match.day < before for each in one.nearest)


def test_the_match_itself_is_never_among_them() -> None:
    past = past_states()
    own = past.matches[12]
    place = int(np.flatnonzero(past.lead[12] == past.lead[12, 0])[0])
    to_come = TwoWay(home=float(past.to_come[12, place, 0]), away=float(past.to_come[12, place, 1]))
    known = Present(minute=0, lead=int(past.lead[12, 0]), to_come=to_come)
    assert 12 in nearest(past, known, LATER)[0]
    assert 12 not in nearest(past, replace_names(known, own.home, own.away), LATER)[0]


def replace_names(present: Present, home: str, away: str) -> Present:
    return Present(minute=present.minute, lead=present.lead, to_come=present.to_come, home=home, away=away)


def test_what_happened_next_is_weighted_and_transferred_to_the_score_at_hand() -> None:
    past = past_states()
    found = comparables(past, FIRST_HALF, EARLIEST, LATER)
    assert isinstance(found, Comparables)
    rows, places, apart = nearest(past, EARLIEST, LATER)
    came, weight = past.final[rows] - past.goals[rows, places], weights((rows, places, apart))
    won = weight[came[:, 0] > came[:, 1]].sum()
    assert found.result.home == pytest.approx((won + 0.45) / (weight.sum() + 1))
    assert found.result.home + found.result.draw + found.result.away == pytest.approx(1, abs=1e-12)
    assert found.goals_to_come.home == pytest.approx((came[:, 0] * weight).sum() / weight.sum())
    assert (found.next_goal.home, found.next_goal.none, found.next_goal.away) == pytest.approx((1, 0, 0))
    assert found.count == len(rows) >= found.effective_count > 0
    assert found.intervals.home[0] < found.result.home < found.intervals.home[1]
    assert [each.distance for each in found.nearest] == apart[:10].tolist()
    assert (found.before, found.searched) == (UNTIL, len(past.matches))


def test_a_lead_beyond_all_is_won_with_the_goals_of_those_that_led_by_three() -> None:
    past = past_states()
    goals = past.goals + np.array([3, 0])
    far = replace(past, goals=goals)
    result = module.result_of(far, nearest(far, Present(minute=0, lead=9, to_come=EARLIEST.to_come), LATER), 9)
    assert result.home > 0.98


def test_what_cannot_be_compared_says_why() -> None:
    past = past_states()
    assert comparables(past, ForecastInputs(period=3), EARLIEST, LATER) == "regular time is over"
    assert comparables(past, FIRST_HALF, EARLIEST, FIRST + timedelta(days=9)) == module.TOO_FEW


def test_a_state_is_what_the_forecast_still_expects() -> None:
    inputs = ForecastInputs(period=2, clock_ms=50 * 60_000, home_goals=2, away_goals=1, home_team="A", away_team="B")
    present = present_of(inputs, TwoWay(home=2.25, away=1.0 - 1e-12))
    assert present == Present(minute=90, lead=1, to_come=TwoWay(home=0.25, away=0.0), home="A", away="B")


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_wilson_holds_the_share_and_narrows_with_the_count(share: float) -> None:
    wide, narrow = wilson(share, 30), wilson(share, 300)
    assert wide[0] <= narrow[0] <= share + 1e-12
    assert share - 1e-12 <= narrow[1] <= wide[1] + 1e-12


def test_states_out_of_order_or_shape_are_refused() -> None:
    past = past_states()
    with pytest.raises(ValueError, match="in order"):
        replace(past, matches=past.matches[::-1])
    with pytest.raises(ValueError, match="in order"):
        replace(past, until=FIRST)
    with pytest.raises(ValueError, match="to_come must be"):
        replace(past, to_come=past.to_come[1:])


def test_loaded_states_are_of_matches_before_the_day_and_know_nothing_of_later_ones(tmp_path: Path) -> None:
    calm = load_past(write_data(tmp_path / "calm", matches=92), UNTIL)
    wild = load_past(write_data(tmp_path / "wild", matches=92, tail=lambda draw: float(draw.uniform(0.3, 3.0))), UNTIL)
    assert len(calm.matches) == (UNTIL - datetime(2017, 9, 1).date()).days
    assert calm.matches == wild.matches
    for name in ("left", "goals", "to_come", "next_goal"):
        np.testing.assert_array_equal(getattr(calm, name), getattr(wild, name))


def test_loaded_states_expect_less_the_later_it_is_and_know_who_scored_next(tmp_path: Path) -> None:
    past = load_past(write_data(tmp_path / "data"), UNTIL)
    assert past.left[0] == 1.0
    assert (np.diff(past.to_come, axis=1) < 0).all()
    assert past.matches[0].match_id == "understat:0"
    goalless = (past.final == past.goals[:, -1]).all(axis=1)
    assert (past.next_goal[goalless, -1] == 0).all()
    alone = (past.final - past.goals[:, 0] > 0)[:, 0] & (past.final[:, 1] == 0)
    assert (past.next_goal[alone, 0] == [1, 0]).all()
    assert past.matches[0].final == Score(*past.final[0].tolist())


def test_a_folder_without_past_matches_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"data\.root"):
        load_past(tmp_path, UNTIL)
