"""Wyscout v2 files: the demo matches against what is known of them, and small files for each peculiarity."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from actors.adapters.feed_wyscout import read, sniff
from actors.adapters.feeds import BREAK_MS, KICK_OFF_MS, MatchFeed, read_feed, read_head
from actors.domain.errors import NotAMatch, RecordRejected
from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    FeedRecord,
    Goal,
    KickOff,
    Lineups,
    OwnGoal,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    Score,
    Substitution,
    decode_record,
    encode_record,
)
from actors.domain.match import new_match
from actors.domain.summary import Summary
from actors.machines.match import fold

DEMO = Path(__file__).resolve().parents[2] / "cluster" / "demo"
MATCHES = ("wyscout_1694436", "wyscout_2499781", "wyscout_2499841", "wyscout_2500686")
HOME, AWAY = 10, 20


def summary_of(feed: MatchFeed) -> Summary:
    state = fold(new_match(feed.fixture), (timed.record for timed in feed.records))
    assert state.rejected == {}
    return state.summary


def records(feed: MatchFeed, kind: type) -> list[FeedRecord]:
    return [timed.record for timed in feed.records if isinstance(timed.record.payload, kind)]


def an_event(event_id: int, sec: float, team: int = HOME, **fields: Any) -> dict[str, Any]:
    event = {
        "id": event_id,
        "matchId": 1,
        "teamId": team,
        "playerId": 100 + team,
        "matchPeriod": "1H",
        "eventSec": sec,
        "eventName": "Pass",
        "subEventName": "Simple pass",
        "positions": [{"x": 50, "y": 50}, {"x": 60, "y": 50}],
        "tags": [],
    }
    return {**event, **fields}


def tags(*numbers: int) -> list[dict[str, int]]:
    return [{"id": number} for number in numbers]


def a_file(tmp_path: Path, *events: dict[str, Any]) -> Path:
    teams = {str(team): {"team": {"wyId": team, "name": name}} for team, name in ((HOME, "Reds"), (AWAY, "Blues"))}
    path = tmp_path / "match.json"
    path.write_text(json.dumps({"events": events, "teams": teams, "players": {}}))
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "wyscout_1694436",
            Summary(
                score=Score(1, 1),
                regular=Score(1, 1),
                extra_time=Score(0, 0),
                shoot_out=Score(6, 5),
                yellow=Score(2, 5),
                substitutions=Score(2, 3),
                period=5,
                periods_started=(1, 2, 3, 4, 5),
                phase="finished",
            ),
        ),
        (
            "wyscout_2499781",
            Summary(
                score=Score(0, 1),
                regular=Score(0, 1),
                yellow=Score(0, 2),
                substitutions=Score(3, 3),
                period=2,
                periods_started=(1, 2),
                phase="finished",
            ),
        ),
        (
            "wyscout_2499841",
            Summary(
                score=Score(1, 2),
                regular=Score(1, 2),
                half_time=Score(1, 0),
                yellow=Score(2, 3),
                sent_off=Score(1, 0),
                off_pitch=Score(1, 0),
                substitutions=Score(3, 3),
                period=2,
                periods_started=(1, 2),
                phase="finished",
            ),
        ),
        (
            "wyscout_2500686",
            Summary(
                score=Score(2, 2),
                regular=Score(2, 2),
                half_time=Score(1, 1),
                yellow=Score(3, 2),
                substitutions=Score(3, 3),
                period=2,
                periods_started=(1, 2),
                phase="finished",
            ),
        ),
    ],
)
def test_a_demo_match_folds_to_its_match_sheet(name: str, expected: Summary) -> None:
    assert summary_of(read_feed(DEMO / f"{name}.json.xz")) == expected


@pytest.mark.parametrize("name", MATCHES)
def test_each_record_of_a_demo_match_survives_the_log_and_they_are_numbered_without_gaps(name: str) -> None:
    feed = read_feed(DEMO / f"{name}.json.xz")
    for timed in feed.records:
        assert decode_record(feed.fixture.match_id, encode_record(timed.record)) == timed.record
    assert [timed.record.provider_seq for timed in feed.records] == list(range(1, len(feed.records) + 1))
    times = [timed.at_ms for timed in feed.records]
    assert times == sorted(times) and times[0] >= 0
    assert len({timed.record.event_id for timed in feed.records}) == len(feed.records)


@pytest.mark.parametrize("name", MATCHES)
def test_every_event_of_a_demo_file_is_a_ball_event_with_its_own_id(name: str) -> None:
    path = DEMO / f"{name}.json.xz"
    raw = json.loads(lzma.decompress(path.read_bytes()))["events"]
    sent = {record.event_id: record for record in records(read_feed(path), BallEvent)}
    assert sent.keys() == {str(event["id"]) for event in raw}
    for event in raw:
        ball = sent[str(event["id"])].payload
        assert isinstance(ball, BallEvent)
        assert [ball.x, ball.y] == [event["positions"][0]["x"], event["positions"][0]["y"]]


def test_the_sheet_beside_a_file_gives_kick_off_names_line_ups_and_ratings() -> None:
    feed = read_feed(DEMO / "wyscout_2499841.json.xz")
    fixture = feed.fixture
    assert (fixture.match_id, fixture.kick_off.isoformat()) == ("wyscout:2499841", "2017-11-26T16:00:00+00:00")
    assert (fixture.home.name, fixture.home.rating_key) == ("Huddersfield Town", "Huddersfield")
    assert (fixture.away.name, fixture.away.rating_key) == ("Manchester City", "Man City")
    assert fixture.league == "E0"
    (lineups,) = records(feed, Lineups)
    assert isinstance(lineups.payload, Lineups)
    assert [sum(player.starter for player in side) for side in (lineups.payload.home, lineups.payload.away)] == [11, 11]


def test_without_a_sheet_the_first_team_named_is_home_and_nothing_is_said_of_substitutions(tmp_path: Path) -> None:
    alone = tmp_path / "alone.json.xz"
    alone.write_bytes((DEMO / "wyscout_2499781.json.xz").read_bytes())
    feed = read_feed(alone)
    assert (feed.fixture.home.name, feed.fixture.away.name) == ("Chelsea", "Manchester City")
    summary = summary_of(feed)
    assert (summary.score, summary.substitutions) == (Score(0, 1), None)


def test_a_sheet_can_be_given_as_the_second_file(tmp_path: Path) -> None:
    alone = tmp_path / "alone.json.xz"
    alone.write_bytes((DEMO / "wyscout_2499781.json.xz").read_bytes())
    given = read(alone, DEMO / "wyscout_2499781.sheet.json")
    assert given == read_feed(DEMO / "wyscout_2499781.json.xz")


def test_periods_follow_each_other_with_a_short_break() -> None:
    feed = read_feed(DEMO / "wyscout_1694436.json.xz")
    starts = {timed.record.event_id: timed.at_ms for timed in feed.records if timed.record.kind == "period_start"}
    ends = {timed.record.event_id: timed.at_ms for timed in feed.records if timed.record.kind == "period_end"}
    (kick_off,) = (timed.at_ms for timed in feed.records if isinstance(timed.record.payload, KickOff))
    assert kick_off == KICK_OFF_MS
    assert [starts[f"start:{period}"] - ends[f"end:{period - 1}"] for period in (2, 3, 4, 5)] == [BREAK_MS] * 4
    assert feed.records[-1].record.kind == "full_time"


def test_a_goal_told_only_by_the_keeper_is_the_pass_that_ended_in_the_goal() -> None:
    (goal,) = records(read_feed(DEMO / "wyscout_2499781.json.xz"), Goal)
    assert goal.event_id == "192260363:goal"
    assert goal.clock == Clock(2, 1_274_829)
    assert goal.payload == Goal(side="away", player_id="38021", player="K. De Bruyne")


def test_a_goal_is_counted_once_although_shot_and_save_attempt_both_carry_its_tag(tmp_path: Path) -> None:
    shot = an_event(1, 10, eventName="Shot", subEventName="Shot", tags=tags(101, 1801, 1203))
    save = an_event(2, 11, AWAY, eventName="Save attempt", subEventName="Reflexes", tags=tags(101, 1802))
    feed = read(a_file(tmp_path, shot, save))
    assert [record.event_id for record in records(feed, Goal)] == ["1:goal"]
    ball = records(feed, BallEvent)[0].payload
    assert isinstance(ball, BallEvent)
    assert (ball.action, ball.is_shot, ball.on_target, ball.success) == ("shot", True, True, True)
    assert ball.tags == ("goal", "goal_gc", "accurate")


def test_a_beaten_keeper_with_nothing_before_him_that_could_be_a_goal_makes_no_goal(tmp_path: Path) -> None:
    kick = an_event(1, 10, eventName="Free Kick", subEventName="Free Kick", playerId=0)
    save = an_event(2, 17, AWAY, eventName="Save attempt", subEventName="Reflexes", tags=tags(101, 1802))
    assert summary_of(read(a_file(tmp_path, kick, save))).score == Score(0, 0)


def test_a_corner_that_goes_straight_in_is_a_goal(tmp_path: Path) -> None:
    corner = an_event(1, 10, AWAY, eventName="Free Kick", subEventName="Corner", tags=tags(101, 1801))
    feed = read(a_file(tmp_path, an_event(9, 1), corner))
    assert summary_of(feed).score == Score(0, 1)
    ball = records(feed, BallEvent)[1].payload
    assert isinstance(ball, BallEvent)
    assert (ball.action, ball.is_shot) == ("corner", True)


def test_an_own_goal_counts_for_the_other_side(tmp_path: Path) -> None:
    touch = an_event(1, 10, HOME, eventName="Others on the ball", subEventName="Touch", tags=tags(102))
    save = an_event(2, 12, HOME, eventName="Save attempt", subEventName="Reflexes", tags=tags(101, 1802))
    feed = read(a_file(tmp_path, touch, save, an_event(3, 60, AWAY)))
    (goal,) = records(feed, OwnGoal)
    assert goal.payload == OwnGoal(side="away", player_id="110")
    assert summary_of(feed).score == Score(0, 1)


def test_a_penalty_is_awarded_at_the_foul_before_it_and_then_taken(tmp_path: Path) -> None:
    foul = an_event(1, 10, AWAY, eventName="Foul", subEventName="Foul", tags=tags(1702))
    scored = an_event(2, 80, HOME, eventName="Free Kick", subEventName="Penalty", tags=tags(101, 1801))
    missed = an_event(3, 200, AWAY, eventName="Free Kick", subEventName="Penalty", tags=tags(1802))
    feed = read(a_file(tmp_path, foul, scored, missed))
    assert [(r.clock.ms, r.payload) for r in records(feed, PenaltyAwarded)] == [
        (10_000, PenaltyAwarded(side="home")),
        (200_000, PenaltyAwarded(side="away")),
    ]
    assert [r.clock.ms for r in records(feed, PenaltyScored)] == [80_000]
    assert [r.clock.ms for r in records(feed, PenaltyMissed)] == [200_000]
    assert summary_of(feed).score == Score(1, 0)


def test_kicks_of_a_shoot_out_count_apart_and_are_not_awarded(tmp_path: Path) -> None:
    kicks = [
        an_event(n, 30 * n, team, matchPeriod="P", eventName="Free Kick", subEventName="Penalty", tags=tags(tag))
        for n, team, tag in ((2, HOME, 101), (3, AWAY, 1802), (4, HOME, 101))
    ]
    feed = read(a_file(tmp_path, an_event(1, 5), *kicks))
    summary = summary_of(feed)
    assert (summary.score, summary.shoot_out) == (Score(0, 0), Score(2, 0))
    assert records(feed, PenaltyAwarded) == []


def test_cards_are_found_on_any_event_and_a_second_yellow_sends_off(tmp_path: Path) -> None:
    feed = read(
        a_file(
            tmp_path,
            an_event(1, 10, eventName="Foul", subEventName="Foul", tags=tags(1702)),
            an_event(2, 20, AWAY, eventName="Duel", subEventName="Ground defending duel", tags=tags(1701)),
            an_event(3, 30, eventName="Foul", subEventName="Protest", tags=tags(1703)),
        )
    )
    colours = [(r.event_id, r.payload.colour) for r in records(feed, Card) if isinstance(r.payload, Card)]
    assert colours == [("1:card", "yellow"), ("2:card", "red"), ("3:card", "second_yellow")]
    summary = summary_of(feed)
    assert (summary.yellow, summary.sent_off) == (Score(1, 0), Score(1, 1))


def test_the_interface_s_own_numbers_are_read_like_the_published_names(tmp_path: Path) -> None:
    shot = an_event(1, 10, eventName="Shot", subEventName="Shot", tags=tags(101))
    numbers = {"eventName": 10, "subEventName": 100, "positions": [{"x": "50", "y": "50"}, {"x": 60, "y": 50}]}
    assert read(a_file(tmp_path, shot)) == read(a_file(tmp_path, {**shot, **numbers}))


def test_missing_coordinates_are_none_and_those_beyond_the_pitch_lie_on_its_edge(tmp_path: Path) -> None:
    feed = read(a_file(tmp_path, an_event(1, 1, positions=[{"x": 101, "y": -1}]), an_event(2, 2, positions=[])))
    first, second = (record.payload for record in records(feed, BallEvent))
    assert isinstance(first, BallEvent) and isinstance(second, BallEvent)
    assert (first.x, first.y, first.end_x, first.end_y) == (100, None, None, None)
    assert (second.x, second.y) == (None, None)


def test_a_bare_list_of_events_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text(json.dumps([an_event(1, 1, AWAY), an_event(2, 2, HOME)]))
    assert sniff(read_head(path), path)
    feed = read_feed(path)
    assert (feed.fixture.home.name, feed.fixture.away.name) == (f"Team {AWAY}", f"Team {HOME}")
    assert len(records(feed, BallEvent)) == 2


def test_a_file_that_ends_in_the_first_half_is_not_called_finished(tmp_path: Path) -> None:
    assert summary_of(read(a_file(tmp_path, an_event(1, 1)))).phase == "live"


def test_a_substitution_later_than_the_last_event_comes_with_it(tmp_path: Path) -> None:
    path = a_file(tmp_path, an_event(1, 10), an_event(2, 20, matchPeriod="2H"), an_event(3, 30, AWAY, matchPeriod="2H"))
    sheet = {
        "match_id": 1,
        "kick_off": "2020-01-01T15:00:00Z",
        "home": {"team_id": HOME, "name": "Reds"},
        "away": {"team_id": AWAY, "name": "Blues"},
        "substitutions": [{"clock": {"period": 2, "ms": 60_000}, "side": "away", "player_on": 7}],
    }
    path.with_name("match.sheet.json").write_text(json.dumps(sheet))
    (change,) = records(read_feed(path), Substitution)
    assert (change.clock, change.payload) == (Clock(2, 30_000), Substitution(side="away", player_on="7"))


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (b"", "an empty file"),
        (b"\x00", "begins with"),
        (b"{}", "missing required field `events`"),
        (b'{"events": []}', "length >= 1"),
        (b'{"events": [{"id": 1}]}', "missing required field"),
        (b"\xff\xfe", "begins with"),
        (b'{"events": ' + b"[" * 10_000, "begins with"),
        (b"\xfd7zXZ\x00damaged", "damaged"),
    ],
)
def test_a_file_that_is_no_wyscout_match_gives_one_sentence(tmp_path: Path, content: bytes, received: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(NotAMatch) as caught:
        read_feed(path, provider="wyscout")
    assert "expected" in str(caught.value) and received in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_events_of_many_matches_and_of_a_third_team_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAMatch, match="received those of 2 matches"):
        read(a_file(tmp_path, an_event(1, 1), an_event(2, 2, matchId=2)))
    with pytest.raises(NotAMatch, match="received one of team 30"):
        read(a_file(tmp_path, an_event(1, 1), an_event(2, 2, 30)))


def test_a_sheet_of_another_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAMatch, match="expected match 2499781 as its sheet says, received match 1"):
        read(a_file(tmp_path, an_event(1, 1)), DEMO / "wyscout_2499781.sheet.json")


def test_a_clock_beyond_its_bounds_is_sent_as_it_came_and_refused_by_the_log_s_reader(tmp_path: Path) -> None:
    feed = read(a_file(tmp_path, an_event(1, 1), an_event(2, 99_999, AWAY)))
    (late,) = (record for record in records(feed, BallEvent) if record.event_id == "2")
    assert late.clock.ms == 99_999_000
    with pytest.raises(RecordRejected, match="not a feed envelope"):
        decode_record(feed.fixture.match_id, encode_record(late))
