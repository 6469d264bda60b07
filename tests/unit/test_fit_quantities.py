"""What the inputs rest on is learnt as it says, and a recorded match is read as the fold would."""

import numpy as np
import pytest

from actors.adapters.feeds import MatchFeed, TimedRecord
from actors.domain.features import FEATURE_NAMES
from actors.domain.features.fitted import fitted
from actors.domain.features.shot_model import TERMS, expected_goals, shot_terms
from actors.domain.features.zone_value import COLUMNS, ROWS, value_gained, zone
from actors.domain.judged import CLOCKS
from actors.domain.match import state_hash
from tests.unit.builders import a_book, a_fixture, goal, minute, played, taken_back, whole_match
from training.count_inputs import report
from training.fit_quantities import Seen, logistic, zone_values
from training.live_inputs import state_of_feed

ZONES = COLUMNS * ROWS


def test_the_logistic_model_finds_the_weights_that_made_its_data() -> None:
    terms = np.column_stack([np.ones(20_000), np.linspace(-2, 2, 20_000)])
    drawn = np.random.default_rng(1).random(20_000) < 1 / (1 + np.exp(-terms @ [-1.0, 0.8]))
    assert logistic(terms, drawn.astype(float)) == pytest.approx([-1.0, 0.8], abs=0.06)


def test_a_zones_value_is_the_chance_to_score_there_or_from_where_the_ball_goes() -> None:
    """From zone 0 (and its mirror) half of 100 moves reach the middle of the box, where one of two shots goes in."""
    shots, goals, lost = (np.zeros(ZONES, np.int64) for _ in range(3))
    moves = np.zeros((ZONES, ZONES), np.int64)
    front = int(zone(np.array(95.0), np.array(45.0)))
    moves[0, front], lost[0] = 50, 50
    shots[front], goals[front] = 10, 5
    values = zone_values(Seen([], [], [], shots, goals, moves, lost))
    mirrored = int(zone(np.array(95.0), np.array(55.0)))
    assert (values[front], values[mirrored]) == (0.5, 0.5)
    assert (values[0], values[ROWS - 1], values[1]) == (0.25, 0.25, 0.0)


def test_shots_are_worth_more_from_nearer_with_the_foot_and_the_ball_is_worth_more_in_front_of_the_goal() -> None:
    x, no = np.array([95.0, 80.0, 95.0]), np.zeros(3)
    near, far, header = expected_goals(
        shot_terms(x, np.full(3, 50.0), np.array([0.0, 0.0, 1.0]), no, no, no), np.zeros(3, np.bool_)
    )
    assert 0.2 < near < 0.8 and far < 0.12 and far < header < near
    ahead = value_gained(np.array([60.0]), np.array([20.0]), np.array([93.0]), np.array([50.0]))
    assert 0.05 < ahead[0] < 0.4
    assert tuple(fitted().shot_weights) == TERMS


def a_feed(*records: object) -> MatchFeed:
    return MatchFeed(a_fixture(), tuple(TimedRecord(0, record) for record in records))  # type: ignore[arg-type]


def test_a_recorded_match_is_the_state_that_the_fold_leads_to() -> None:
    records = [*whole_match((goal(), minute(5))), a_book(1, (2.0, 3.5, 4.0)), a_book(2, (2.1, 3.4, 3.9))]
    read, folded = state_of_feed(a_feed(*records)), played(records)
    assert (read.books, read.anchors, read.openings) == (folded.books, folded.anchors, folded.openings)
    assert [event.payload for event in read.events] == [event.payload for event in folded.events]
    assert state_hash(read) != state_hash(folded)  # what is no input, such as the clock, is left out


def test_a_feed_that_takes_things_back_is_refused() -> None:
    with pytest.raises(ValueError, match="fold this feed"):
        state_of_feed(a_feed(*whole_match((goal(), minute(5))), taken_back(9, "e3")))


def test_the_report_has_a_line_for_each_minute() -> None:
    known = np.ones((3, len(CLOCKS), len(FEATURE_NAMES)), np.int64)
    known[0, 0] = 0
    lines = report(known).splitlines()
    assert lines[2].split()[:4] == ["0", "0", str(len(FEATURE_NAMES)), str(len(FEATURE_NAMES))]
    assert len(lines) == 2 + len(CLOCKS)
