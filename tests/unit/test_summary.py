"""What decisive events add up to."""

import pytest

from actors.domain.event_set import EventSet, StoredEvent, absorbing, merged
from actors.domain.events import (
    BEFORE_KICK_OFF,
    Abandoned,
    Card,
    Clock,
    Event,
    FullTime,
    Goal,
    KickOff,
    Lineups,
    OwnGoal,
    PenaltyMissed,
    PenaltyScored,
    PeriodEnd,
    PeriodStart,
    Player,
    Postponed,
    Score,
    Side,
    VarOver,
    VarStart,
)
from actors.domain.summary import Course, Summary, course, summarise
from tests.unit.builders import a_pass, goal, lineups, minute, red, substitution

Happening = tuple[Event | None, Clock]


def stored(*happenings: Happening) -> EventSet:
    """Return events told in this order, with ids e1, e2, ..."""
    return EventSet.of(
        StoredEvent(f"e{seq}", 1, "p", seq, clock, event, seq)  # type: ignore[arg-type]
        for seq, (event, clock) in enumerate(happenings, start=1)
    )


def summed(*happenings: Happening) -> Summary:
    """Return the summary of happenings told in this order."""
    return summarise(stored(*happenings).decisive)


def yellow(side: Side, player: str | None = None, second: bool = False) -> Card:
    """Return a caution."""
    return Card(side=side, colour="second_yellow" if second else "yellow", player_id=player)


START, HALF, SECOND, END = (
    (KickOff(), Clock(1, 0)),
    (PeriodEnd(), minute(46)),
    (PeriodStart(), Clock(2, 0)),
    (PeriodEnd(), minute(48, 2)),
)
FULL = (FullTime(), minute(48, 2))


def test_nothing_adds_up_to_a_match_to_come() -> None:
    assert summarise(()) == Summary()


def test_goals_count_where_their_period_says() -> None:
    summary = summed(
        (goal("home"), minute(45.5)),
        (OwnGoal(side="away"), minute(1, 2)),
        (PenaltyScored(side="home"), minute(47, 2)),
        (goal("away"), minute(3, 3)),
        (goal("home"), minute(3, 4)),
        (PenaltyScored(side="away"), minute(1, 5)),
        (PenaltyMissed(side="home"), minute(2, 5)),
    )
    assert (summary.half_time, summary.regular, summary.score) == (Score(1, 0), Score(2, 1), Score(3, 2))
    assert (summary.extra_time, summary.shoot_out) == (Score(1, 1), Score(0, 1))


def test_extra_time_and_shoot_out_are_none_unless_played_and_goalless_if_they_were() -> None:
    assert (summed(START, FULL).extra_time, summed(START, FULL).shoot_out) == (None, None)
    played = summed(START, HALF, SECOND, END, (PeriodStart(), Clock(3, 0)), (PenaltyMissed(side="home"), minute(1, 5)))
    assert (played.extra_time, played.shoot_out) == (Score(0, 0), Score(0, 0))
    assert summed(START, (FullTime(), minute(30, 4))).extra_time is None


def test_a_goal_of_a_player_nobody_knows_counts() -> None:
    assert summed((Goal(side="away"), minute(1))).score == Score(0, 1)


def test_cautions_count_players_and_not_cards() -> None:
    summary = summed(
        (yellow("home", "h1"), minute(5)),
        (yellow("home", "h1"), minute(6)),
        (yellow("away", "h1"), minute(7)),
        (yellow("home"), minute(8)),
        (yellow("home"), minute(9)),
    )
    assert summary.yellow == Score(3, 1)


def test_a_second_caution_sends_off_and_is_no_first_one() -> None:
    summary = summed((yellow("home", "h1"), minute(5)), (yellow("home", "h1", second=True), minute(60)))
    assert (summary.yellow, summary.sent_off, summary.off_pitch) == (Score(1, 0), Score(1, 0), Score(1, 0))


def test_a_player_is_sent_off_once_however_many_cards_say_so() -> None:
    cards = (yellow("home", "h1", second=True), minute(60)), (red("home", "h1"), minute(60))
    assert summed(*cards).sent_off == Score(1, 0)


@pytest.mark.parametrize(
    ("player", "clock", "off_pitch"),
    [
        ("h1", minute(5), 1),
        ("h12", minute(5), 0),
        ("h12", minute(31), 1),
        ("h9", minute(29), 1),
        ("h9", minute(31), 0),
        ("a1", minute(31), 1),
        (None, minute(31), 1),
    ],
)
def test_a_player_sent_off_leaves_the_pitch_if_he_was_on_it_then(
    player: str | None, clock: Clock, off_pitch: int
) -> None:
    change = (substitution("h9", "h12"), minute(30))
    summary = summed((lineups(), BEFORE_KICK_OFF), START, change, (red("home", player), clock))
    assert (summary.sent_off, summary.off_pitch) == (Score(1, 0), Score(off_pitch, 0))


def test_a_substitution_of_the_other_side_says_nothing_of_a_player_with_the_same_number() -> None:
    sheet = Lineups(home=(Player(player_id="7"),), away=(Player(player_id="7"),))
    change = (substitution("7", "12", side="away"), minute(30))
    summary = summed((sheet, BEFORE_KICK_OFF), change, (red("home", "7"), minute(40)), (red("away", "7"), minute(41)))
    assert summary.off_pitch == Score(1, 0)


def test_substitutions_are_none_where_nobody_tells_them() -> None:
    assert summed(START).substitutions is None
    assert summed(
        (substitution("h1", "h12"), minute(5)), (substitution("h2", "h13"), minute(5))
    ).substitutions == Score(2, 0)


def test_reviews_are_open_until_they_are_over_and_say_what_they_are_about() -> None:
    first, second = (VarStart(about="goal"), minute(5)), (VarStart(), minute(6))
    assert summed(first, second).reviews == ("goal", "incident")
    assert summed(first, second, (VarOver(review_id="e1"), minute(7))).reviews == ("incident",)


@pytest.mark.parametrize(
    ("happenings", "expected"),
    [
        ([], Course()),
        ([(lineups(), BEFORE_KICK_OFF)], Course()),
        ([START], Course("live", 1, Clock(1, 0))),
        ([(goal(), minute(5))], Course("live", 1)),
        ([START, HALF], Course("break", 1, minute(46))),
        ([HALF], Course("break", 1, minute(46))),
        ([START, HALF, SECOND], Course("live", 2, Clock(2, 0))),
        ([START, HALF, SECOND, END], Course("break", 2, minute(48, 2))),
        ([START, HALF, SECOND, END, FULL], Course("finished", 2, minute(48, 2))),
        ([START, HALF, SECOND, FULL, END], Course("finished", 2, minute(48, 2))),
        ([START, SECOND, HALF], Course("live", 2, Clock(2, 0))),
        ([START, HALF, START], Course("break", 1, minute(46))),
        ([SECOND, START], Course("live", 2, Clock(2, 0))),
        ([START, HALF, SECOND, FULL, SECOND], Course("finished", 2, minute(48, 2))),
        ([START, HALF, SECOND, FULL, (PeriodStart(), Clock(3, 0))], Course("live", 3, Clock(3, 0))),
        ([START, (Abandoned(), minute(20))], Course("abandoned", 1, minute(20))),
        ([START, (Abandoned(), minute(20)), HALF], Course("abandoned", 1, minute(20))),
        ([START, (Abandoned(), minute(20)), START], Course("live", 1, minute(20))),
        ([START, (Abandoned(), minute(20)), (PeriodStart(), minute(20))], Course("live", 1, minute(20))),
        ([(Abandoned(), BEFORE_KICK_OFF)], Course("abandoned", 0)),
        ([(Postponed(), BEFORE_KICK_OFF)], Course("postponed", 0)),
        ([(Postponed(), BEFORE_KICK_OFF), START], Course("live", 1, Clock(1, 0))),
        ([START, HALF, SECOND, FULL, (Abandoned(), minute(48, 2))], Course("abandoned", 2, minute(48, 2))),
        ([START, (red("home"), minute(5, 5))], Course("live", 1, Clock(1, 0))),
    ],
)
def test_a_match_goes_its_course_by_its_whistles(happenings: list[Happening], expected: Course) -> None:
    told = stored(*happenings)
    assert course(told.decisive) == expected
    assert (summarise(told.decisive).phase, summarise(told.decisive).period) == (expected.phase, expected.period)


# the set itself


def version(number: int, event: Event | None, seq: int = 0) -> StoredEvent:
    """Return a version of the event `x`."""
    seq = seq or number
    return StoredEvent("x", number, "p", seq, minute(5), event, seq, scored=event is not None)  # type: ignore[arg-type]


def test_the_newer_version_counts_and_of_two_alike_the_one_that_was_sent_first() -> None:
    assert merged(version(1, goal()), version(2, None)).payload is None
    assert merged(version(2, None), version(1, goal())).payload is None
    early, late = version(1, goal("home"), 5), version(1, goal("away"), 9)
    assert merged(early, late) == merged(late, early) == early
    assert merged(early, late) is early


def test_a_newer_version_keeps_its_place_and_remembers_that_it_was_a_goal() -> None:
    back = merged(version(1, goal(), 5), version(2, None, 9))
    assert (back.seq, back.since, back.scored, back.is_decisive) == (9, 5, True, False)
    assert absorbing(version(2, None, 9), version(1, goal(), 5)) == back


def test_a_set_shares_what_it_can_and_never_changes() -> None:
    before = stored(START, (a_pass(), minute(1)))
    after = before.with_event(StoredEvent("e3", 1, "p", 3, minute(2), a_pass(), 3))
    assert (len(before), len(after)) == (2, 3)
    assert after.decisive is before.decisive
    assert before.get("e3") is None and after.get("e3") is not None


def test_a_set_lists_its_events_the_same_however_they_came() -> None:
    events = list(stored(START, (goal(), minute(5)), (a_pass(), minute(6))))
    one, other = EventSet.empty(), EventSet.empty()
    for event in events:
        one = one.with_event(event)
    for event in reversed(events):
        other = other.with_event(event)
    assert one == other and one.decisive == other.decisive
    assert one != EventSet.empty()
    with pytest.raises(TypeError, match="hashed by state_hash"):
        hash(one)


def test_what_was_taken_back_leaves_the_decisive_events_unless_it_was_a_goal() -> None:
    told = stored((red("home"), minute(5)), (goal(), minute(6)))
    for event_id in ("e1", "e2"):
        known = told.get(event_id)
        assert known is not None
        scored = isinstance(known.payload, Goal)
        told = told.with_event(StoredEvent(event_id, 2, "p", 9, minute(7), None, known.since, scored=scored))
    assert [event.event_id for event in told.decisive] == ["e2"]
    assert summarise(told.decisive) == Summary()
