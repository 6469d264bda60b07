"""Betfair: streams made here, and the sample that ships as a demo."""

import bz2
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from actors.adapters.feed_betfair import HALF_TIME_MS, join_odds, odds_only, read, sniff
from actors.adapters.feed_data_root import list_matches, read_match
from actors.adapters.feeds import BREAK_MS, KICK_OFF_MS, FeedBuilder, MatchFeed, TimedRecord, read_feed
from actors.domain.errors import NotAMatch
from actors.domain.events import BEFORE_KICK_OFF, Clock, Goal, Odds, encode_record
from actors.domain.events import decode_record as decode
from actors.domain.fixtures import Believed, Fixture, Team
from actors.domain.match import new_match
from actors.machines.match import fold

Raw = dict[str, Any]
SAMPLE = Path(__file__).parents[2] / "cluster/demo/betfair_basic_28202626_Middlesbrough_v_ManCity_2017-04-30.bz2"
MINUTE = 60_000
START = 1_493_557_500_000  # 2017-04-30 13:05 UTC


def market(market_id: str, kind: str, runners: list[Raw], **rest: Any) -> Raw:
    definition = {
        "eventId": "9",
        "eventTypeId": "1",
        "marketType": kind,
        "status": "OPEN",
        "inPlay": False,
        "marketTime": "2017-04-30T13:05:00.000Z",
        "eventName": "Alpha v Beta",
        "regulators": ["MR_INT"],
        "runners": runners,
    }
    return {"id": market_id, "marketDefinition": {**definition, **rest}}


def runner(selection: int, name: str, order: int, **rest: Any) -> Raw:
    return {"id": selection, "name": name, "sortPriority": order, "status": "ACTIVE", **rest}


def match_odds(market_id: str = "1.1", **rest: Any) -> Raw:
    teams = [runner(1, "Alpha", 1), runner(2, "Beta", 2), runner(58805, "The Draw", 3)]
    return market(market_id, "MATCH_ODDS", teams, **rest)


def prices(market_id: str, *changes: tuple[int, float]) -> Raw:
    return {"id": market_id, "rc": [{"id": selection, "ltp": price} for selection, price in changes]}


def stream(tmp_path: Path, *messages: tuple[float, list[Raw]]) -> Path:
    """Write messages given as (minutes after the in-play turn at 0, market changes)."""
    lines = [{"op": "mcm", "clk": "1", "pt": START + int(at * MINUTE), "mc": changes} for at, changes in messages]
    (path := tmp_path / "stream.bz2").write_bytes(bz2.compress("\n".join(map(json.dumps, lines)).encode()))
    return path


def books(feed: MatchFeed, market: str = "1x2") -> list[Odds]:
    payloads = (timed.record.payload for timed in feed.records)
    return [p for p in payloads if isinstance(p, Odds) and p.market == market]


def a_match(tmp_path: Path) -> Path:
    return stream(
        tmp_path,
        (-3000, [match_odds(), prices("1.1", (1, 2.5))]),
        (-10, [prices("1.1", (2, 3.0), (58805, 3.4))]),
        (0, [match_odds(inPlay=True)]),
        (20, [prices("1.1", (1, 1.5))]),
        (21, [match_odds(inPlay=True, status="SUSPENDED")]),
        (22, [match_odds(inPlay=True)]),
        (55, [prices("1.1", (1, 1.6))]),
        (80, [prices("1.1", (1, 1.1))]),
        (112, [match_odds(inPlay=True, status="CLOSED")]),
        (130, [prices("1.1", (1, 1.2))]),
    )


def test_each_change_gives_the_whole_book_home_draw_away(tmp_path: Path) -> None:
    told = [(book.prices, book.suspended) for book in books(read(a_match(tmp_path), None))]
    assert told == [
        ((2.5, None, None), False),
        ((2.5, 3.4, 3.0), False),
        ((1.5, 3.4, 3.0), False),
        ((1.5, 3.4, 3.0), True),
        ((1.5, 3.4, 3.0), False),
        ((1.6, 3.4, 3.0), False),
        ((1.1, 3.4, 3.0), False),
        ((1.1, 3.4, 3.0), True),
    ]


def test_home_is_the_first_team_of_the_events_name_wherever_its_runner_stands(tmp_path: Path) -> None:
    runners = [runner(58805, "The Draw", 1), runner(2, "Beta", 2), runner(1, "Alpha", 3)]
    path = stream(tmp_path, (-1, [market("1.1", "MATCH_ODDS", runners), prices("1.1", (1, 2.0), (2, 4.0))]))
    feed = read(path, None)
    assert (feed.fixture.home.name, feed.fixture.away.name) == ("Alpha", "Beta")
    assert books(feed)[0].prices == (2.0, None, 4.0)


def test_the_match_follows_from_its_markets(tmp_path: Path) -> None:
    feed = read(a_match(tmp_path), None)
    phases = [(t.at_ms, t.record.kind, t.record.clock) for t in feed.records if t.record.kind != "odds"]
    first, second = 47 * MINUTE, (112 - 47 - 15) * MINUTE  # no half-time market: 47 minutes are assumed
    end_ms = KICK_OFF_MS + first + BREAK_MS + second
    assert phases == [
        (KICK_OFF_MS, "kick_off", Clock(1, 0)),
        (KICK_OFF_MS + first, "period_end", Clock(1, first)),
        (KICK_OFF_MS + first + BREAK_MS, "period_start", Clock(2, 0)),
        (end_ms, "period_end", Clock(2, second)),
        (end_ms, "full_time", Clock(2, second)),
    ]
    assert feed.fixture.believed == Believed(events=None, clock="betfair", odds=("betfair",))


def test_the_half_time_market_says_when_the_first_half_ended(tmp_path: Path) -> None:
    runners = [runner(1, "Alpha", 1), runner(2, "Beta", 2), runner(58805, "The Draw", 3)]

    def half_time(status: str) -> Raw:
        return market("1.2", "HALF_TIME", runners, status=status, inPlay=True)

    path = stream(
        tmp_path,
        (0, [match_odds(inPlay=True), half_time("OPEN")]),
        (30, [half_time("SUSPENDED")]),  # a goal
        (31, [half_time("OPEN")]),
        (45, [half_time("SUSPENDED")]),
        (48, [half_time("CLOSED")]),
        (112, [match_odds(inPlay=True, status="CLOSED")]),
    )
    ends = [t.record.clock for t in read(path, None).records if t.record.kind == "period_end"]
    assert ends == [Clock(1, 45 * MINUTE), Clock(2, (112 - 45 - 15) * MINUTE)]


def test_days_before_kick_off_are_pressed_into_the_seconds_before_it(tmp_path: Path) -> None:
    feed = read(a_match(tmp_path), None)
    early = [t for t in feed.records if t.record.kind == "odds" and t.record.clock == BEFORE_KICK_OFF]
    assert [t.at_ms for t in early] == [0, KICK_OFF_MS // 2]
    assert [t.record.provider_seq for t in feed.records] == list(range(1, len(feed.records) + 1))


def test_odds_in_the_break_keep_the_clock_of_its_beginning(tmp_path: Path) -> None:
    feed = read(a_match(tmp_path), None)
    (timed,) = [t for t in feed.records if isinstance(t.record.payload, Odds) and t.record.payload.prices[0] == 1.6]
    assert timed.record.clock == Clock(1, 47 * MINUTE)
    assert timed.at_ms == KICK_OFF_MS + 47 * MINUTE + 8 * MINUTE * BREAK_MS // HALF_TIME_MS


@pytest.mark.parametrize("price", [1.0, 0.0, -3.0, 10_001.0, 1e9])
def test_a_price_that_can_be_none_is_none(tmp_path: Path, price: float) -> None:
    path = stream(tmp_path, (-1, [match_odds(), prices("1.1", (1, price), (2, 2.0))]))
    assert books(read(path, None))[0].prices == (None, None, 2.0)


def test_totals_and_handicaps_carry_their_line_and_our_order(tmp_path: Path) -> None:
    totals = market("1.3", "OVER_UNDER_25", [runner(11, "Under 2.5 Goals", 1), runner(12, "Over 2.5 Goals", 2)])
    corners = market("1.4", "OVER_UNDER_105_CORNR", [runner(13, "Under 10.5", 1), runner(14, "Over 10.5", 2)])
    sides = [runner(1, "Alpha", 1, hc=-0.5), runner(2, "Beta", 2, hc=0.5), runner(1, "Alpha", 3), runner(2, "Beta", 4)]
    handicap = market("1.5", "ASIAN_HANDICAP", sides)
    changes = [
        prices("1.3", (11, 1.8), (12, 2.2)),
        prices("1.4", (13, 1.9), (14, 2.0)),
        {"id": "1.5", "rc": [{"id": 1, "hc": -0.5, "ltp": 2.1}, {"id": 2, "ltp": 1.7}]},
    ]
    feed = read(stream(tmp_path, (-1, [match_odds(), totals, corners, handicap]), (0, changes)), None)
    every = [t.record.payload for t in feed.records if isinstance(t.record.payload, Odds)]
    assert {(book.market, book.line): (book.selections, book.prices) for book in every} == {
        ("over_under", 2.5): (("over", "under"), (2.2, 1.8)),
        ("cornr_over_under", 10.5): (("over", "under"), (2.0, 1.9)),
        ("asian_handicap", -0.5): (("home", "away"), (2.1, None)),
        ("asian_handicap", 0.0): (("home", "away"), (None, 1.7)),
    }


def test_another_exchanges_book_of_the_same_market_keeps_a_name_of_its_own(tmp_path: Path) -> None:
    spanish = match_odds("1.0", regulators=["MR_ESP"])
    path = stream(tmp_path, (-1, [spanish, match_odds(), prices("1.0", (1, 9.0)), prices("1.1", (1, 2.0))]))
    feed = read(path, None)
    assert [book.prices[0] for book in books(feed)] == [2.0]
    assert [book.prices[0] for book in books(feed, "1.0:1x2")] == [9.0]


def test_a_stream_that_never_turned_in_play_is_a_scheduled_match(tmp_path: Path) -> None:
    feed = read(stream(tmp_path, (-1, [match_odds(), prices("1.1", (1, 2.0))])), None)
    state = fold(new_match(feed.fixture), (timed.record for timed in feed.records))
    assert (state.summary.phase, feed.fixture.kick_off.isoformat()) == ("scheduled", "2017-04-30T13:05:00+00:00")


def events_feed() -> MatchFeed:
    fixture = Fixture(
        match_id="events:1",
        kick_off=datetime(2020, 1, 1, 15, tzinfo=UTC),
        home=Team(name="Alpha"),
        away=Team(name="Beta"),
        believed=Believed(events="events", clock="events"),
    )
    builder = FeedBuilder(fixture, "events")
    builder.add(Clock(1, 10 * MINUTE), "g", Goal(side="home"))
    builder.phases({1: 46 * MINUTE, 2: 48 * MINUTE})
    return builder.build()


def test_odds_join_another_feed_aligned_on_kick_off(tmp_path: Path) -> None:
    feed = join_odds(events_feed(), odds_only(a_match(tmp_path)))
    odds = [t for t in feed.records if t.record.provider == "betfair"]
    assert feed.fixture.believed.odds == ("betfair",)
    assert feed.fixture.provider_ids["betfair"] == "9"
    assert [t.at_ms for t in feed.records] == sorted(t.at_ms for t in feed.records)
    assert [t.record.provider_seq for t in odds] == list(range(1, len(odds) + 1))
    assert {t.record.match_id for t in feed.records} == {"events:1"}
    by_home_price = {t.record.payload.prices[0]: t.record.clock for t in odds}  # type: ignore[union-attr]
    assert by_home_price[2.5] == BEFORE_KICK_OFF
    assert by_home_price[1.6] == Clock(1, 46 * MINUTE)  # 55 minutes after kick-off: in this match's break
    assert by_home_price[1.1] == Clock(2, 19 * MINUTE)  # 80 - 46 - 15; its suspension at 112 is after the end
    state = fold(new_match(feed.fixture), (t.record for t in feed.records))
    assert (state.rejected, state.summary.phase, state.anchors["1x2"].prices) == ({}, "finished", (2.5, 3.4, 3.0))


def test_odds_in_play_cannot_join_a_feed_whose_periods_do_not_end(tmp_path: Path) -> None:
    whole = events_feed()
    cut = MatchFeed(whole.fixture, tuple(t for t in whole.records if t.record.kind != "period_end"))
    with pytest.raises(NotAMatch, match="periods end"):
        join_odds(cut, odds_only(a_match(tmp_path)))


def test_the_demo_stream_folds_without_a_rejected_record() -> None:
    feed = read_feed(SAMPLE)
    state = new_match(feed.fixture)
    state = fold(state, (decode(t.record.match_id, encode_record(t.record)) for t in feed.records))
    assert (state.rejected, state.summary.phase) == ({}, "finished")
    assert (feed.fixture.home.name, feed.fixture.away.name) == ("Middlesbrough", "Man City")
    assert state.anchors["1x2"].prices == (13.0, 6.6, 1.3)  # the last before the turn at 13:05:53
    assert state.books["1x2"].suspended
    assert len(books(feed)) > 300


@pytest.mark.needs_data
def test_the_demo_streams_odds_join_the_same_match_of_data_root(data_root: Path) -> None:
    (listed,) = [
        match
        for match in list_matches(data_root, "understat")
        if match.home == "Middlesbrough" and match.kick_off.date().isoformat() == "2017-04-30"
    ]
    feed = join_odds(read_match(data_root, listed.match_id), odds_only(SAMPLE))
    goals = [t for t in feed.records if t.record.kind in ("goal", "own_goal", "penalty_scored")]
    at_first_goal = [t for t in feed.records if _is_match_odds(t) and abs(t.at_ms - goals[0].at_ms) < 3 * MINUTE]
    moves = [t.record.payload.prices[0] for t in at_first_goal]  # type: ignore[union-attr]
    assert max(moves) > 2 * min(moves)  # Middlesbrough's price fell from 10.5 to 3.05 at their goal
    assert not fold(new_match(feed.fixture), (t.record for t in feed.records)).rejected


def _is_match_odds(timed: TimedRecord) -> bool:
    payload = timed.record.payload
    return isinstance(payload, Odds) and payload.market == "1x2" and timed.record.provider == "betfair"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"op":"mcm","pt":1,"mc":[]}',
        b'{"op":"mcm","pt":"x"}',
        b'{"op":"mcm"',
        b"\xff\xff",
        b"BZh9 not bzip",
        json.dumps({"op": "mcm", "pt": 1, "mc": [match_odds(eventTypeId="7")]}).encode(),
        json.dumps({"op": "mcm", "pt": 1, "mc": [match_odds(eventName="Alpha @ Beta")]}).encode(),
    ],
)
def test_what_is_no_football_stream_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a.json").write_bytes(content)
    with pytest.raises(NotAMatch):
        read(path, None)


def test_a_stream_is_told_by_its_first_line(tmp_path: Path) -> None:
    assert sniff(b'{"op":"mcm","clk":"1"}\n', tmp_path)
    assert not sniff(b'{"events": [{"op":"mcm"}]}', tmp_path)
    assert not sniff(b'[{"op":"mcm"}]', tmp_path)
