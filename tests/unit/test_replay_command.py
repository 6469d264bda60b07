"""`python -m cluster.replay`: announces, waits for a lease within a bound, plays, goes on."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.feeds import read_feed
from actors.domain.events import decode_record
from actors.domain.fixtures import Lease
from actors.domain.match import new_match
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS
from actors.machines.match import fold
from actors.machines.replay import rename
from actors.supervisor import FixtureBook
from cluster import replay
from cluster.feeds import demo_files

DEMO = demo_files()[0]


def open_log(folder: Path) -> SqliteLog:
    return SqliteLog(folder / "log", {FEED: 2, FORECASTS: 2, FIXTURES: 1, DEAD_LETTERS: 1})


def command(folder: Path, *more: str) -> list[str]:
    where = ["--data", str(folder), "--data-root", str(folder), "--speed", "0"]
    return [str(DEMO), *where, "feed.partitions=2", "feed.shared_partitions=1", *more]


def leased(folder: Path) -> str:
    """Do what the supervisor does: lease a partition to the announced match; return its id."""
    log = open_log(folder)
    book = FixtureBook(log)
    feed = read_feed(DEMO)
    fixture = replay.announce(book, feed, replay.plan_for(None, False), speed=0)
    book.save(replace(fixture, lease=Lease(partition=1, start_offset=0)))
    log.close()
    return fixture.match_id


def test_a_leased_match_is_played_to_its_end_and_only_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    match_id = leased(tmp_path)
    assert replay.main(command(tmp_path)) == 0
    assert replay.main(command(tmp_path)) == 0  # started again: nothing is left to send
    assert match_id in capsys.readouterr().out
    log = open_log(tmp_path)
    records = [decode_record(r.key, r.value) for r in log.read(FEED, {1: 0}, 100_000, 0.0)]
    log.close()
    feed = rename(read_feed(DEMO), match_id, read_feed(DEMO).fixture.kick_off)
    played, offline = (fold(new_match(feed.fixture), r) for r in (records, (t.record for t in feed.records)))
    assert played.summary == offline.summary
    assert len({record.event_id for record in records}) == len(records)


def test_without_a_supervisor_one_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(command(tmp_path, "--wait", "0")) == 2
    said = capsys.readouterr().err
    assert "was leased no partition within 0 s" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing.json"], "nothing.json"),
        ([str(DEMO), "--speed", "-1"], "--speed must be 0 or a positive number"),
        ([str(DEMO), str(DEMO), "--meta", "x"], "--meta belongs to one match"),
    ],
)
def test_what_cannot_be_played_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert replay.main([*arguments, "--data", str(tmp_path)]) == 2
    assert problem in capsys.readouterr().err


def test_a_match_that_is_over_is_announced_anew(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    book, feed, plan = FixtureBook(log), read_feed(DEMO), replay.plan_for(7, True)
    first = replay.announce(book, feed, plan, speed=10)
    assert replay.announce(book, feed, plan, speed=10) == first
    book.save(replace(first, status="retired"))
    second = replay.announce(book, feed, plan, speed=10)
    log.close()
    assert (first.match_id[-2:], second.match_id[-2:]) == (".1", ".2")
    assert second.believed.odds[-1] == "simulated"
