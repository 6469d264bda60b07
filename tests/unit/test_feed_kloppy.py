"""Providers read over kloppy: the files that ship in its wheel, and changed copies of them for what those lack."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import kloppy
import pytest

from actors.adapters.feed_kloppy import PROVIDERS, read, sniff
from actors.adapters.feeds import HEAD_BYTES, MatchFeed, read_feed
from actors.domain.errors import NotAMatch
from actors.domain.events import (
    BallEvent,
    Card,
    Lineups,
    OwnGoal,
    PenaltyMissed,
    PenaltyScored,
    Score,
    Substitution,
    encode_record,
)
from actors.domain.match import MatchState, new_match
from actors.machines.match import Entry, step

FILES = Path(kloppy.__file__).parent / "tests" / "files"
SOURCES: dict[str, tuple[str, str | None]] = {
    "opta": ("opta_f24.xml", "opta_f7.xml"),
    "statsperform": ("statsperform_event_ma3.json", "statsperform_event_ma1.json"),
    "datafactory": ("datafactory_events.json", None),
    "sportec": ("sportec_events.xml", "sportec_meta.xml"),
    "metrica": ("metrica_events.json", "epts_metrica_metadata.xml"),
    "wyscout_v3": ("wyscout_events_v3.json", None),
    "impect": ("impect_events.json", "impect_lineups.json"),
}


@cache
def feed_of(provider: str) -> MatchFeed:
    events, meta = SOURCES[provider]
    return read_feed(FILES / events, meta=FILES / meta if meta else None)


def folded(feed: MatchFeed) -> MatchState:
    state, key = new_match(feed.fixture), feed.fixture.match_id
    for offset, timed in enumerate(feed.records):
        state, _ = step(state, Entry(offset=offset, key=key, value=encode_record(timed.record)))
    return state


def payloads(feed: MatchFeed, *kinds: type) -> list[Any]:
    return [timed.record.payload for timed in feed.records if isinstance(timed.record.payload, kinds)]


def changed(tmp_path: Path, name: str, change: Any) -> Path:
    """Write a changed copy of a JSON file."""
    content = json.loads((FILES / name).read_text(encoding="utf-8-sig"))
    change(content)
    (path := tmp_path / name).write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("provider", "home", "score", "half_time", "yellow", "sent_off", "substitutions"),
    [
        # the sheet (MA1) has 2-1, three cautions, one second caution, and one caution of a coach that counts for nobody
        ("statsperform", "Hamburger SV", (2, 1), (0, 0), (0, 3), (0, 1), (4, 5)),
        ("datafactory", "Team A", (4, 2), (2, 1), (2, 1), (0, 0), (3, 2)),  # its scoreStatus says 4 and 2
        ("sportec", "Sport-Club Freiburg", (2, 0), (0, 0), (1, 0), (0, 0), None),
        ("metrica", "Team A", (0, 2), (0, 1), (0, 1), (0, 0), None),
        ("wyscout_v3", "Juventus FC", (3, 0), (1, 0), (1, 1), (0, 0), (4, 5)),  # its sheet says 3-0
        ("impect", "team 1", (5, 2), (1, 2), (0, 0), (1, 0), (4, 3)),
        ("opta", "FC København", (1, 2), (0, 1), (0, 0), (0, 1), (0, 1)),
    ],
)
def test_a_match_folds_to_what_its_own_file_says(
    provider: str,
    home: str,
    score: tuple[int, int],
    half_time: tuple[int, int],
    yellow: tuple[int, int],
    sent_off: tuple[int, int],
    substitutions: tuple[int, int] | None,
) -> None:
    feed = feed_of(provider)
    state = folded(feed)
    summary = state.summary
    assert state.rejected == {}
    assert (feed.fixture.home.name, feed.fixture.believed.events) == (home, provider)
    assert (summary.score, summary.half_time) == (Score(*score), Score(*half_time))
    assert (summary.yellow, summary.sent_off) == (Score(*yellow), Score(*sent_off))
    assert summary.substitutions == (Score(*substitutions) if substitutions else None)
    assert summary.phase == "finished"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_records_are_unique_ordered_and_numbered(provider: str) -> None:
    records = [timed.record for timed in feed_of(provider).records]
    assert len({record.event_id for record in records}) == len(records)
    assert [record.provider_seq for record in records] == list(range(1, len(records) + 1))
    clocks = [record.clock for record in records]
    assert clocks == sorted(clocks)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_told_by_its_events_and_not_by_its_second_file(provider: str) -> None:
    events, meta = SOURCES[provider]
    assert sniff((FILES / events).read_bytes()[:HEAD_BYTES], FILES / events)
    assert meta is None or not sniff((FILES / meta).read_bytes()[:HEAD_BYTES], FILES / meta)


@pytest.mark.parametrize("provider", [name for name, (_, meta) in SOURCES.items() if meta])
def test_a_missing_second_file_is_named_in_one_sentence(provider: str) -> None:
    with pytest.raises(NotAMatch, match=r"its .* file \(--meta FILE\), received one file only"):
        read_feed(FILES / SOURCES[provider][0])


def test_xml_and_json_of_stats_perform_tell_the_same_match() -> None:
    xml = read_feed(FILES / "statsperform_event_ma3.xml", meta=FILES / "statsperform_event_ma1.xml")
    told = [timed.record.payload for timed in xml.records]
    assert told == [timed.record.payload for timed in feed_of("statsperform").records]


def test_three_changes_at_once_are_told_apart(tmp_path: Path) -> None:
    def interleave(match: Any) -> None:  # all three go off before the first comes on
        events = match["liveData"]["event"]
        offs = [e for e in events if e["typeId"] == 18 and e["timeMin"] == 74]
        ons = [e for e in events if e["typeId"] == 19 and e["timeMin"] == 74]
        at = events.index(offs[0])
        rest = [e for e in events if e not in offs and e not in ons]
        events[:] = [*rest[:at], *offs, *ons, *rest[at:]]

    path = changed(tmp_path, "statsperform_event_ma3.json", interleave)
    feed = read(path, FILES / "statsperform_event_ma1.json")
    pairs = {(change.name_off, change.name_on) for change in payloads(feed, Substitution)}
    assert {("A. Esswein", "C. Kinsombi"), ("B. Ajdini", "D. Diekmeier"), ("D. Keita-Ruel", "C. Benschop")} <= pairs


def test_a_coachs_card_is_told_but_counts_for_nobody() -> None:
    feed = feed_of("statsperform")
    assert len(payloads(feed, Card)) == 4
    assert [ball.side for ball in payloads(feed, BallEvent) if ball.action == "official_card"] == ["away"]


def test_extra_time_and_a_shoot_out_of_opta_are_kept_apart() -> None:
    feed = feed_of("opta")
    summary = folded(feed).summary
    assert (summary.extra_time, summary.shoot_out) == (Score(0, 0), Score(0, 1))
    assert [goal.side for goal in payloads(feed, OwnGoal)] == ["home"]


def test_a_wall_time_of_another_year_does_not_move_the_clock() -> None:
    clocks = [
        timed.record.clock.ms for timed in feed_of("opta").records
    ]  # the file has events of 2023 in a match of 2018
    assert max(clocks) < 70 * 60_000


def test_an_own_goal_of_datafactory_counts_for_the_other_side_and_its_coach_does_not_play() -> None:
    feed = feed_of("datafactory")
    assert [(goal.side, goal.player) for goal in payloads(feed, OwnGoal)] == [("home", "Andrew Burhans")]
    (sheet,) = payloads(feed, Lineups)
    assert [sum(player.starter for player in side) for side in (sheet.home, sheet.away)] == [11, 11]


def test_wyscouts_second_caution_and_straight_red_are_told_apart(tmp_path: Path) -> None:
    def cards(match: Any) -> None:
        fouls = [e for e in match["events"] if e["infraction"] and not e["infraction"]["yellowCard"]][:3]
        again = next(e for e in match["events"] if e["infraction"] and e["infraction"]["yellowCard"])
        later = fouls[2]
        later["player"], later["team"], later["infraction"]["yellowCard"] = again["player"], again["team"], True
        fouls[0]["infraction"]["redCard"] = True
        fouls[1]["infraction"]["yellowCard"] = fouls[1]["infraction"]["redCard"] = True

    feed = read(changed(tmp_path, "wyscout_events_v3.json", cards), None)
    colours = [card.colour for card in payloads(feed, Card)]
    assert sorted(colours) == ["red", "second_yellow", "second_yellow", "yellow", "yellow"]


def test_wyscouts_home_team_is_the_one_its_match_calls_home(tmp_path: Path) -> None:
    def swap(match: Any) -> None:
        match["teams"] = dict(reversed(match["teams"].items()))

    feed = read(changed(tmp_path, "wyscout_events_v3.json", swap), None)
    assert feed.fixture.home.name == "Juventus FC"
    assert folded(feed).summary.score == Score(3, 0)
    assert folded(feed).summary.substitutions == Score(4, 5)


def test_wyscouts_shoot_out_without_extra_time_is_read(tmp_path: Path) -> None:
    def kicks(match: Any) -> None:
        goal = next(e for e in match["events"] if e["type"]["primary"] == "shot" and e["shot"]["isGoal"])
        for number, scored in enumerate([True, False, True]):
            kick = json.loads(json.dumps(goal))
            kick.update(id=f"kick{number}", matchPeriod="P", minute=120, second=10 * number)
            kick["shot"]["isGoal"] = scored
            match["events"].append(kick)

    feed = read(changed(tmp_path, "wyscout_events_v3.json", kicks), None)
    summary = folded(feed).summary
    assert (summary.score, summary.shoot_out, summary.periods_started) == (Score(3, 0), Score(2, 0), (1, 2, 5))
    assert len(payloads(feed, PenaltyScored, PenaltyMissed)) == 3


def test_sportecs_sections_name_the_periods_that_kloppy_counts(tmp_path: Path) -> None:
    text = (FILES / "sportec_events.xml").read_text(encoding="utf-8")
    (path := tmp_path / "events.xml").write_text(
        text.replace('<KickOff GameSection="secondHalf"', '<KickOff GameSection="penaltyShootout"'), encoding="utf-8"
    )
    feed = read(path, FILES / "sportec_meta.xml")
    assert folded(feed).summary.periods_started == (1, 5)


def test_metricas_clock_begins_anew_in_the_second_half() -> None:
    starts = [timed.record.clock for timed in feed_of("metrica").records if timed.record.clock.period == 2]
    assert starts[0].ms == 0
    assert starts[-1].ms < 50 * 60_000


def test_both_sides_attack_towards_a_hundred() -> None:
    for provider in PROVIDERS:
        shots = [ball for ball in payloads(feed_of(provider), BallEvent) if ball.is_shot and ball.x is not None]
        if len(shots) > 10:
            for side in ("home", "away"):
                xs = sorted(ball.x for ball in shots if ball.side == side)
                assert xs[len(xs) // 2] > 70, (provider, side)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"<Games/>", b"<a", b"\xff\xfe", b"[[[[", b'{"data": 1}'])
def test_a_file_that_is_none_is_named_in_one_sentence(tmp_path: Path, provider: str, content: bytes) -> None:
    (path := tmp_path / "match").write_bytes(content)
    meta = SOURCES[provider][1]
    with pytest.raises(NotAMatch, match="expected"):
        read_feed(path, provider=provider, meta=FILES / meta if meta else None)


@pytest.mark.parametrize("provider", [name for name, (_, meta) in SOURCES.items() if meta])
def test_a_second_file_that_is_none_is_named_too(tmp_path: Path, provider: str) -> None:
    (meta := tmp_path / "meta").write_bytes(b"{}")
    with pytest.raises(NotAMatch, match=" and meta: expected"):
        read_feed(FILES / SOURCES[provider][0], meta=meta)


def test_xml_that_declares_entities_is_refused_unread(tmp_path: Path) -> None:
    (path := tmp_path / "f24.xml").write_bytes(b'<!DOCTYPE a [<!ENTITY b "c">]><Games><Event /></Games>')
    with pytest.raises(NotAMatch, match="document type"):
        read_feed(path, meta=FILES / "opta_f7.xml")


def test_a_provider_that_nobody_reads_is_answered_with_those_we_do() -> None:
    with pytest.raises(NotAMatch, match=r"opta.*'tracab'"):
        read_feed(FILES / "opta_f24.xml", provider="tracab")
