"""A match's owner is stopped for twenty seconds while another takes over, and goes on: nobody ever sees its numbers."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import actors.match as match
from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_snapshots import CassandraSnapshots
from actors.adapters.kafka_log import KafkaLog
from actors.domain.chain import check_chain
from actors.domain.events import Clock, FeedRecord, KickOff, Tick, encode_record
from actors.domain.fixtures import Believed, Fixture, Lease, Team, encode_fixture
from actors.domain.forecast import EpochOpen, Forecast, Published, decode_published, encode_published
from actors.domain.ports import FEED, FIXTURES, FORECASTS, NewRecord, ViewEntry
from actors.domain.published import read_all
from actors.history_writer import HistoryWriter
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSettings
from actors.snapshots import PatientSnapshots
from tests.cluster.logs import everything
from tests.conftest import eventually
from tests.contract import real_cassandra, real_kafka, real_redis
from tests.contract.twins import spawned
from tests.unit.fakes import predict

STOPPED_S = 20.0
NAMESPACE = "zombie"
MATCH = "test:1"
AT = datetime(2026, 8, 1, 15, tzinfo=UTC)
TOPICS = {FEED: 2, FORECASTS: 2, FIXTURES: 1}
FIXTURE = Fixture(
    match_id=MATCH,
    kick_off=AT,
    home=Team(name="Home"),
    away=Team(name="Away"),
    believed=Believed(events="test", clock="test"),
    lease=Lease(partition=1, start_offset=0),
)


def open_log() -> KafkaLog:
    return real_kafka.open_log(NAMESPACE, TOPICS)  # type: ignore[return-value]


def open_snapshots() -> CassandraSnapshots:
    return real_cassandra.open_snapshots(NAMESPACE)  # type: ignore[return-value]


def an_owner(**changes: float) -> MatchActor:
    ports = MatchPorts(log=open_log(), snapshots=PatientSnapshots(open_snapshots), predict=predict)
    settings = MatchSettings(read_wait_s=0.1, read_batch=20, snapshot_every_s=1.0, conflate_behind_records=10_000)
    return MatchActor(FIXTURE, lambda: ports, msgspec.structs.replace(settings, **changes))


def own_until_killed() -> None:
    """Own the match with a pulse so slow that what it does when it goes on is to publish, not to look who owns it."""
    match._PULSE_EVERY_S = 120.0
    # Before a save it looks too, so it is not to be stopped in one; where its write failed, it does not claim again.
    an_owner(snapshot_every_s=15.0, retry_first_s=600.0, retry_most_s=600.0)
    threading.Event().wait()


@contextmanager
def ticking(log: KafkaLog) -> Iterator[None]:
    """Play a match at a hundred times real speed for the length of the block."""
    stop = threading.Event()

    def tick() -> None:
        seconds = 0
        while not stop.wait(0.05):
            seconds += 5
            log.append(FEED, 1, [a_record(Tick(), 1, seconds * 1_000)])

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join(10)


def a_record(payload: KickOff | Tick, seq: int, ms: int) -> NewRecord:
    at = AT + timedelta(milliseconds=ms)
    record = FeedRecord(
        match_id=MATCH,
        provider="test",
        provider_seq=seq,
        event_id=f"{type(payload).__name__}-{ms}",
        occurred_at=at,
        received_at=at,
        clock=Clock(1, ms),
        payload=payload,
    )
    return NewRecord(key=MATCH, value=encode_record(record))


def published(log: KafkaLog) -> list[tuple[int, Published]]:
    return [(r.offset, decode_published(r.value or b"")) for r in everything(log, FORECASTS, 1, 0)]


def forecasts_of(log: KafkaLog, epoch: int) -> int:
    return sum(isinstance(each, Forecast) and each.epoch == epoch for _, each in published(log))


@pytest.mark.real_store
def test_a_stopped_owner_that_comes_back_to_life_is_ignored_by_everybody(services: object) -> None:
    log = open_log()
    log.append(FIXTURES, 0, [NewRecord(key=MATCH, value=encode_fixture(FIXTURE))])
    log.append(FEED, 1, [a_record(KickOff(), 1, 0)])
    open_history = lambda: real_cassandra.open_history(NAMESPACE)  # noqa: E731 - it is handed over twice
    open_history().close()
    writer = HistoryWriter(open_log, open_history)
    with spawned(own_until_killed) as zombie, ticking(log):
        eventually(lambda: forecasts_of(log, 0) > 20, timeout_s=180, every_s=0.2)
        assert zombie.pid is not None
        os.kill(zombie.pid, signal.SIGSTOP)
        owner = an_owner()
        time.sleep(STOPPED_S)
        assert forecasts_of(log, 1) > 50, "the match went on"
        os.kill(zombie.pid, signal.SIGCONT)
        _deliver_what_was_on_its_way(log)
        time.sleep(5.0)
        owner.stop()
    records = published(log)
    _check_readers(records)
    _check_stores(log, [each for _, each in records], open_history)
    writer.stop()
    log.close()


def _deliver_what_was_on_its_way(log: KafkaLog) -> None:
    """Append what a broker may still take of the zombie at any time, in case it was stopped with nothing in hand."""
    last = [each for _, each in published(log) if isinstance(each, Forecast) and each.epoch == 0][-1]
    late = msgspec.structs.replace(last, seq=last.seq + 1_000_000)
    log.append(FORECASTS, 1, [NewRecord(key=MATCH, value=encode_published(late))])


def _check_readers(records: list[tuple[int, Published]]) -> None:
    """Everything that the zombie wrote behind its successor's marker is dropped, by the rule and by Redis alike."""
    taken_over = next(offset for offset, each in records if isinstance(each, EpochOpen) and each.epoch == 1)
    late = [each for offset, each in records if offset > taken_over and each.epoch == 0]
    ignored = [each for each in late if isinstance(each, Forecast)]
    assert ignored, "the zombie wrote, or this test shows nothing"
    _, counted = read_all(each for _, each in records)
    assert not [each for each in counted if each in late]
    with closing(real_redis.open_view(NAMESPACE, 100)) as view:
        taken = {offset: view.put(_entry(offset, each)) for offset, each in records if isinstance(each, Forecast)}
    shown = [offset for offset, each in records if taken.get(offset) and each.epoch == 0]
    first_of_successor = min(offset for offset, each in records if isinstance(each, Forecast) and each.epoch == 1)
    assert not [offset for offset in shown if offset > first_of_successor]


def _check_stores(log: KafkaLog, records: list[Published], open_history: object) -> None:
    _, counted = read_all(records)
    expected = [each.seq for each in counted if isinstance(each, Forecast)]
    with closing(open_snapshots()) as snapshots:
        snapshot = snapshots.load(MATCH)
    assert snapshot is not None and snapshot.epoch == 1
    with closing(open_history()) as history:  # type: ignore[operator]
        assert isinstance(history, CassandraHistory)
        eventually(lambda: [row.seq for row in history.predictions(MATCH, -1, 10_000)] == expected, timeout_s=90)
        rows = history.predictions(MATCH, -1, 10_000)
        assert check_chain(rows, history.heads(MATCH), history.feature_snapshot) == (len(expected), None)


def _entry(offset: int, forecast: Forecast) -> ViewEntry:
    return ViewEntry(
        match_id=MATCH, epoch=forecast.epoch, seq=forecast.seq, partition=1, offset=offset, value=b"forecast"
    )
