"""Recorded matches as live feeds: announced, leased, played once, played anew, and played on after a restart."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import cluster.player as player
from actors.adapters import feed_writer
from actors.adapters.embedded_log import SqliteLog
from actors.adapters.feeds import FeedBuilder, MatchFeed
from actors.domain.errors import StoreUnavailable
from actors.domain.events import Card, Clock, FeedRecord, Goal, Odds, decode_record
from actors.domain.fixtures import Believed, Fixture, Lease, Team
from actors.domain.forecast import EpochOpen
from actors.domain.ports import FEED, FIXTURES, FORECASTS, LogRecord, NewRecord
from actors.machines.replay import NO_NOISE, ReplayPlan, rename, schedule
from actors.supervisor import FixtureBook
from cluster.player import FeedPlayer, PlayerSettings
from tests.conftest import eventually
from tests.unit.audited import NOW, TOPICS, open_log, say
from tests.unit.fakes import MemoryLog

MATCH, OTHER = "made:1", "made:2"
NOISY = ReplayPlan(seed=4, reorder=0.2, duplicate=0.3, gap=0.1, correction=0.5)
Players = list[FeedPlayer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, write in small batches, and do not wait long before trying again."""
    monkeypatch.setattr(player, "_LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(player, "_RETRY_S", 0.005)
    monkeypatch.setattr(feed_writer, "BATCH", 7)
    monkeypatch.setattr(feed_writer, "BACKOFF_S", 0.001)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


@pytest.fixture
def players() -> Iterator[Players]:
    """Players to be stopped behind the test."""
    started: Players = []
    yield started
    for each in started:
        each.stop()


def a_feed(match_id: str = MATCH) -> MatchFeed:
    fixture = Fixture(
        match_id=match_id,
        kick_off=NOW,
        home=Team(name="A"),
        away=Team(name="B"),
        believed=Believed(events="made", clock="made", odds=("book",)),
    )
    builder = FeedBuilder(fixture, "made")
    book = Odds(market="1x2", selections=("home", "draw", "away"), prices=(2.0, 3.0, 4.0))
    builder.before(100, "odds", book, provider="book")
    for minute in range(1, 9):
        builder.add(Clock(1, minute * 10_000), f"g{minute}", Goal(side="home"))
        builder.add(Clock(2, minute * 10_000), f"c{minute}", Card(side="away", colour="yellow", player_id=f"{minute}"))
    builder.phases({1: 100_000, 2: 100_000})
    return builder.build()


def play(
    players: Players,
    log: SqliteLog | MemoryLog,
    *feeds: MatchFeed,
    plan: ReplayPlan = NO_NOISE,
    loop: bool = True,
    owner_within_s: float = 0.0,
) -> FeedPlayer:
    how = PlayerSettings(speed=0.0, loop=loop, plan=plan, owner_within_s=owner_within_s)
    players.append(FeedPlayer(lambda: log, lambda: feeds or [a_feed()], how))
    return players[-1]


def announced(log: SqliteLog | MemoryLog) -> dict[str, Fixture]:
    book = FixtureBook(log)
    book.refresh()
    return book.fixtures


def lease(log: SqliteLog | MemoryLog, match_id: str, partition: int = 0) -> None:
    """Do the supervisor's part."""
    eventually(lambda: match_id in announced(log))
    start = log.end_offsets(FEED)[partition]
    begins = log.end_offsets(FORECASTS)[partition]
    granted = Lease(partition=partition, start_offset=start, forecasts_from=begins)
    FixtureBook(log).save(replace(announced(log)[match_id], lease=granted))


def retire(log: SqliteLog | MemoryLog, match_id: str) -> None:
    FixtureBook(log).save(replace(announced(log)[match_id], status="retired"))


def sent(log: SqliteLog | MemoryLog, match_id: str, partition: int = 0) -> list[tuple[str, int, str, int]]:
    """What the log has of a match, in order; raises if a record is not one."""
    records = log.read(FEED, {partition: 0}, 100_000, 0.0) if log.end_offsets(FEED)[partition] else []
    return [_identity(decode_record(r.key, r.value)) for r in records if r.key == match_id]


def expected(match_id: str, plan: ReplayPlan = NO_NOISE, base: str = MATCH) -> list[tuple[str, int, str, int]]:
    feed = rename(a_feed(base), match_id, NOW)
    return [_identity(timed.record) for timed in schedule(feed, plan)]


def _identity(record: FeedRecord) -> tuple[str, int, str, int]:
    return record.provider, record.provider_seq, record.event_id, record.version


def test_a_match_is_announced_and_not_played_before_it_is_leased(log: SqliteLog, players: Players) -> None:
    playing = play(players, log)
    eventually(lambda: playing.playing() == [f"{MATCH}.1"])
    fixture = announced(log)[f"{MATCH}.1"]
    assert (fixture.lease, fixture.status, fixture.home.name) == (None, "scheduled", "A")
    assert sent(log, f"{MATCH}.1") == []
    lease(log, f"{MATCH}.1")
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))


class CountingLog(MemoryLog):
    """Says how often the player has looked for fixtures."""

    looks = 0

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        self.looks += topic == FIXTURES
        return super().read(topic, positions, max_records, wait_s)


def test_a_match_waits_for_the_owners_of_all(players: Players) -> None:
    log = CountingLog()
    play(players, log, a_feed(), a_feed(OTHER), owner_within_s=60.0)
    for partition, match_id in enumerate((f"{MATCH}.1", f"{OTHER}.1")):
        lease(log, match_id, partition)
    say(log, EpochOpen(match_id=f"{MATCH}.1", epoch=0, owner="a"), partition=0)
    looks = log.looks
    eventually(lambda: log.looks > looks + 20)
    assert FEED not in log.topics
    say(log, EpochOpen(match_id=f"{OTHER}.1", epoch=0, owner="b"), partition=1)
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))
    eventually(lambda: sent(log, f"{OTHER}.1", 1) == expected(f"{OTHER}.1", base=OTHER))


def test_once_it_is_retired_a_match_begins_anew_as_another_fixture(log: SqliteLog, players: Players) -> None:
    playing = play(players, log)
    for run in (1, 2, 3):
        match_id = f"{MATCH}.{run}"
        lease(log, match_id)
        eventually(lambda match_id=match_id: sent(log, match_id) == expected(match_id))
        retire(log, match_id)
    eventually(lambda: playing.playing() == [f"{MATCH}.4"])
    assert sorted(announced(log)) == [f"{MATCH}.{run}" for run in (1, 2, 3, 4)]
    assert announced(log)[f"{MATCH}.2"].status == "retired"


def test_without_a_loop_each_match_is_played_once(log: SqliteLog, players: Players) -> None:
    playing = play(players, log, loop=False)
    lease(log, f"{MATCH}.1")
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))
    retire(log, f"{MATCH}.1")
    playing.stop()
    play(players, log, loop=False)
    eventually(lambda: players[-1].playing() == [f"{MATCH}.1"])
    assert sorted(announced(log)) == [f"{MATCH}.1"]
    assert sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1")


def test_a_match_that_was_retired_before_its_end_is_not_played_to_it(players: Players) -> None:
    """Its partition may be another's by now."""
    log = CountingLog()
    gone = replace(a_feed().fixture, match_id=f"{MATCH}.1", lease=Lease(partition=0, start_offset=0), status="retired")
    FixtureBook(log).save(gone)
    play(players, log, loop=False)
    eventually(lambda: log.looks > 20)
    assert players[-1].playing() == [f"{MATCH}.1"]
    assert FEED not in log.topics


def test_a_player_that_was_restarted_takes_up_the_newest_run(log: SqliteLog, players: Players) -> None:
    first = play(players, log)
    lease(log, f"{MATCH}.1")
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))
    retire(log, f"{MATCH}.1")
    eventually(lambda: first.playing() == [f"{MATCH}.2"])
    first.stop()
    lease(log, f"{MATCH}.2")
    play(players, log)
    eventually(lambda: sent(log, f"{MATCH}.2") == expected(f"{MATCH}.2"))
    assert sorted(announced(log)) == [f"{MATCH}.1", f"{MATCH}.2"]


class Dead(Exception):
    """The process is gone; nothing that its thread still tries has an effect."""


class MortalLog:
    """A log that a process loses at its n-th append to the feed: before the append takes effect, or after."""

    def __init__(self, log: MemoryLog, dies_at: int, after: bool) -> None:
        self._log, self._left, self._after = log, dies_at, after

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        self._live()
        self._left -= topic == FEED
        if self._left > 0:
            return self._log.append(topic, partition, records)
        if self._after:
            self._log.append(topic, partition, records)
        raise Dead

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        self._live()
        return self._log.read(topic, positions, max_records, wait_s)

    def end_offsets(self, topic: str) -> dict[int, int]:
        self._live()
        return self._log.end_offsets(topic)

    def close(self) -> None: ...

    @property
    def is_dead(self) -> bool:
        return self._left <= 0

    def _live(self) -> None:
        if self.is_dead:
            raise Dead


@settings(max_examples=25, deadline=None)
@given(
    deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=4),
    plan=st.sampled_from([NO_NOISE, NOISY]),
)
def test_wherever_the_player_dies_no_record_is_missing_and_none_comes_twice(
    deaths: list[tuple[int, bool]], plan: ReplayPlan
) -> None:
    log, started = MemoryLog(partitions=len(TOPICS)), list[FeedPlayer]()
    match_id = f"{MATCH}.1"
    complete = expected(match_id, plan)
    try:
        FixtureBook(log).save(replace(a_feed().fixture, match_id=match_id, lease=Lease(partition=0, start_offset=0)))
        for dies_at, after in deaths:
            mortal = MortalLog(log, dies_at, after)
            play(started, mortal, plan=plan)  # type: ignore[arg-type]
            eventually(lambda mortal=mortal: mortal.is_dead or sent(log, match_id) == complete)
            started[-1].stop()
        play(started, log, plan=plan)
        eventually(lambda: len(sent(log, match_id)) >= len(complete))
        assert sent(log, match_id) == complete
    finally:
        for each in started:
            each.stop()


def test_a_log_that_does_not_answer_now_and_then_loses_nothing(players: Players) -> None:
    class Unsteady(MemoryLog):
        calls = 0

        def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
            self.calls += 1
            if self.calls % 3 == 0:
                raise StoreUnavailable("log", "append", "refused")
            return super().append(topic, partition, records)

    log = Unsteady()
    playing = play(players, log)
    eventually(lambda: playing.playing() != [])
    FixtureBook(log).save(replace(announced(log)[f"{MATCH}.1"], lease=Lease(partition=0, start_offset=0)))
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))


def test_a_match_whose_beginning_retention_has_taken_holds_up_nobody(log: SqliteLog, players: Players) -> None:
    playing = play(players, log, a_feed(), a_feed(OTHER))
    lease(log, f"{MATCH}.1", 0)
    eventually(lambda: sent(log, f"{MATCH}.1") == expected(f"{MATCH}.1"))
    playing.stop()
    log.prune(FEED, 0, 5)
    play(players, log, a_feed(), a_feed(OTHER))
    lease(log, f"{OTHER}.1", 1)
    eventually(lambda: sent(log, f"{OTHER}.1", 1) == expected(f"{OTHER}.1", base=OTHER))
    assert log.end_offsets(FEED)[0] == len(expected(f"{MATCH}.1"))
    retire(log, f"{MATCH}.1")
    eventually(lambda: f"{MATCH}.2" in announced(log))
