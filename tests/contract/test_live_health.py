"""Model health is read from history alone, of either kind, and is the same read at once and as it grows."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from actors.domain.distribution import ForecastInputs
from actors.domain.drift import REFERENCE, Reference, describe
from actors.domain.events import Clock
from actors.domain.fixtures import Fixture, encode_fixture
from actors.domain.forecast import AsOf, Forecast
from actors.domain.health import HealthReport
from actors.domain.judged import CLOCKS
from actors.domain.ports import FIXTURES, HistoryBatch, NewRecord, PredictionRow
from cluster.health import NO_MATCH, NO_REFERENCE, NO_RESULT, HealthSettings, LiveMatches, references_of, report
from tests.contract.twins import HISTORIES, AnyHistory, open_history
from tests.unit.api_world import KICK_OFF, MODEL, a_fixture, a_forecast, prediction_row
from tests.unit.fakes import MemoryLog

NOW = KICK_OFF + timedelta(hours=3)
SETTINGS = HealthSettings(window_days=30, matches=50)
LATER = "later-1"


@pytest.fixture(params=HISTORIES)
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyHistory]:
    history = open_history(str(request.param), str(tmp_path))
    yield history
    history.close()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(partitions=1)


def a_match(match_id: str, ticks: int = 3, swapped_at: int = 99, result: str | None = "home") -> list[Forecast]:
    """A whole match: `ticks` forecasts to a judged minute, and the settled one."""
    clocks = [Clock(at.period, at.ms + tick) for at in CLOCKS for tick in range(ticks)] + [Clock(3, 0)]
    return [
        a_forecast(
            match_id,
            seq,
            as_of=AsOf(clock=clock, occurred_at=KICK_OFF),
            inputs=ForecastInputs(period=clock.period, clock_ms=clock.ms, league="E0"),
            model_version=LATER if seq >= swapped_at else MODEL,
            settled={"1x2": result} if clock.period == 3 and result else None,
        )
        for seq, clock in enumerate(clocks)
    ]


def keep(history: AnyHistory, forecasts: list[Forecast]) -> None:
    history.write(HistoryBatch(predictions=tuple(map(prediction_row, forecasts))))


def announce(log: MemoryLog, *fixtures: Fixture) -> None:
    log.append(FIXTURES, 0, [NewRecord(key=each.match_id, value=encode_fixture(each)) for each in fixtures])


def follow(log: MemoryLog, history: AnyHistory, settings: HealthSettings = SETTINGS) -> LiveMatches:
    return LiveMatches(log, history, settings, pause=lambda: None)


def health(matches: LiveMatches, history: AnyHistory, now: datetime = NOW) -> HealthReport:
    return report(matches.matches(), references_of(history, {}), now, SETTINGS.window_days)


def pack_with(reference: Reference) -> bytes:
    return msgspec.msgpack.encode({REFERENCE: msgspec.json.encode(reference)})


def test_without_matches_every_part_says_why_it_is_not_there(log: MemoryLog, history: AnyHistory) -> None:
    history.write_model(MODEL, b"{}", msgspec.msgpack.encode({}))
    matches = follow(log, history)
    assert not matches.refresh(NOW)
    found = health(matches, history).versions[MODEL]
    assert (found.phases, found.phases_reason) == (None, NO_RESULT)
    assert (found.drift, found.drift_reason) == (None, NO_REFERENCE)


def test_each_minute_of_a_settled_match_is_scored_once_under_the_version_that_made_it(
    log: MemoryLog, history: AnyHistory
) -> None:
    for version in (MODEL, LATER):
        history.write_model(version, b"{}", msgspec.msgpack.encode({}))
    announce(log, *(a_fixture(f"a:{number}", partition=number, retired=number < 3) for number in (1, 2, 3)))
    keep(history, a_match("a:1"))
    keep(history, a_match("a:2", swapped_at=9))  # between the 30th minute and half time
    keep(history, a_match("a:3", result=None))
    matches = follow(log, history)
    assert matches.refresh(NOW)
    found = health(matches, history)
    assert found.served.scored_matches == 2
    assert [(each.minute, each.matches) for each in found.served.phases or ()] == [(m, 2) for m in CLOCKS.values()]
    assert [each.matches for each in found.versions[MODEL].phases or ()] == [2, 2, 2, 1, 1, 1, 1]
    assert [each.minute for each in found.versions[LATER].phases or ()] == [45, 60, 75, 85]
    assert not matches.refresh(NOW)


def test_reading_as_history_grows_is_reading_it_at_once(log: MemoryLog, history: AnyHistory) -> None:
    announce(log, a_fixture("a:1"))
    forecasts, growing = a_match("a:1", ticks=200), follow(log, history)
    for begin in range(0, len(forecasts), 90):
        keep(history, forecasts[begin : begin + 90])
        assert growing.refresh(NOW)
    at_once = follow(log, history)
    at_once.refresh(NOW)
    assert health(growing, history) == health(at_once, history)
    assert health(at_once, history).served.scored_matches == 1


def test_a_retired_match_is_read_on_until_its_result_is_in_history(log: MemoryLog, history: AnyHistory) -> None:
    announce(log, a_fixture("a:1", retired=True))
    forecasts, matches = a_match("a:1"), follow(log, history)
    keep(history, forecasts[:5])
    matches.refresh(NOW)
    keep(history, forecasts[5:])
    matches.refresh(NOW)
    assert health(matches, history).served.scored_matches == 1


def test_a_recorded_match_that_is_played_again_counts_once_and_old_ones_not_at_all(
    log: MemoryLog, history: AnyHistory
) -> None:
    announce(log, *(a_fixture(f"a:1.{run}", partition=run, retired=True) for run in (9, 10, 11)))
    keep(history, a_match("a:1.9", result="away"))
    keep(history, a_match("a:1.10", result="draw"))
    keep(history, a_match("a:1.11", result=None))
    matches = follow(log, history)
    matches.refresh(NOW)
    [only] = matches.matches()
    assert only.result == 1
    assert matches.refresh(NOW + timedelta(days=31))
    assert matches.matches() == []


def test_only_the_newest_matches_are_read(log: MemoryLog, history: AnyHistory) -> None:
    early = msgspec.structs.replace(a_fixture("a:1"), kick_off=KICK_OFF - timedelta(days=1))
    announce(
        log,
        early,
        a_fixture("a:2", partition=1),
        msgspec.structs.replace(a_fixture("a:3", partition=2), kick_off=NOW + timedelta(days=1)),
    )
    keep(history, a_match("a:1", result="away"))
    keep(history, a_match("a:2", result="home"))
    matches = follow(log, history, HealthSettings(matches=1))
    matches.refresh(NOW)
    assert [each.result for each in matches.matches()] == [0]


def test_inputs_are_compared_with_those_of_the_fit_of_each_version(log: MemoryLog, history: AnyHistory) -> None:
    rows = {minute: [ForecastInputs(league="E0")] * 100 + [ForecastInputs()] * 5 for minute in CLOCKS.values()}
    reference = Reference(inputs=(describe("league", rows),))
    history.write_model(MODEL, b"{}", pack_with(reference))
    history.write_model(LATER, b"{}", pack_with(reference))
    history.write_model("broken-1", b"{}", msgspec.msgpack.encode({REFERENCE: b"{"}))
    announce(log, *(a_fixture(f"a:{number}", partition=number) for number in range(40)))
    for number in range(40):
        keep(history, a_match(f"a:{number}", ticks=1, result=None))
    matches = follow(log, history)
    matches.refresh(NOW)
    versions = health(matches, history).versions
    [league] = versions[MODEL].drift or ()
    assert (league.input, league.matches, league.missing, league.shifted) == ("league", 40, 0.0, False)
    assert (versions[LATER].drift, versions[LATER].drift_reason) == (None, NO_MATCH)
    assert (versions["broken-1"].drift, versions["broken-1"].drift_reason) == (None, NO_REFERENCE)


def test_a_row_that_cannot_be_read_hides_no_other(log: MemoryLog, history: AnyHistory) -> None:
    announce(log, a_fixture("a:1"))
    first, *rest = a_match("a:1")
    keep(history, rest)
    damaged = PredictionRow(
        prediction_id="a:1@0",
        match_id="a:1",
        seq=first.seq,
        model_version=MODEL,
        feature_snapshot_id="",
        prev_hash="",
        row_hash="",
        forecast=b"{",
    )
    history.write(HistoryBatch(predictions=(damaged,)))
    matches = follow(log, history)
    matches.refresh(NOW)
    assert health(matches, history).served.scored_matches == 1
