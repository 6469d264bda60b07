"""A played match on the real embedded log and in real history, for the tests of those who copy and check it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.assemble import replace_hash
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.events import Clock, FeedRecord, FullTime, Goal, KickOff, PeriodEnd, PeriodStart, Tick, encode_record
from actors.domain.fixtures import Believed, Fixture, Lease, Team, encode_fixture
from actors.domain.forecast import Forecast, Published, decode_published, encode_published
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS, MODELS, EventLog, NewRecord, PredictionRow
from actors.history_writer import ForecastCopier
from actors.session import MatchPorts, MatchSession, MatchSettings
from tests.unit import fakes
from tests.unit.api_world import prediction_row
from tests.unit.fakes import MemorySnapshots

NOW = datetime(2026, 8, 1, 15, tzinfo=UTC)
PARTITIONS = 4
TOPICS = {FEED: PARTITIONS, FORECASTS: PARTITIONS, FIXTURES: 1, MODELS: 1, DEAD_LETTERS: 1}
MATCH = "fake:1"
SETTINGS = MatchSettings(read_batch=4, read_wait_s=0.0, conflate_behind_records=1_000)


def open_log(folder: Path) -> SqliteLog:
    """Open the log as every process does: one of its own."""
    return SqliteLog(folder / "log", TOPICS)


def open_history(folder: Path) -> SqliteHistory:
    return SqliteHistory(folder / "history.db")


def a_fixture(match_id: str = MATCH, partition: int = 0, *, start: int = 0, forecasts_from: int = 0) -> Fixture:
    return Fixture(
        match_id=match_id,
        kick_off=NOW,
        home=Team(name="Home"),
        away=Team(name="Away"),
        believed=Believed(events="fake", clock="fake", odds=()),
        lease=Lease(partition=partition, start_offset=start, forecasts_from=forecasts_from),
    )


def announce(log: EventLog, *fixtures: Fixture) -> None:
    log.append(FIXTURES, 0, [NewRecord(key=each.match_id, value=encode_fixture(each)) for each in fixtures])


def a_feed(match_id: str = MATCH, ticks: int = 12) -> list[bytes]:
    """A whole match of few words: a goal, and some ticks at which a new forecast is due."""
    payloads = [
        (KickOff(), Clock(1, 0)),
        *((Tick(), Clock(1, 5_000 * number)) for number in range(1, ticks + 1)),
        (Goal(side="home"), Clock(1, 5_000 * ticks + 1)),
        (PeriodEnd(), Clock(1, 2_760_000)),
        (PeriodStart(), Clock(2, 0)),
        (PeriodEnd(), Clock(2, 2_800_000)),
        (FullTime(), Clock(2, 2_800_000)),
    ]
    seq, records = 0, []
    for number, (payload, clock) in enumerate(payloads):
        seq += not isinstance(payload, Tick)
        record = FeedRecord(
            match_id=match_id,
            provider="fake",
            provider_seq=seq,
            event_id=f"e{number}",
            occurred_at=NOW,
            received_at=NOW,
            clock=clock,
            payload=payload,
        )
        records.append(encode_record(record))
    return records


def send(log: EventLog, fixture: Fixture, values: Iterable[bytes]) -> None:
    assert fixture.lease is not None
    log.append(FEED, fixture.lease.partition, [NewRecord(key=fixture.match_id, value=value) for value in values])


def own(log: EventLog, fixture: Fixture) -> MatchSession:
    """Take the match over."""
    assert fixture.lease is not None
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=fakes.predict)
    return MatchSession(fixture, fixture.lease, ports, SETTINGS)


def play(log: EventLog, fixture: Fixture) -> MatchSession:
    """Own the match and publish all that its feed has, to the head of its chain."""
    session = own(log, fixture)
    while session.advance():
        pass
    return session


def copy_all(log: EventLog, history: SqliteHistory) -> None:
    copier = ForecastCopier(log, history)
    while copier.copy(0.0):
        pass


def a_played_match(folder: Path, match_id: str = MATCH, partition: int = 0) -> Fixture:
    """Announce, play and copy one match."""
    log, history, fixture = open_log(folder), open_history(folder), a_fixture(match_id, partition)
    announce(log, fixture)
    send(log, fixture, a_feed(match_id))
    play(log, fixture)
    copy_all(log, history)
    log.close()
    history.close()
    return fixture


def published(log: EventLog, partition: int = 0) -> list[Published]:
    records = log.read(FORECASTS, {partition: 0}, 10_000, 0.0)
    return [decode_published(record.value or b"") for record in records]


def say(log: EventLog, *records: Published, partition: int = 0) -> None:
    """Append to forecasts.v1 as a match's owner would, or somebody who takes himself for it."""
    values = [NewRecord(key=each.match_id, value=encode_published(each)) for each in records]
    log.append(FORECASTS, partition, values)


def rechained(rows: Sequence[PredictionRow], prev_hash: str, **changes: object) -> list[PredictionRow]:
    """Rewrite rows as a forger would: other content, every hash right."""
    forged = []
    for row in rows:
        forecast = decode_published(row.forecast)
        assert isinstance(forecast, Forecast)
        forecast = replace_hash(replace(forecast, prev_hash=prev_hash, **changes))
        prev_hash = forecast.row_hash
        forged.append(prediction_row(forecast))
    return forged


class FakeModel:
    """The forecaster of `fakes`, as an audit loads it; one that drifts sees another clock than it should."""

    model_version = "fake-1"

    def __init__(self, drift_ms: int = 0) -> None:
        self._drift_ms = drift_ms

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        return fakes.predict([replace(each, clock_ms=each.clock_ms + self._drift_ms) for each in inputs])
