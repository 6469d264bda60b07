"""What a match's fold promises, whatever the feed: properties over drawn feeds, and the inputs that it leads to."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.domain.events import (
    BEFORE_KICK_OFF,
    Abandoned,
    Clock,
    FeedRecord,
    FullTime,
    KickOff,
    PeriodEnd,
    PeriodStart,
    Postponed,
    Score,
    Snapshot,
    Tick,
    encode_record,
)
from actors.domain.fixtures import Believed
from actors.domain.match import MatchState, decode_state, encode_state, forecast_inputs, new_match, state_hash
from actors.machines.match import DeadLetter, Entry, Reforecast, fold, step
from actors.machines.status import feed_status
from tests.unit.builders import (
    MATCH,
    a_book,
    a_fixture,
    a_pass,
    a_record,
    a_snapshot,
    a_tick,
    corrected,
    goal,
    kicked_off,
    minute,
    play,
    played,
    red,
    taken_back,
    told,
    totals,
    whole_match,
)
from tests.unit.drawn_feed import KINDS, PATIENT, Drawn, disordered, feeds

REPO = Path(__file__).resolve().parents[2]
SILENT = (*KINDS, "vanish")
FEW = settings(PATIENT, max_examples=60)


def all_that_is_said(state: MatchState) -> tuple[object, ...]:
    """Return everything that a reader could be told of a state, offsets apart."""
    return state_hash(state), state.summary, state.clock, feed_status(state), forecast_inputs(state)


# the same log, the same state


@FEW
@given(feed=feeds())
def test_a_feed_folds_to_the_same_state_with_and_without_a_log(feed: Drawn) -> None:
    assert fold(new_match(a_fixture()), feed.records) == played(feed.records)


FOLD_IN_ANOTHER_PROCESS = """
import sys
from actors.domain.match import new_match, state_hash
from actors.machines.match import Entry, step
from tests.unit.builders import a_fixture
state = new_match(a_fixture())
for offset, line in enumerate(sys.stdin.buffer.read().splitlines()):
    state, _ = step(state, Entry(offset=offset, key=state.match_id, value=line))
print(state_hash(state))
"""


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_a_state_has_the_same_hash_in_another_process(seed: str) -> None:
    records = [
        *whole_match((goal(), minute(20)), (goal("away"), minute(30, 2)), (red("away", "a3"), minute(40))),
        taken_back(10, "e3"),
        a_book(1),
        totals(2, 2.5),
        a_tick(10, minute(47, 2)),
        *[a_record(seq, a_pass(), minute(seq / 10)) for seq in range(12, 200)],
    ]
    feed = b"\n".join([*map(encode_record, records), b"{"])
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", FOLD_IN_ANOTHER_PROCESS]
    done = subprocess.run(command, input=feed, env=environment, cwd=REPO, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == state_hash(play([*records, b"{"])[0])


@FEW
@given(feed=feeds())
def test_a_record_read_again_at_its_offset_changes_nothing(feed: Drawn) -> None:
    state = played(feed.records)
    for offset, record in enumerate(feed.records):
        entry = Entry(offset=offset, key=MATCH, value=encode_record(record))
        assert step(state, entry) == (state, ())


@FEW
@given(feed=feeds(), data=st.data())
def test_duplicates_change_nothing_but_the_offset_and_ask_for_no_forecast(feed: Drawn, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.tuples(st.sampled_from(range(len(feed.records))), st.integers(0, 80)), max_size=20))
    arriving = sorted(
        [(place, 0, record) for place, record in enumerate(feed.records)]
        + [(place + later, 1, feed.records[place]) for place, later in again],
        key=lambda each: each[:2],
    )
    state, effects = play([record for _, _, record in arriving])
    once = played(feed.records)
    assert all_that_is_said(state) == all_that_is_said(once)
    assert state.offset == once.offset + len(again)
    assert [done for (_, is_again, _), done in zip(arriving, effects, strict=True) if is_again] == [()] * len(again)


@FEW
@given(feed=feeds(kinds=["pass", "goal", "card", "correct", "retract", "tick"]), data=st.data())
def test_an_event_sent_again_under_a_new_number_changes_nothing_that_is_shown(feed: Drawn, data: st.DataObject) -> None:
    sent = [record for record in feed.records if not isinstance(record.payload, Tick | Snapshot)]
    again = data.draw(st.lists(st.sampled_from(sent), max_size=5))
    copies = [replace(record, provider_seq=feed.numbers + n) for n, record in enumerate(again, start=1)]
    once, twice = played(feed.records), played([*feed.records, *copies])
    assert (twice.events, twice.summary, twice.clock) == (once.events, once.summary, once.clock)
    assert feed_status(twice) == feed_status(once)


# any order


@settings(PATIENT, max_examples=150)
@given(feed=feeds(kinds=SILENT), data=st.data())
def test_the_order_in_which_records_come_does_not_matter_within_the_window(feed: Drawn, data: st.DataObject) -> None:
    shuffled = data.draw(disordered(feed.records))
    assert all_that_is_said(played(shuffled)) == all_that_is_said(played(feed.records))


@FEW
@given(feed=feeds(kinds=SILENT, most=20), data=st.data())
def test_no_order_at_all_leads_to_another_state(feed: Drawn, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(feed.records))
    assert all_that_is_said(played(shuffled)) == all_that_is_said(played(feed.records))


@FEW
@given(feed=feeds(kinds=["goal", "own_goal", "correct", "correct", "retract", "snapshot"]), data=st.data())
def test_the_score_is_the_goals_less_those_taken_back_whatever_the_order(feed: Drawn, data: st.DataObject) -> None:
    summary = played(data.draw(st.permutations(feed.records))).summary
    assert (summary.score, summary.sent_off) == (feed.score, feed.sent_off)


def test_where_a_provider_contradicts_itself_the_first_version_counts_and_the_match_says_gap() -> None:
    home, away = a_record(3, goal("home"), minute(5), "g"), a_record(4, goal("away"), minute(5), "g")
    assert played([*kicked_off(), home, away]).summary.score == Score(1, 0)
    assert feed_status(played([*kicked_off(), home, away])) == ("GAP", ("records_lost",))


# snapshots of the state


@FEW
@given(feed=feeds())
def test_going_on_from_a_snapshot_of_the_state_equals_folding_from_the_start_at_every_cut(feed: Drawn) -> None:
    state, whole = new_match(a_fixture()), played(feed.records)
    for place, record in enumerate(feed.records):
        restored = decode_state(MATCH, encode_state(state))
        assert restored == state and state_hash(restored) == state_hash(state)
        if place % 5 == 0:
            assert played(feed.records[place:], restored) == whole
        state = played([record], state)


@FEW
@given(feed=feeds(), data=st.data())
def test_effects_after_a_restart_are_those_that_would_have_come_anyway(feed: Drawn, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(feed.records)))
    restored = decode_state(MATCH, encode_state(played(feed.records[:cut])))
    assert play(feed.records[cut:], restored)[1] == play(feed.records)[1][cut:]


# gaps


def awaited(arrived: Iterable[FeedRecord]) -> set[int]:
    """Return the numbers of `p` that are missing: known to be sent, not come, and no later snapshot has come."""
    ours = [record for record in arrived if record.provider == "p"]
    sent = max((record.provider_seq for record in ours), default=0)
    come = {record.provider_seq for record in ours if not isinstance(record.payload, Tick)}
    settled = max((record.provider_seq for record in ours if isinstance(record.payload, Snapshot)), default=0)
    return set(range(settled + 1, sent + 1)) - come


@settings(PATIENT, max_examples=100)
@given(feed=feeds(), data=st.data())
def test_the_match_says_gap_while_something_is_missing_and_only_then(feed: Drawn, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.sampled_from(range(len(feed.records))), max_size=10))
    arriving = data.draw(disordered([r for place, r in enumerate(feed.records) if place not in lost], window=6))
    state = new_match(a_fixture())
    for count, record in enumerate(arriving, start=1):
        state = played([record], state)
        missing = awaited(arriving[:count])
        status, reasons = feed_status(state)
        assert ("records_missing" in reasons) == bool(missing)
        assert (status == "GAP") == bool(missing), reasons
    late = played([feed.records[place] for place in sorted(lost)], state)
    assert feed_status(late)[0] != "GAP"
    assert all_that_is_said(late) == all_that_is_said(played(feed.records))


@FEW
@given(feed=feeds(), data=st.data())
def test_a_snapshot_clears_a_gap_at_once(feed: Drawn, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.sampled_from(range(len(feed.records))), max_size=10))
    state = played([record for place, record in enumerate(feed.records) if place not in lost])
    after = played([feed.snapshot(feed.numbers + 1)], state)
    assert feed_status(after)[0] != "GAP"
    assert awaited([feed.snapshot(feed.numbers + 1)]) == set()


@settings(PATIENT, max_examples=150)
@given(feed=feeds(kinds=SILENT), data=st.data())
def test_a_true_snapshot_leads_to_the_truth_whatever_was_lost_broken_or_repeated(
    feed: Drawn, data: st.DataObject
) -> None:
    arriving: list[FeedRecord | bytes] = list(data.draw(disordered(feed.records)))
    harm = st.tuples(st.sampled_from(["lose", "lose", "break", "repeat", "forge"]), st.integers(0, len(arriving) - 1))
    for how, place in data.draw(st.lists(harm, max_size=15)):
        match how:
            case "lose":
                arriving[place] = b"{"
            case "break":
                arriving[place] = b'{"provider":"p","provider_seq":%d,"payload":{"kind":"goal"}}' % place
            case "repeat":
                arriving.append(arriving[place])
            case _:
                arriving.append(a_record(place, goal(), minute(5), f"forged {place}"))
    seq = feed.numbers + 200
    state = played([feed.snapshot(seq)], play(arriving)[0])
    assert (state.summary.score, state.summary.sent_off) == (feed.score, feed.sent_off)
    assert state.summary == played([feed.snapshot(seq)]).summary
    assert feed_status(state)[0] != "GAP"


def test_a_goal_that_a_snapshot_leaves_out_is_gone_and_comes_back_with_a_later_one() -> None:
    kick_off = told("e2", KickOff(), Clock(1, 0))
    first = [*kicked_off(), a_record(3, goal(), minute(5)), a_snapshot(4, (0, 0), kick_off, clock=minute(6))]
    assert played(first).summary.score == Score(0, 0)
    back = a_snapshot(5, (1, 0), kick_off, told("e3", goal(), minute(5)), clock=minute(7))
    assert played([*first, back]).summary.score == Score(1, 0)
    assert feed_status(played([*first, back])) == ("OK", ())


def test_a_version_newer_than_a_snapshot_stands_though_the_snapshot_comes_later() -> None:
    snapshot = a_snapshot(4, (1, 0), told("e2", KickOff(), Clock(1, 0)), told("e3", goal(), minute(5)), clock=minute(6))
    events = [*kicked_off(), a_record(3, goal(), minute(5))]
    back = taken_back(5, "e3")
    assert played([*events, snapshot, back]).summary.score == Score(0, 0)
    assert state_hash(played([*events, back, snapshot])) == state_hash(played([*events, snapshot, back]))


def test_a_ball_event_behind_a_snapshot_is_late_and_not_a_count_begun_anew() -> None:
    snapshot = a_snapshot(4, (0, 0), told("e2", KickOff(), Clock(1, 0)), clock=minute(6))
    state = played([*kicked_off(), snapshot, a_record(3, a_pass(), minute(5))])
    assert feed_status(state) == ("OK", ())
    assert state.events.get("e3") is not None


# effects


def shown(state: MatchState) -> tuple[object, ...]:
    """Return what a forecast shows or rests on, the clock apart: written down here once more, on purpose."""
    summary, inputs = state.summary, forecast_inputs(state)
    book = state.books.get("1x2")
    return (
        (summary.phase, summary.period, summary.score, summary.regular, summary.extra_time, summary.shoot_out),
        (summary.yellow, summary.sent_off, summary.off_pitch, feed_status(state)),
        (inputs.anchor_1x2, inputs.anchor_over_under),
        book and (book.provider, book.prices, book.suspended, book.in_play),
    )


@settings(PATIENT, max_examples=150)
@given(feed=feeds(), data=st.data())
def test_a_forecast_is_asked_for_when_something_shown_changes_or_five_seconds_have_passed(
    feed: Drawn, data: st.DataObject
) -> None:
    state = new_match(a_fixture())
    for offset, record in enumerate(data.draw(disordered(feed.records, window=3))):
        before = state
        state, effects = step(before, Entry(offset=offset, key=MATCH, value=encode_record(record)))
        asked = [effect for effect in effects if isinstance(effect, Reforecast)]
        if offset == 0 or shown(state) != shown(before):
            assert asked == [Reforecast(trigger=record.kind)]
        if asked and offset and shown(state) == shown(before):
            assert isinstance(record.payload, Tick) or forecast_inputs(state) != forecast_inputs(before)
    assert not any(isinstance(effect, DeadLetter) for done in play(feed.records)[1] for effect in done)


def test_in_regular_time_a_forecast_is_asked_for_at_each_tick_that_passes_five_seconds() -> None:
    seconds = [Clock(period, 1_000 * second) for period in (1, 2) for second in range(1, 31)]
    records = [*kicked_off(), *[a_tick(2, at) for at in seconds[:30]], a_record(3, PeriodEnd(), Clock(1, 31_000))]
    records += [a_record(4, PeriodStart(), Clock(2, 0)), *[a_tick(4, at) for at in seconds[30:]]]
    _, effects = play(records)
    asked = [r.clock for r, done in zip(records, effects, strict=True) if done and isinstance(r.payload, Tick)]
    ticked = [Clock(period, 1_000 * second) for period in (1, 2) for second in (5, 10, 15, 20, 25, 30)]
    assert asked == ticked


def test_a_tick_that_jumps_over_five_seconds_asks_once_and_one_repeated_not_at_all() -> None:
    ticks = [a_tick(2, Clock(1, ms)) for ms in (4_000, 13_000, 13_000, 14_000, 12_000)]
    _, effects = play([*kicked_off(), *ticks])
    assert effects[2:] == [(), (Reforecast(trigger="tick"),), (), (), ()]


@pytest.mark.parametrize(
    "happenings",
    [
        [(PeriodEnd(), minute(46))],
        [(FullTime(), minute(46))],
        [(Abandoned(), minute(46))],
        [
            (PeriodEnd(), minute(46)),
            (PeriodStart(), Clock(2, 0)),
            (PeriodEnd(), minute(47, 2)),
            (PeriodStart(), Clock(3, 0)),
        ],
    ],
)
def test_outside_regular_time_no_tick_asks_for_a_forecast(happenings: list[tuple[object, Clock]]) -> None:
    start = [*kicked_off(), *[a_record(seq, what, at) for seq, (what, at) in enumerate(happenings, start=3)]]
    period = happenings[-1][1].period
    ticks = [a_tick(start[-1].provider_seq, Clock(period, 2_760_000 + 1_000 * n)) for n in range(1, 30)]
    _, effects = play([*start, *ticks])
    assert not any(effects[len(start) :])


def test_a_tick_that_shows_a_gap_asks_for_a_forecast_at_once() -> None:
    _, effects = play([*kicked_off(), a_tick(2, Clock(1, 1_000)), a_tick(3, Clock(1, 2_000))])
    assert effects[2:] == [(), (Reforecast(trigger="tick"),)]


def test_a_pass_asks_for_no_forecast() -> None:
    _, effects = play([*kicked_off(), *[a_record(seq, a_pass(), minute(seq / 60)) for seq in range(3, 50)]])
    assert not any(effects[2:])


def test_whatever_comes_first_asks_for_the_first_forecast() -> None:
    for record in (
        a_record(1, a_pass()),
        a_book(1),
        a_tick(0, BEFORE_KICK_OFF),
        b"{",
        a_record(1, a_pass(), provider="x"),
    ):
        _, effects = play([record])
        assert any(isinstance(effect, Reforecast) for effect in effects[0])


# inputs of the forecast


def inputs_after(*happenings: tuple[object, Clock], ticked: Clock | None = None) -> tuple[int, int, int, int]:
    """Return (period, clock_ms, home_goals, away_goals) after happenings and a tick."""
    records = [a_record(seq, what, at) for seq, (what, at) in enumerate(happenings, start=1)]
    state = played([*records, *([a_tick(len(records), ticked)] if ticked else [])])
    inputs = forecast_inputs(state)
    return inputs.period, inputs.clock_ms, inputs.home_goals, inputs.away_goals


KICK_OFF = (KickOff(), Clock(1, 0))
GOAL = (goal(), minute(20))
HALF_TIME = (PeriodEnd(), minute(46))
SECOND_HALF = (PeriodStart(), Clock(2, 0))
NINETY = (PeriodEnd(), minute(48, 2))
EXTRA = [(PeriodStart(), Clock(3, 0)), (goal("away"), minute(5, 3))]


@pytest.mark.parametrize(
    ("happenings", "ticked", "expected"),
    [
        ([], None, (0, 0, 0, 0)),
        ([(Postponed(), BEFORE_KICK_OFF)], None, (0, 0, 0, 0)),
        ([KICK_OFF], None, (1, 0, 0, 0)),
        ([KICK_OFF, GOAL], minute(31), (1, 31 * 60_000, 1, 0)),
        ([KICK_OFF, GOAL], None, (1, 20 * 60_000, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME], minute(45.9), (2, 0, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF], minute(45.9), (2, 0, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF], minute(7, 2), (2, 7 * 60_000, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF, NINETY], None, (3, 0, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF, NINETY, *EXTRA], minute(6, 3), (3, 0, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF, NINETY, *EXTRA, (FullTime(), minute(15, 4))], None, (3, 0, 1, 0)),
        ([KICK_OFF, GOAL, HALF_TIME, SECOND_HALF, NINETY, (FullTime(), minute(48, 2))], None, (3, 0, 1, 0)),
        ([KICK_OFF, GOAL, (Abandoned(), minute(25))], minute(24.9), (1, 25 * 60_000, 1, 0)),
        ([KICK_OFF, GOAL, (Postponed(), minute(25))], minute(24.5), (1, 24.5 * 60_000, 1, 0)),
        ([KICK_OFF, GOAL, (Abandoned(), minute(25)), (PeriodStart(), minute(25))], minute(26), (1, 26 * 60_000, 1, 0)),
    ],
)
def test_a_forecast_sees_the_time_of_play_and_the_goals_of_regular_time(
    happenings: list[tuple[object, Clock]], ticked: Clock | None, expected: tuple[int, int, int, int]
) -> None:
    assert inputs_after(*happenings, ticked=ticked) == expected


def test_a_forecast_knows_the_teams_by_their_ratings_and_the_league() -> None:
    inputs = forecast_inputs(new_match(a_fixture()))
    assert (inputs.league, inputs.home_team, inputs.away_team) == ("E0", "reds", "blues")


def test_only_players_who_were_on_the_pitch_are_off_it() -> None:
    records = [*kicked_off(), a_record(3, red("home", "h1"), minute(5)), a_record(4, red("away", "a14"), minute(6))]
    inputs = forecast_inputs(played(records))
    assert (inputs.home_reds, inputs.away_reds) == (1, 0)


def test_anchors_are_the_last_whole_open_books_before_kick_off() -> None:
    books = [
        a_book(1, (2.0, 3.5, 4.0)),
        a_book(2, (2.1, 3.4, 3.9)),
        a_book(3, (9.0, None, None)),
        a_book(4, (9.0, 9.0, 1.1), suspended=True),
        a_book(5, (1.5, 4.0, 9.0), minute(1)),
    ]
    assert forecast_inputs(played([*kicked_off(), *books])).anchor_1x2 == (2.1, 3.4, 3.9)
    assert played(books).books["1x2"].prices == (1.5, 4.0, 9.0)


def test_an_anchor_that_comes_late_still_counts_and_asks_for_a_forecast() -> None:
    state, effects = play([a_book(1), *kicked_off(), a_book(3, (1.5, 4.0, 9.0), minute(1)), a_book(2, (2.1, 3.4, 3.9))])
    assert forecast_inputs(state).anchor_1x2 == (2.1, 3.4, 3.9)
    assert state.books["1x2"].prices == (1.5, 4.0, 9.0)
    assert effects[-1] == (Reforecast(trigger="odds"),)


def test_the_total_nearest_to_two_and_a_half_goals_is_the_anchor() -> None:
    state = played(
        [totals(1, 3.5, 3.0, 1.4), totals(2, 2.25, 1.8, 2.0), totals(3, 0.5, 1.05, 11.0), totals(4, 2.5, 1.9, None)]
    )
    assert forecast_inputs(state).anchor_over_under == (2.25, 1.8, 2.0)


def test_without_prices_there_is_no_anchor() -> None:
    inputs = forecast_inputs(played([a_book(1, (None, None, None)), totals(2, 2.5, None, None)]))
    assert (inputs.anchor_1x2, inputs.anchor_over_under) == (None, None)


# phases


def test_full_time_that_is_corrected_or_a_whistle_told_late_does_not_open_the_match_again() -> None:
    records = whole_match((goal(), minute(20)))
    ended = played(records)
    assert (ended.summary.phase, ended.clock) == ("finished", minute(48, 2))
    start = corrected(8, "e5", PeriodStart(), Clock(2, 0))
    late = a_record(8, PeriodStart(), Clock(2, 0), "told once more")
    for record in (start, late, a_record(8, PeriodEnd(), minute(46), "late"), a_tick(7, minute(50, 2))):
        state = played([record], ended)
        assert (state.summary.phase, state.clock, feed_status(state)) == ("finished", minute(48, 2), ("OK", ()))


def test_full_time_that_is_taken_back_lets_the_match_go_on() -> None:
    state = played([*whole_match(), taken_back(7, "e6"), a_record(8, PeriodStart(), Clock(3, 0))])
    assert (state.summary.phase, state.summary.period, feed_status(state)) == ("live", 3, ("OK", ()))


def test_a_correction_after_full_time_changes_the_score_and_asks_for_a_forecast() -> None:
    state, effects = play([*whole_match((goal(), minute(20)), (goal(), minute(30))), taken_back(9, "e3")])
    assert (state.summary.score, state.summary.phase) == (Score(1, 0), "finished")
    assert effects[-1] == (Reforecast(trigger="retraction"),)


def test_a_stated_score_is_of_its_own_moment_when_it_comes_with_a_correction() -> None:
    records = [
        *kicked_off(),
        a_record(3, goal("home", (1, 0)), minute(5)),
        a_record(4, goal("home", (2, 0)), minute(9)),
    ]
    state = played([*records, corrected(5, "e3", goal("home", (1, 0), "h9"), minute(5))])
    assert (state.summary.score, feed_status(state)) == (Score(2, 0), ("OK", ()))


def test_a_kick_of_the_shoot_out_states_nothing_about_the_match() -> None:
    ended = [*whole_match()[:-1], a_record(6, PeriodStart(), Clock(5, 0))]
    state = played([*ended, a_record(7, goal("home", (1, 0)), minute(1, 5))])
    assert (state.summary.score, state.summary.shoot_out, feed_status(state)) == (Score(0, 0), Score(1, 0), ("OK", ()))


def test_without_a_score_provider_a_match_in_play_is_a_gap() -> None:
    fixture = a_fixture(believed=Believed(clock="p", odds=("b",)))
    assert feed_status(played([a_book(1)], new_match(fixture))) == ("OK", ())
    assert feed_status(played(kicked_off(), new_match(fixture))) == ("GAP", ("no_score_provider",))


# what decides later is part of the state


def test_states_that_would_go_on_differently_have_different_hashes() -> None:
    early = played([*kicked_off(), a_record(3, a_pass(), minute(5)), a_tick(2, minute(6))])
    late = played([*kicked_off(), a_record(3, a_pass(), minute(5)), a_tick(3, minute(6))])
    assert early.clock == late.clock
    assert state_hash(early) != state_hash(late)


def test_a_tick_of_a_period_that_nobody_began_says_gap_and_asks_for_a_forecast_at_once() -> None:
    for period, expected in ((2, (2, 1_000)), (3, (3, 0))):
        state, effects = play([*kicked_off(), a_tick(2, Clock(period, 1_000))])
        assert feed_status(state) == ("GAP", ("period_skipped",))
        assert effects[-1] == (Reforecast(trigger="tick"),)
        assert (forecast_inputs(state).period, forecast_inputs(state).clock_ms) == expected


def test_a_book_that_comes_after_it_was_given_up_still_stands_if_its_market_has_no_newer_one() -> None:
    others = [totals(seq, 2.5) for seq in range(2, 100)]
    state, effects = play([*others, a_book(1)])
    assert state.books["1x2"].prices == (2.0, 3.5, 4.0)
    assert effects[-1] == (Reforecast(trigger="odds"),)


def test_after_a_count_begun_anew_clock_and_books_follow_the_new_numbers() -> None:
    fixture = a_fixture(believed=Believed(events="p", clock="p", odds=("p",)))
    long = [a_record(seq, a_pass(), minute(30)) for seq in range(3, 300)]
    old = [*kicked_off(), *long, a_book(300, clock=minute(30), provider="p"), a_tick(300, minute(30))]
    anew = [a_record(2, a_pass(), minute(31), "new"), a_tick(2, minute(31))]
    state = played([*old, *anew], new_match(fixture))
    assert (feed_status(state)[0], state.clock) == ("GAP", minute(31))
    kick_off = told("e2", KickOff(), Clock(1, 0))
    book = a_book(4, (9.0, 5.0, 1.3), minute(32), provider="p")
    state = played([a_snapshot(3, (0, 0), kick_off, clock=minute(32)), book, a_tick(4, minute(32))], state)
    assert (feed_status(state), state.clock) == (("OK", ()), minute(32))
    assert state.books["1x2"].prices == (9.0, 5.0, 1.3)
