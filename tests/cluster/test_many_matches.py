"""Sixteen real matches at 60 times real speed: each ends as its sheet says, and no forecast contradicts itself."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteSnapshots
from actors.adapters.feeds import read_feed
from actors.domain.events import Score
from actors.domain.fixtures import Fixture, Lease
from actors.domain.forecast import EpochOpen, Forecast, encode_published, row_hash
from actors.domain.match import decode_state
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS, NewRecord
from actors.domain.summary import Summary
from actors.machines.replay import NO_NOISE
from actors.supervisor import FixtureBook
from cluster.check_sheets import sheet_facts
from cluster.feeds import demo_files
from cluster.player import FeedPlayer, PlayerSettings
from serve_app.freshness import OWN_LAG_LIMIT_S, STALE_AFTER_S
from tests.cluster.evening import Evening
from tests.coherence import faults
from tests.conftest import eventually

Facts = Mapping[str, Score | None]
STATSBOMB_SHEET: Facts = {  # Leicester City v Bournemouth
    "score": Score(0, 0),
    "regular": Score(0, 0),
    "yellow": Score(1, 1),
    "sent_off": Score(0, 1),
    "substitutions": Score(3, 2),
}
IN_FORECAST = ("score", "extra_time", "shoot_out")
IN_CARDS = ("yellow", "sent_off")


def facts_of(data_root: Path, match_id: str) -> Facts:
    """What the sheet of a recorded match says; nothing of Betfair's, which has prices alone."""
    if match_id.startswith("betfair:"):
        return {}
    return STATSBOMB_SHEET if match_id.startswith("statsbomb:") else sheet_facts(data_root, match_id)


def summary_of(evening: Evening, fixture: Fixture) -> Summary:
    """The state that the match's owner saved last."""
    with closing(SqliteSnapshots(evening.folder / "snapshots.db")) as snapshots:
        snapshot = snapshots.load(fixture.match_id)
    assert snapshot is not None
    return decode_state(fixture.match_id, snapshot.state).summary


def told(source: Mapping[str, Any], facts: Facts) -> dict[str, Score | None]:
    """Of a body of the API: what the facts are about."""
    pairs = {name: source[name] for name in IN_FORECAST} | {name: source["cards"][name] for name in IN_CARDS}
    return {name: pair and Score(*pair) for name, pair in pairs.items() if name in facts}


@pytest.mark.needs_data
def test_score_cards_and_substitutions_of_every_match_equal_its_sheet(evening: Evening, data_root: Path) -> None:
    fixtures = evening.fixtures
    assert len(fixtures) == 16
    for match_id, fixture in fixtures.items():
        facts, summary = facts_of(data_root, match_id), summary_of(evening, fixture)
        assert {name: getattr(summary, name) for name in facts} == facts, match_id
        published = {name: fact for name, fact in facts.items() if name in (*IN_FORECAST, *IN_CARDS)}
        assert told(evening.items[fixture.match_id], facts) == published, match_id
        assert told(evening.bodies[fixture.match_id], facts) == published, match_id


def test_every_match_ends_and_settles_as_far_as_its_score_can_be_trusted(evening: Evening) -> None:
    for match_id, fixture in evening.fixtures.items():
        last = evening.counted(fixture)[-1]
        assert last.phase == evening.items[fixture.match_id]["phase"] == "finished"
        assert last.seq == evening.items[fixture.match_id]["seq"] == evening.bodies[fixture.match_id]["seq"]
        if match_id.startswith("betfair:"):
            assert (last.status, last.reasons, last.settled) == ("GAP", ("no_score_provider",), None)
        else:
            assert last.status in ("OK", "MODEL_FALLBACK")
            assert last.settled is not None


def test_every_forecast_of_every_market_is_coherent(evening: Evening) -> None:
    found = [fault for _, forecast in forecasts(evening) for fault in faults(forecast)]
    assert found == []


def test_every_match_has_one_chain_without_a_break(evening: Evening) -> None:
    for fixture in evening.fixtures.values():
        counted = evening.counted(fixture)
        before = "0" * 64
        for forecast in counted:
            assert forecast.prev_hash == before
            assert row_hash(before, forecast) == forecast.row_hash
            before = forecast.row_hash


def test_no_record_was_refused(evening: Evening) -> None:
    assert evening.log.end_offsets(DEAD_LETTERS) == {0: 0}


def test_a_number_is_fresh_only_while_we_keep_up_and_how_long_it_was_not(
    evening: Evening, capsys: pytest.CaptureFixture[str]
) -> None:
    """The seconds are printed, not judged: two cores may have other work to do."""
    gauge = evening.readers["conflated"].trader  # its heartbeats pass by what waits
    by_time: dict[str, Counter[str]] = {}
    for at, beat in zip(gauge.heard_at, gauge.beats, strict=True):
        part = "before the kill" if at < evening.moments["killed"] else "after it"
        for sign in beat["matches"].values():
            if sign["phase"] == "live":
                freshness = sign["freshness"]
                by_time.setdefault(part, Counter())[freshness["state"]] += 1
                if freshness["state"] == "FRESH":
                    assert freshness["own_lag_s"] <= OWN_LAG_LIMIT_S
                    assert freshness["feed_silent_s"] <= STALE_AFTER_S
    assert by_time["before the kill"]["FRESH"] > 0
    assert by_time["after it"]["FRESH"] > 0
    with capsys.disabled():
        told = {"many_matches": account(evening), "match_seconds_in_play": by_time}
        sys.stdout.write(f"\n{json.dumps(told)}\n")


def account(evening: Evening) -> dict[str, Any]:
    """What the evening took, for whoever reads the output."""
    counted = [forecast for _, forecast in forecasts(evening)]
    return {
        "matches": len(evening.fixtures),
        "records": sum(evening.log.end_offsets(FEED).values()),
        "forecasts": len(counted),
        "conflated": sum(forecast.conflated for forecast in counted),
        "ready_s": evening.took_s("start", "ready"),
        "until_all_live_s": evening.took_s("ready", "all live"),
        "restart_s": evening.took_s("killed", "ready again"),
        "until_all_finished_s": evening.took_s("all live", "finished"),
        "connections": {name: reader.connections for name, reader in evening.readers.items()},
        "cut_by_the_server": {name: len(reader.cut) for name, reader in evening.readers.items()},
    }


def forecasts(evening: Evening) -> Iterator[tuple[str, Forecast]]:
    """Every published forecast that counts, by match."""
    for match_id, fixture in evening.fixtures.items():
        for forecast in evening.counted(fixture):
            yield match_id, forecast


class AskedLog(SqliteLog):
    """Counts how often somebody looked for owners."""

    asked = 0

    def end_offsets(self, topic: str) -> dict[int, int]:
        self.asked += topic == FORECASTS
        return super().end_offsets(topic)


def test_recorded_matches_kick_off_together_once_each_has_its_owner(tmp_path: Path) -> None:
    """A real match is known for days; a recorded one begins as soon as it can be followed from its beginning."""
    log = AskedLog(tmp_path, {FEED: 2, FORECASTS: 2, FIXTURES: 1})
    feeds = [read_feed(path) for path in demo_files()[:2]]
    settings = PlayerSettings(speed=0, loop=False, plan=NO_NOISE, owner_within_s=60.0)
    player = FeedPlayer(lambda: log, lambda: feeds, settings)
    try:
        eventually(lambda: len(player.playing()) == 2)
        book = FixtureBook(log)
        book.refresh()
        for partition, fixture in enumerate(tuple(book.fixtures.values())):
            book.save(leased(fixture, partition))
            own(log, fixture.match_id, partition)
            asked = log.asked
            if partition == 0:
                eventually(lambda asked=asked: log.asked > asked + 4)  # type: ignore[misc]
                assert log.end_offsets(FEED) == {0: 0, 1: 0}
        eventually(lambda: all(log.end_offsets(FEED).values()))
    finally:
        player.stop()
        log.close()


def leased(fixture: Fixture, partition: int) -> Fixture:
    return replace(fixture, lease=Lease(partition=partition, start_offset=0))


def own(log: SqliteLog, match_id: str, partition: int) -> None:
    """Write what an owner writes first."""
    marker = EpochOpen(match_id=match_id, epoch=0, owner="test")
    log.append(FORECASTS, partition, [NewRecord(key=match_id, value=encode_published(marker))])
