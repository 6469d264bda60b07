"""Shots and goal times as the model sees them: counted from the event set, the same live and in training."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from actors.adapters.feed_data_root import read_match
from actors.domain.distribution import GoalAt
from actors.domain.events import BallEvent, Clock, Event, Side, encode_record
from actors.domain.match import decode_state, encode_state, forecast_inputs, new_match
from actors.machines.match import Entry, Reforecast, fold, step
from tests.unit.builders import a_pass, corrected, goal, minute, numbered, played, taken_back
from training.live_data import load_live
from training.live_score import inputs_at


def shot(side: Side = "home") -> BallEvent:
    return BallEvent(side=side, action="shot", is_shot=True)


def seen(*happenings: tuple[Event, Clock]) -> tuple[int | None, int | None, str | None]:
    inputs = forecast_inputs(played(numbered(*happenings)))
    return inputs.home_shots, inputs.away_shots, inputs.shots_by


def test_shots_are_counted_by_side_and_missing_until_there_is_one() -> None:
    assert seen((a_pass(), minute(1))) == (None, None, None)
    home, away, by = seen((shot(), minute(1)), (a_pass(), minute(2)), (shot("away"), minute(3)), (shot(), minute(3, 2)))
    assert (home, away) == (2, 1)
    assert by is not None


def test_shots_of_extra_time_do_not_count() -> None:
    assert seen((shot(), minute(1)), (shot(), minute(1, 3)))[:2] == (1, 0)


def test_a_shot_taken_back_or_given_to_the_other_side_counts_no_more_and_a_snapshot_of_the_state_agrees() -> None:
    records = numbered((shot(), minute(1)), (shot(), minute(2)), (shot(), minute(3)))
    first, second = records[0].event_id, records[1].event_id
    state = played([*records, taken_back(4, first), corrected(5, second, shot("away"), minute(2))])
    inputs = forecast_inputs(state)
    assert (inputs.home_shots, inputs.away_shots) == (1, 1)
    assert forecast_inputs(decode_state(state.match_id, encode_state(state))) == inputs


def test_goals_come_with_their_times_in_order() -> None:
    inputs = forecast_inputs(played(numbered((goal("away"), minute(9)), (goal("home"), minute(3, 2)))))
    assert inputs.goals == (GoalAt(1, 9 * 60_000, "away"), GoalAt(2, 3 * 60_000, "home"))


def test_a_shot_is_news_and_a_pass_is_not() -> None:
    happenings = numbered((a_pass(), minute(1)), (shot(), minute(1)), (a_pass(), minute(1)))
    state = played(happenings[:1])
    due = list[bool]()
    for record in happenings[1:]:
        entry = Entry(offset=state.offset + 1, key=record.match_id, value=encode_record(record))
        state, effects = step(state, entry)
        due.append(Reforecast(trigger="ball") in effects)
    assert due == [True, False]


@pytest.mark.needs_data
@pytest.mark.parametrize("suite", ["wyscout", "understat"])
def test_live_and_training_count_the_same(data_root: Path, suite: str) -> None:
    matches = load_live(data_root, suite, date(2017, 9, 1), date(2017, 10, 1))
    for row in np.linspace(0, len(matches) - 1, 5).astype(int).tolist():
        feed = read_match(data_root, f"{suite}:{matches.match_id[row]}")
        for at in (15, 30, 60, 85):
            now = Clock(1, at * 60_000) if at < 45 else Clock(2, (at - 45) * 60_000)
            live = forecast_inputs(
                fold(new_match(feed.fixture), (each.record for each in feed.records if each.record.clock < now))
            )
            trained = inputs_at(matches, at)[row]
            for name in ("home_shots", "away_shots", "shots_by", "home_goals", "away_goals", "league"):
                assert getattr(live, name) == getattr(trained, name), f"{name} of {feed.fixture.match_id} at {at}'"
            assert live.goals is not None and trained.goals is not None
            assert [(goal.period, goal.side) for goal in live.goals] == [
                (goal.period, goal.side) for goal in trained.goals
            ]
