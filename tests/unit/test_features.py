"""The inputs: hand-checked values of made-up matches, and that what is missing is never nought."""

import math
from typing import Any

import pytest

from actors.domain.distribution import FloatArray
from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    Event,
    Lineups,
    PenaltyAwarded,
    PeriodEnd,
    Player,
    Side,
    Substitution,
)
from actors.domain.features import FEATURE_NAMES, Extractor, PreMatch, catalogue, extract, snapshot
from actors.domain.features.fitted import fitted
from actors.domain.features.shot_model import TERMS
from actors.domain.match import MatchState
from tests.unit.builders import (
    a_book,
    a_record,
    corrected,
    goal,
    kicked_off,
    minute,
    played,
    substitution,
    taken_back,
    totals,
    whole_match,
)

NOBODY = PreMatch()
HALF_TIME = Clock(2, 0)


def inputs(state: MatchState, at: Clock | None = None, prematch: PreMatch = NOBODY) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, extract(state, prematch, at).values.tolist(), strict=True))


def ball(action: str, side: Side = "home", **fields: Any) -> BallEvent:
    plain = {"x": 50.0, "y": 50.0, "success": True, "tags": ("accurate",)}
    return BallEvent(side=side, action=action, **{**plain, **fields})


def a_shot(side: Side = "home", xg: float | None = 0.3, **fields: Any) -> BallEvent:
    return ball("shot", side, is_shot=True, xg=xg, **{"x": 90.0, "on_target": True, **fields})


def a_match(*happenings: tuple[Event, Clock]) -> MatchState:
    return played(whole_match(*happenings))


def same(left: FloatArray, right: FloatArray) -> bool:
    return left.tobytes() == right.tobytes()


def test_every_input_is_described_once() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) >= 500
    for feature in catalogue():
        low, high = feature.range
        assert feature.name and feature.definition and feature.unit and low < high


def test_a_pass_counts_in_the_windows_that_it_lies_in() -> None:
    state = a_match((ball("pass"), minute(2)), (ball("pass"), minute(11)), (ball("pass", "away"), minute(19)))
    now = inputs(state, minute(20))
    assert [now[f"home_passes_{w}"] for w in ("5min", "10min", "15min", "match")] == [0.0, 0.1, 1 / 15, 0.1]
    assert [now[f"away_passes_{w}"] for w in ("5min", "match")] == [0.2, 0.05]
    assert now["home_pass_share_match"] == 2 / 3


def test_a_window_is_no_longer_than_the_match_and_no_shorter_than_a_minute() -> None:
    state = a_match((ball("pass"), minute(0.25)), (ball("pass"), minute(2)))
    assert inputs(state, minute(0.5))["home_passes_5min"] == 1.0
    assert inputs(state, minute(2))["home_passes_5min"] == 1.0


def test_half_time_is_no_time_of_play() -> None:
    """The first half of `whole_match` takes 46 minutes: its last four are in the window at 46' of the clock."""
    state = a_match((ball("pass"), minute(43)), (ball("pass"), minute(0.5, period=2)))
    now = inputs(state, minute(1, period=2))
    assert (now["minute"], now["elapsed"], now["home_passes_5min"]) == (46.0, 47.0, 0.4)


def test_what_happens_at_the_very_instant_is_known_and_nothing_later() -> None:
    state = a_match((ball("pass"), minute(10)), (goal(), minute(10)), (goal("away"), Clock(1, 600_001)))
    now = inputs(state, minute(10))
    assert (now["home_score"], now["away_score"], now["home_passes_match"]) == (1.0, 0.0, 0.1)
    assert (now["home_minutes_since_goals"], math.isnan(now["away_minutes_since_goals"])) == (0.0, True)


def test_the_course_of_the_score() -> None:
    state = a_match((goal(), minute(10)), (goal("away"), minute(30)), (goal("away"), minute(4, period=2)))
    now = inputs(state, minute(14, period=2))
    assert (now["lead"], now["total_score"], now["first_goal"], now["last_goal"]) == (-1.0, 3.0, 1.0, -1.0)
    assert (now["home_led"], now["was_level"], now["away_led"]) == (20.0, 10.0 + 20.0, 10.0)
    assert (now["lead_changes"], now["score_stands"]) == (3.0, 10.0)
    assert (now["home_half_time_score"], now["away_half_time_score"]) == (1.0, 1.0)
    assert math.isnan(inputs(state, minute(20))["home_half_time_score"])


def test_expected_goals_are_the_providers_where_it_sends_them() -> None:
    state = a_match((ball("pass"), minute(1)), (a_shot(xg=0.3), minute(5)), (a_shot(xg=0.5), minute(8)))
    now = inputs(state, minute(10))
    assert now["home_xg_match"] == pytest.approx(0.08)
    assert (now["home_best_chance"], now["home_last_shot_xg"]) == (0.5, 0.5)
    assert now["home_no_goal_chance"] == pytest.approx(0.7 * 0.5)
    assert (now["home_big_chances_match"], now["away_xg_match"]) == (0.2, 0.0)


def test_expected_goals_are_our_models_where_it_does_not() -> None:
    """A shot by foot from the penalty spot: 11 m from the goal, which is seen under 36.9 degrees."""
    state = a_match((ball("pass"), minute(1)), (a_shot(xg=None, x=100 - 1_100 / 105), minute(5)))
    terms = dict.fromkeys(TERMS, 0.0) | {"one": 1.0, "distance": 11.0, "log_distance": math.log(12.0)}
    terms["angle"] = 2 * math.atan(3.66 / 11)
    log_odds = sum(fitted().shot_weights[term] * value for term, value in terms.items())
    assert inputs(state, minute(10))["home_best_chance"] == pytest.approx(1 / (1 + math.exp(-log_odds)))


def test_a_penalty_has_a_probability_of_its_own() -> None:
    state = a_match((PenaltyAwarded(side="home"), minute(4)), (a_shot(xg=None, detail="Penalty"), minute(5)))
    now = inputs(state, minute(10))
    assert (now["home_last_shot_xg"], now["home_penalties_awarded"]) == (fitted().penalty, 1.0)


def test_the_ball_is_held_between_two_touches_of_one_side() -> None:
    touches = [("home", 0), ("home", 4), ("away", 7), ("away", 9), ("home", 30)]
    state = a_match(*((ball("pass", side), minute(1 + at_s / 60)) for side, at_s in touches))
    now = inputs(state, minute(2))
    assert (now["home_possession_match"], now["away_possession_match"]) == (4 / 6, 2 / 6)
    assert (now["home_possessions_match"], now["away_possessions_match"]) == (1.0, 0.5)


def test_places_are_counted_in_zones() -> None:
    state = a_match((ball("pass", x=80.0, y=10.0, end_x=95.0, end_y=50.0), minute(5)))
    now = inputs(state, minute(10))
    assert now["home_actions_final_third_left_match"] == 0.1
    assert (now["home_box_entries_match"], now["home_deep_completions_match"], now["away_box_entries_match"]) == (
        0.1,
        0.1,
        0.0,
    )


def test_without_ball_events_counts_of_them_are_missing_and_the_rest_is_there() -> None:
    now = inputs(played([*kicked_off(), a_record(3, goal(), minute(7))]))
    assert (now["home_score"], now["home_goals_match"]) == (1.0, 1 / 7)
    for name in (
        "home_passes_match",
        "home_shots_5min",
        "home_xg_share_match",
        "home_air_duels_match",
        "home_xg_so_far",
    ):
        assert math.isnan(now[name]), name


def test_a_provider_of_shots_alone_has_shots_and_no_passes_or_cards() -> None:
    now = inputs(played([a_record(1, a_shot(), minute(5))]))
    assert now["home_shots_match"] == 0.2
    assert math.isnan(now["home_passes_match"]) and math.isnan(now["home_cautions_match"])


def test_before_kick_off_rates_are_missing() -> None:
    now = inputs(a_match((ball("pass"), minute(5))), Clock(1, 0))
    assert math.isnan(now["home_goals_match"]) and math.isnan(now["home_passes_match"])
    assert (now["minute"], now["left"], now["home_players_on_pitch"]) == (0.0, 90.0, 11.0)


def test_cards_and_substitutions_change_who_is_on_the_pitch() -> None:
    state = a_match(
        (Card(side="home", colour="yellow", player_id="h1"), minute(10)),
        (Card(side="home", colour="red", player_id="h2"), minute(20)),
        (substitution("h1", "h12"), minute(30)),
        (Card(side="away", colour="red", player_id="a3"), minute(35)),
    )
    now = inputs(state, minute(40))
    assert (now["home_players_on_pitch"], now["home_dismissed_players"], now["home_cautioned_players"]) == (
        10.0,
        1.0,
        1.0,
    )
    assert (now["home_cautioned_on_pitch"], now["home_starters_on_pitch"]) == (0.0, 9.0)
    assert now["home_mean_minutes_played"] == (9 * 40 + 10) / 10
    assert (now["away_minutes_a_man_up"], now["home_minutes_a_man_up"]) == (15.0, 0.0)
    assert now["home_minutes_since_substitutions"] == 10.0


def test_line_ups_are_judged_by_what_was_known_of_their_players() -> None:
    sheet = Lineups(
        home=(
            Player(player_id="h1", role="DEF"),
            Player(player_id="h2", role="FWD"),
            Player(player_id="h3", role="FWD", starter=False),
        ),
        away=(),
    )
    change = Substitution(side="home", player_off="h1", player_on="h3")
    state = played([a_record(1, sheet), a_record(2, change, minute(10))])
    before = PreMatch(home_form={"h1": 0.2, "h3": 0.6}, home_starters=("h1",))
    now = inputs(state, minute(20), before)
    assert (now["home_starters_value"], now["home_pitch_value"], now["home_known_starters"]) == (0.2, 0.6, 1.0)
    assert (now["home_forwards_added"], now["home_defenders_added"], now["home_lineup_changes"]) == (1.0, -1.0, 1.0)
    assert math.isnan(now["away_starting_defenders"]) and math.isnan(now["away_pitch_value"])


def test_ratings_give_expected_goals_and_stay_missing_where_one_is() -> None:
    known = {"go_supremacy": 0.4, "go_total": 0.6, "home_rest_days": math.nan}
    now = inputs(a_match(), Clock(1, 0), PreMatch(numbers=known))
    assert now["go_home_rate"] == pytest.approx(math.exp(0.5))
    assert now["go_away_rate"] == pytest.approx(math.exp(0.1))
    assert now["go_supremacy"] == 0.4
    assert math.isnan(now["cp_home_rate"]) and math.isnan(now["home_rest_days"])
    with pytest.raises(ValueError, match="no 'made_up'"):
        PreMatch(numbers={"made_up": 1.0})


def test_prices_open_move_and_close() -> None:
    books = [
        a_book(1, (2.0, 4.0, 4.0)),
        totals(2, 2.5, 2.0, 2.0),
        a_book(3, (1.6, 4.0, 8.0)),
        a_book(4, (4.0, 4.0, 2.0), minute(5)),
    ]
    state = played([*kicked_off(), *books])
    now = inputs(state, minute(10))
    assert (now["opening_home"], now["opening_over"], now["opening_line"]) == (0.5, 0.5, 2.5)
    assert now["closing_home"] == pytest.approx(0.625)
    assert now["home_move_opening_to_closing"] == pytest.approx(math.log(0.625 / 0.375))
    assert (now["latest_home"], now["price_in_play"], now["over_move_opening_to_closing"]) == (0.25, 1.0, 0.0)
    assert inputs(state, minute(4))["latest_home"] == now["closing_home"]  # that of the fifth minute is not known yet


def test_without_prices_they_are_missing() -> None:
    now = inputs(a_match(), minute(10))
    assert all(math.isnan(now[feature.name]) for feature in catalogue() if feature.group == "prices")


def test_ages_are_of_the_source_and_missing_where_the_value_is() -> None:
    state = played([*kicked_off(), a_book(1, (2.0, 4.0, 4.0), minute(5)), a_record(3, ball("pass"), minute(9))])
    found = extract(state, NOBODY, minute(10))
    ages = dict(zip(FEATURE_NAMES, found.ages_s.tolist(), strict=True))
    assert (ages["home_passes_match"], ages["latest_home"]) == (60.0, 300.0)
    assert math.isnan(ages["opening_home"]) and math.isnan(ages["go_supremacy"])


def test_corrections_and_retractions_leave_nothing_behind() -> None:
    first = [
        *kicked_off(),
        a_record(3, a_shot(), minute(5)),
        a_record(4, goal(), minute(6)),
        a_record(5, ball("pass"), minute(8)),
    ]
    later = [taken_back(6, "e4", clock=minute(8)), corrected(7, "e3", ball("corner", "away"), minute(4), version=2)]
    kept = Extractor()
    kept.extract(played(first), NOBODY, minute(8))
    after = kept.extract(played([*first, *later]), NOBODY, minute(10))
    truth = played(
        [*kicked_off(), a_record(3, ball("corner", "away"), minute(4)), a_record(5, ball("pass"), minute(8))]
    )
    assert same(after.values, extract(truth, NOBODY, minute(10)).values)


def test_the_order_in_which_events_come_changes_no_bit() -> None:
    happenings = [(a_shot(xg=0.1 + 0.013 * n), minute(n)) for n in range(1, 30)]
    records = [*kicked_off(), *(a_record(seq + 3, payload, at) for seq, (payload, at) in enumerate(happenings))]
    shuffled = [*kicked_off(), *reversed(records[2:])]
    assert same(
        extract(played(records), NOBODY, minute(40)).values, extract(played(shuffled), NOBODY, minute(40)).values
    )


def test_extracting_changes_neither_state_nor_a_later_answer() -> None:
    state = a_match((ball("pass"), minute(5)), (a_shot(), minute(50 - 45, period=2)))
    kept = Extractor()
    early = kept.extract(state, NOBODY, minute(10)).values
    kept.extract(state, NOBODY, minute(30, period=2))
    assert same(kept.extract(state, NOBODY, minute(10)).values, early)


def test_a_snapshot_is_addressed_by_its_content() -> None:
    state = a_match((ball("pass"), minute(5)))
    (first, encoded), (again, _) = (
        snapshot(extract(state, NOBODY, minute(10))),
        snapshot(extract(state, NOBODY, minute(10))),
    )
    (other, _) = snapshot(extract(state, NOBODY, minute(11)))
    assert first == again != other
    assert b"null" in encoded and b"NaN" not in encoded


def test_after_full_time_it_is_the_end_of_regular_time() -> None:
    now = inputs(a_match((goal(), minute(5))))
    assert (now["minute"], now["half"], now["elapsed"], now["left"]) == (90.0, 3.0, 94.0, 0.0)


def test_in_the_break_it_is_the_start_of_the_second_half() -> None:
    now = inputs(played([*kicked_off(), a_record(3, PeriodEnd(), minute(46))]))
    assert (now["minute"], now["half"], now["elapsed"], now["stoppage"]) == (45.0, 2.0, 46.0, 0.0)
