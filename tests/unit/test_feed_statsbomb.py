"""StatsBomb: the files that ship with kloppy, and small ones made here for what those lack."""

import json
import lzma
from pathlib import Path
from typing import Any

import kloppy
import pytest

from actors.adapters.feed_statsbomb import read, sniff
from actors.adapters.feeds import BREAK_MS, KICK_OFF_MS, UNKNOWN_KICK_OFF, MatchFeed, read_feed
from actors.domain.errors import NotAMatch
from actors.domain.events import BallEvent, Card, Lineups, OwnGoal, PenaltyAwarded, PenaltyMissed, PenaltyScored, Score
from actors.domain.match import new_match
from actors.domain.summary import Summary
from actors.machines.match import fold

Raw = dict[str, Any]
FILES = Path(kloppy.__file__).parent / "tests" / "files"


def folded(feed: MatchFeed) -> Summary:
    state = fold(new_match(feed.fixture), (timed.record for timed in feed.records))
    assert not state.rejected
    return state.summary


def payloads(feed: MatchFeed, *kinds: type) -> list[Any]:
    return [timed.record.payload for timed in feed.records if isinstance(timed.record.payload, kinds)]


def event(number: int, kind: str, team: int, clock: str = "00:10:00.000", period: int = 1, **rest: Any) -> Raw:
    return {
        "id": f"e{number}",
        "index": number,
        "period": period,
        "timestamp": clock,
        "type": {"id": 0, "name": kind},
        "possession_team": {"id": 1, "name": "One"},
        "play_pattern": {"id": 1, "name": "Regular Play"},
        "team": {"id": team, "name": "One" if team == 1 else "Two"},
        "player": {"id": 10 * team, "name": f"Player {team}"},
        **rest,
    }


def sheet(number: int, team: int) -> Raw:
    where = {"id": 1, "name": "Goalkeeper"}
    lineup = [{"player": {"id": 100 * team + n, "name": f"P{n}"}, "position": where} for n in range(11)]
    return event(number, "Starting XI", team, "00:00:00.000", tactics={"formation": 442, "lineup": lineup})


def shot(number: int, team: int, outcome: str, kind: str = "Open Play", **rest: Any) -> Raw:
    named = {"outcome": {"id": 1, "name": outcome}, "type": {"id": 1, "name": kind}, "statsbomb_xg": 0.5}
    return event(number, "Shot", team, shot=named, location=[108.0, 40.0], **rest)


def written(tmp_path: Path, events: list[Raw], name: str = "77.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps([sheet(1, 1), sheet(2, 2), *events]))
    return path


@pytest.mark.parametrize(
    ("name", "home", "score", "half_time", "yellow", "sent_off", "substitutions"),
    [
        ("statsbomb_15986_event.json", "Barcelona", (2, 2), (1, 1), (3, 5), (1, 0), (3, 3)),
        ("statsbomb_3788741_event.json", "Turkey", (0, 3), (0, 0), (2, 0), (0, 0), (4, 5)),
        ("statsbomb_event.json", "Barcelona", (3, 1), (0, 0), (0, 2), (0, 0), (3, 3)),
    ],
)
def test_a_match_folds_to_what_happened(
    name: str,
    home: str,
    score: tuple[int, int],
    half_time: tuple[int, int],
    yellow: tuple[int, int],
    sent_off: tuple[int, int],
    substitutions: tuple[int, int],
) -> None:
    feed = read_feed(FILES / name)
    summary = folded(feed)
    assert feed.fixture.home.name == home
    assert (summary.score, summary.half_time) == (Score(*score), Score(*half_time))
    assert (summary.yellow, summary.sent_off) == (Score(*yellow), Score(*sent_off))
    assert summary.substitutions == Score(*substitutions)
    assert (summary.phase, summary.periods_started) == ("finished", (1, 2))


@pytest.mark.needs_data
def test_leicester_against_bournemouth_ends_goalless_with_a_red_card_and_a_missed_penalty(data_root: Path) -> None:
    feed = read_feed(data_root / "raw" / "statsbomb_3754058.json.xz")
    summary = folded(feed)
    assert (feed.fixture.match_id, feed.fixture.home.name) == ("statsbomb:3754058", "Leicester City")
    assert summary.score == Score(0, 0)
    assert (summary.yellow, summary.sent_off, summary.substitutions) == (Score(1, 1), Score(0, 1), Score(3, 2))
    assert [type(payload) for payload in payloads(feed, PenaltyAwarded, PenaltyMissed)] == [
        PenaltyAwarded,
        PenaltyMissed,
    ]


def test_an_own_goal_is_told_once_for_the_side_that_gets_it(tmp_path: Path) -> None:
    events = [
        event(3, "Own Goal Against", 1, related_events=["e4"]),
        event(4, "Own Goal For", 2, related_events=["e3"]),
        event(5, "Own Goal For", 2, "00:20:00.000"),  # older files tell it for one team only
    ]
    feed = read(written(tmp_path, events), None)
    assert [goal.side for goal in payloads(feed, OwnGoal)] == ["away", "away"]
    assert payloads(feed, OwnGoal)[0].player_id == "10"
    assert folded(feed).score == Score(0, 2)


def test_a_penalty_is_announced_at_its_foul_and_only_once(tmp_path: Path) -> None:
    events = [
        event(3, "Foul Committed", 2, foul_committed={"penalty": True}),
        event(4, "Foul Won", 1, foul_won={"penalty": True}),
        shot(5, 1, "Goal", "Penalty", clock="00:11:30.000"),
        shot(6, 2, "Saved", "Penalty", clock="00:15:00.000"),  # its foul was not told
    ]
    feed = read(written(tmp_path, events), None)
    told = [(type(p), p.side) for p in payloads(feed, PenaltyAwarded, PenaltyScored, PenaltyMissed)]
    assert told == [
        (PenaltyAwarded, "home"),
        (PenaltyScored, "home"),
        (PenaltyAwarded, "away"),
        (PenaltyMissed, "away"),
    ]


def test_a_shoot_out_is_kept_apart_from_the_score(tmp_path: Path) -> None:
    kicks = [shot(10 + n, 1 + n % 2, "Goal" if n != 3 else "Saved", "Penalty", period=5) for n in range(4)]
    ends = [event(30 + p, "Half End", 1, "00:45:00.000", p) for p in (1, 2)] + [event(40, "Half End", 1, period=5)]
    summary = folded(read(written(tmp_path, [*kicks, *ends]), None))
    assert (summary.score, summary.shoot_out, summary.extra_time) == (Score(0, 0), Score(2, 1), None)
    assert summary.phase == "finished"


def test_cards_come_from_fouls_and_from_bad_behaviour(tmp_path: Path) -> None:
    card = lambda name: {"card": {"id": 1, "name": name}}  # noqa: E731
    events = [
        event(3, "Foul Committed", 1, foul_committed=card("Yellow Card")),
        event(4, "Bad Behaviour", 1, bad_behaviour=card("Second Yellow")),
        event(5, "Bad Behaviour", 2, bad_behaviour=card("Red Card")),
    ]
    feed = read(written(tmp_path, events), None)
    assert [(c.side, c.colour) for c in payloads(feed, Card)] == [
        ("home", "yellow"),
        ("home", "second_yellow"),
        ("away", "red"),
    ]


def test_the_clock_begins_anew_in_each_period_and_the_break_is_short() -> None:
    feed = read_feed(FILES / "statsbomb_event.json")
    starts = {t.record.clock.period: t.at_ms for t in feed.records if t.record.kind in ("kick_off", "period_start")}
    ends = {t.record.clock.period: t.at_ms for t in feed.records if t.record.kind == "period_end"}
    assert starts[1] == KICK_OFF_MS
    assert starts[2] - ends[1] == BREAK_MS
    assert ends[1] - starts[1] == 2_705_267  # 45:05.267, as its Half End says


def test_coordinates_are_percent_and_a_shot_carries_its_expected_goals(tmp_path: Path) -> None:
    feed = read(written(tmp_path, [shot(3, 2, "Saved")]), None)
    (ball,) = payloads(feed, BallEvent)
    assert (ball.x, ball.y, ball.is_shot, ball.on_target, ball.xg) == (90.0, 50.0, True, True, 0.5)


def test_home_is_the_first_team_named_unless_a_matches_file_says_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, [event(3, "Pass", 1)])
    match = {
        "match_id": 77,
        "match_date": "2020-02-01",
        "kick_off": "18:30:00.000",
        "home_team": {"home_team_id": 2, "home_team_name": "Two"},
        "away_team": {"away_team_id": 1, "away_team_name": "One"},
        "competition": {"competition_name": "Cup"},
    }
    (meta := tmp_path / "matches.json").write_text(json.dumps([match]))
    assert (read(path, None).fixture.home.name, read(path, None).fixture.kick_off) == ("One", UNKNOWN_KICK_OFF)
    fixture = read(path, meta).fixture
    assert (fixture.home.name, fixture.away.name, fixture.competition) == ("Two", "One", "Cup")
    assert fixture.kick_off.isoformat() == "2020-02-01T18:30:00+00:00"


def test_a_line_ups_file_adds_the_bench_and_does_not_choose_who_is_home() -> None:
    path, meta = FILES / "statsbomb_3788741_event.json", FILES / "statsbomb_3788741_lineup.json"
    feed = read(path, meta)  # the line-ups file names Italy first, the match was Turkey against Italy
    (lineups,) = payloads(feed, Lineups)
    assert feed.fixture.home.name == "Turkey"
    assert [sum(p.starter for p in side) for side in (lineups.home, lineups.away)] == [11, 11]
    assert min(len(lineups.home), len(lineups.away)) > 20


def test_a_file_that_stops_in_mid_play_is_not_over(tmp_path: Path) -> None:
    assert folded(read(written(tmp_path, [event(3, "Pass", 1)]), None)).phase == "live"


@pytest.mark.parametrize("content", [b"", b"[]", b"[1]", b'{"events": []}', b"[[", b"\xff\xfe", b'[{"id": "a"}]'])
def test_a_file_that_is_none_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "1.json").write_bytes(content)
    with pytest.raises(NotAMatch, match="expected a StatsBomb event list"):
        read(path, None)


def test_a_matches_file_without_this_match_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [event(3, "Pass", 1)])
    (meta := tmp_path / "matches.json").write_text("[]")
    with pytest.raises(NotAMatch, match="matches file or line-ups file"):
        read(path, meta)


def test_packed_and_plain_files_are_told_by_their_content(tmp_path: Path) -> None:
    plain = written(tmp_path, [event(3, "Pass", 1)])
    (packed := tmp_path / "77.json.xz").write_bytes(lzma.compress(plain.read_bytes()))
    assert sniff(plain.read_bytes()[:1000], plain)
    assert read_feed(packed) == read_feed(plain)
    assert not sniff(b'{"op":"mcm"}', plain)
