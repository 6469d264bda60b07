"""The actor around a match: it outlives what fails, never fences itself, and says honestly how old its knowledge is."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

import actors.match as match
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable, StoreUnavailable
from actors.domain.events import encode_record
from actors.domain.fixtures import Fixture, Lease
from actors.domain.forecast import ChainHead, EpochOpen, Forecast, Pulse
from actors.domain.letters import decode_letter
from actors.domain.ports import DEAD_LETTERS, FEED, FORECASTS, LogRecord, MatchSnapshot, NewRecord
from actors.domain.published import read_all
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSession, MatchSettings
from tests.conftest import eventually
from tests.unit.audited import MATCH, SETTINGS, a_feed, a_fixture, published, send
from tests.unit.builders import a_prior, told_before
from tests.unit.fakes import MemoryLog, MemorySnapshots, predict

QUICK = MatchSettings(read_batch=4, read_wait_s=0.0, retry_first_s=0.001, retry_most_s=0.002)


@pytest.fixture(autouse=True)
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "_PULSE_EVERY_S", 0.005)


class PatientLog(MemoryLog):
    """A log that threads may share, whose stamps can lie in the past, and where reading waits a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.ago = timedelta()
        self._lock = threading.Lock()
        self._nap = threading.Event()

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        with self._lock:
            offsets = super().append(topic, partition, records)
            stored = self.topics[topic][partition]
            for offset in offsets:
                stored[offset] = replace(stored[offset], appended_at=datetime.now(UTC) - self.ago)
            return offsets

    def read(self, topic: str, positions: dict[int, int], max_records: int, wait_s: float) -> list[LogRecord]:  # type: ignore[override]
        with self._lock:
            found = super().read(topic, positions, max_records, wait_s)
        if not found and topic == FEED:
            self._nap.wait(0.002)
        return found


@pytest.fixture
def log() -> PatientLog:
    return PatientLog()


Actors = list[MatchActor]


@pytest.fixture
def actors() -> Iterator[Actors]:
    """Actors to be stopped behind the test."""
    started: Actors = []
    yield started
    for actor in started:
        actor.stop()


def pulses(log: PatientLog) -> list[Pulse]:
    return [record for record in published(log) if isinstance(record, Pulse)]


def forecasts(log: PatientLog) -> list[Forecast]:
    return [record for record in read_all(published(log))[1] if isinstance(record, Forecast)]


class Flaky:
    """A forecaster that does not answer the first few times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        self.failures -= 1
        if self.failures >= 0:
            raise ForecasterUnavailable(0.1, "starting")
        return predict(inputs)


def test_a_session_is_not_fenced_by_its_successor_in_the_same_actor(log: PatientLog, actors: Actors) -> None:
    """The successor's marker is in the log long before it is ready: meanwhile the old session must not look."""

    class SlowSnapshots(MemorySnapshots):
        def load(self, match_id: str) -> MatchSnapshot | None:
            threading.Event().wait(0.05)  # ten pulses
            return super().load(match_id)

    fixture = a_fixture()
    send(log, fixture, a_feed())
    ports = MatchPorts(log=log, snapshots=SlowSnapshots(), predict=Flaky(3))
    actors.append(MatchActor(fixture, lambda: ports, QUICK))
    eventually(lambda: actors[0].progress().is_settled or actors[0].progress().is_fenced)
    assert not actors[0].progress().is_fenced
    assert actors[0].progress().epoch == 3
    assert len(forecasts(log)) > 10
    count = len(pulses(log))
    eventually(lambda: len(pulses(log)) > count)


def test_an_actor_whose_match_another_one_took_stops_and_says_so(log: PatientLog, actors: Actors) -> None:
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict)
    for _ in range(2):
        actors.append(MatchActor(a_fixture(), lambda: ports, QUICK))
        eventually(lambda: actors[-1].progress().epoch >= 0)
    eventually(lambda: actors[0].progress().is_fenced)
    assert not actors[1].progress().is_fenced


def test_while_the_forecaster_is_away_the_pulse_says_how_far_behind_the_match_is(
    log: PatientLog, actors: Actors
) -> None:
    """Each failure opens a new session, and none of them begins to count anew."""
    fixture = a_fixture()
    send(log, fixture, a_feed())
    away = Flaky(10**9)
    actors.append(MatchActor(fixture, lambda: MatchPorts(log=log, snapshots=MemorySnapshots(), predict=away), QUICK))
    eventually(lambda: any(pulse.own_lag_s > 0.3 and pulse.epoch > 5 for pulse in pulses(log)))
    away.failures = 0
    eventually(lambda: actors[0].progress().is_settled and pulses(log)[-1].own_lag_s == 0)


def session_of(log: PatientLog, fixture: Fixture | None = None, behind_since: float | None = None) -> MatchSession:
    fixture = fixture or a_fixture()
    assert fixture.lease is not None
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict)
    return MatchSession(fixture, fixture.lease, ports, SETTINGS, behind_since)


def pulse_of(log: PatientLog, session: MatchSession) -> Pulse:
    session.pulse()
    return pulses(log)[-1]


def test_a_feed_that_was_silent_before_a_restart_is_silent_behind_it(log: PatientLog) -> None:
    fixture = a_fixture()
    log.ago = timedelta(seconds=60)
    send(log, fixture, a_feed()[:4])
    log.ago = timedelta()
    session = session_of(log)
    assert pulse_of(log, session).feed_silent_s > 3  # nothing read yet: stale until proven alive
    session.advance()
    assert 59 < pulse_of(log, session).feed_silent_s < 61
    send(log, fixture, a_feed()[4:5])
    session.advance()
    assert pulse_of(log, session).feed_silent_s < 1


def test_a_prior_is_published_as_the_forecast_of_a_match_that_has_not_begun(log: PatientLog) -> None:
    send(log, a_fixture(), [encode_record(replace(told_before(), match_id=MATCH))])
    session_of(log).advance()
    (forecast,) = forecasts(log)
    assert (forecast.phase, forecast.trigger, forecast.status) == ("scheduled", "prematch", "MODEL_FALLBACK")
    assert forecast.inputs.prior == a_prior()


def test_a_session_that_has_not_looked_yet_does_not_claim_to_be_up_to_date(log: PatientLog) -> None:
    session = session_of(log)
    assert session.behind_since is not None
    session.advance()
    assert session.behind_since is None
    assert pulse_of(log, session).own_lag_s == 0


def test_on_a_shared_partition_a_match_reads_past_the_others(log: PatientLog) -> None:
    ours, theirs = a_feed(MATCH), a_feed("fake:2")
    shared = replace(a_fixture(), lease=Lease(partition=0, start_offset=0, shared=True))
    for our, their in zip(ours, theirs, strict=True):
        send(log, shared, [our])
        log.append(FEED, 0, [NewRecord(key="fake:2", value=their)] * 3)
    session = session_of(log, shared)
    while session.advance():
        pass
    assert session.next_offset == 4 * len(ours)
    assert session.state.offset == 4 * (len(ours) - 1)
    assert session.is_settled
    assert session.state.rejected == {}


def test_who_lets_go_of_a_match_puts_the_head_of_its_chain_on_record(log: PatientLog) -> None:
    send(log, a_fixture(), a_feed()[:6])
    session = session_of(log)
    while session.advance():
        pass
    session.close()
    last = published(log)[-1]
    assert isinstance(last, ChainHead)
    assert (last.seq, last.count, last.row_hash) == (
        forecasts(log)[-1].seq,
        len(forecasts(log)),
        forecasts(log)[-1].row_hash,
    )
    session.close()
    assert published(log)[-1] is not last
    assert len([record for record in published(log) if isinstance(record, ChainHead)]) == 1


def test_a_record_that_nobody_can_read_does_not_keep_a_match_from_being_owned(log: PatientLog, actors: Actors) -> None:
    broken = [NewRecord(key=MATCH, value=value) for value in (b"{", b'{"type":"epoch_open","epoch":"x"}')]
    log.append(FORECASTS, 0, broken)
    fixture = a_fixture()
    send(log, fixture, a_feed())
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict)
    actors.append(MatchActor(fixture, lambda: ports, QUICK))
    eventually(lambda: actors[0].progress().is_settled)
    log.append(FORECASTS, 0, broken)
    count = len(log.topics[FORECASTS][0])
    eventually(lambda: len(log.topics[FORECASTS][0]) > count + 2)
    assert actors[0].progress().failed is None


def test_a_pulse_that_dies_is_a_match_that_failed(log: PatientLog, actors: Actors) -> None:
    class Sick(PatientLog):
        def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
            if b'"pulse"' in (records[0].value or b""):
                raise RuntimeError("a bug of ours")
            return super().append(topic, partition, records)

    sick = Sick()
    ports = MatchPorts(log=sick, snapshots=MemorySnapshots(), predict=predict)
    actors.append(MatchActor(a_fixture(), lambda: ports, QUICK))
    eventually(lambda: actors[0].progress().failed)
    assert actors[0].progress().failed == "RuntimeError('a bug of ours')"


def test_an_error_that_no_retry_cures_is_told_to_the_supervisor(log: PatientLog, actors: Actors) -> None:
    def wrong(inputs: list[ForecastInputs]) -> list[Prediction]:
        raise ZeroDivisionError

    fixture = a_fixture()
    send(log, fixture, a_feed())
    actors.append(MatchActor(fixture, lambda: MatchPorts(log=log, snapshots=MemorySnapshots(), predict=wrong), QUICK))
    eventually(lambda: actors[0].progress().failed)
    assert actors[0].progress().failed == "ZeroDivisionError()"
    assert [type(record) for record in published(log) if not isinstance(record, Pulse)] == [EpochOpen]


def test_stopping_saves_what_is_folded(log: PatientLog) -> None:
    fixture, snapshots = a_fixture(), MemorySnapshots()
    send(log, fixture, a_feed()[:5])
    actor = MatchActor(fixture, lambda: MatchPorts(log=log, snapshots=snapshots, predict=predict), QUICK)
    eventually(lambda: actor.progress().next_offset == 5)
    actor.stop()
    assert snapshots.kept[MATCH].offset == 4
    assert isinstance(published(log)[-1], ChainHead)


def test_a_snapshot_store_that_is_away_costs_no_forecast(log: PatientLog) -> None:
    class Away(MemorySnapshots):
        def load(self, match_id: str) -> MatchSnapshot | None:
            raise StoreUnavailable("away", "load", "no answer")

    fixture = a_fixture()
    send(log, fixture, a_feed())
    assert fixture.lease is not None
    ports = MatchPorts(log=log, snapshots=Away(), predict=predict)
    for _ in range(2):  # the second owner folds all of it again
        session = MatchSession(fixture, fixture.lease, ports, SETTINGS)
        while session.advance():
            pass
    counted = [each for each in published(log) if isinstance(each, Forecast)]
    assert counted and session.is_settled
    assert len({each.seq for each in counted}) == len(counted)


def test_what_is_lost_of_a_shared_partition_is_a_gap_of_every_match_on_it(log: PatientLog) -> None:
    fixture = a_fixture()
    assert fixture.lease is not None
    lease = replace(fixture.lease, shared=True)
    send(log, fixture, a_feed()[:3])
    stored = log.topics[FEED][lease.partition]
    stored.append(replace(stored[-1], offset=len(stored), key=None, value=None, problem="damaged"))
    stored.append(replace(stored[-2], offset=len(stored), key="fake:2"))
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict)
    session = MatchSession(fixture, lease, ports, SETTINGS)
    while session.advance():
        pass
    last = [each for each in published(log) if isinstance(each, Forecast)][-1]
    assert (last.status, "records_lost" in last.reasons) == ("GAP", True)
    assert [decode_letter(r.value or b"").reason for r in log.topics[DEAD_LETTERS][0]] == ["damaged"]
