"""From the log into history: every forecast that counts once, whoever dies on the way and whoever speaks too late."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import actors.history_writer as history_writer
from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.chain import check_chain
from actors.domain.errors import StoreUnavailable
from actors.domain.forecast import ChainHead, Forecast, Published, encode_published, feature_snapshot
from actors.domain.ports import FEED, FORECASTS, ChainHeadRow, EventRow, HistoryBatch, NewRecord, PredictionRow
from actors.domain.published import read_all
from actors.history_writer import EventCopier, ForecastCopier, HistoryWriter
from tests.conftest import eventually
from tests.unit.api_world import a_forecast, a_head, a_pulse, opened, prediction_row
from tests.unit.audited import (
    MATCH,
    a_feed,
    a_fixture,
    announce,
    copy_all,
    open_history,
    open_log,
    own,
    play,
    published,
    say,
    send,
)

OTHER = "fake:2"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = open_history(tmp_path)
    yield history
    history.close()


def rows(history: SqliteHistory, match_id: str = MATCH) -> list[PredictionRow]:
    return history.predictions(match_id, -1, 10_000)


def counted(log: SqliteLog, match_id: str = MATCH, partition: int = 0) -> list[Forecast]:
    """What every reader of the log agrees on."""
    of_match = [record for record in published(log, partition) if record.match_id == match_id]
    return [record for record in read_all(of_match)[1] if isinstance(record, Forecast)]


def test_history_has_the_rows_the_inputs_and_the_heads_of_a_match(log: SqliteLog, history: SqliteHistory) -> None:
    fixture = a_fixture()
    announce(log, fixture)
    send(log, fixture, a_feed())
    session = play(log, fixture)
    session.pulse()
    copy_all(log, history)
    kept, expected = rows(history), counted(log)
    assert kept == [prediction_row(forecast) for forecast in expected]
    assert len(kept) > 10
    for forecast in expected:
        assert history.feature_snapshot(forecast.feature_snapshot_id) == feature_snapshot(forecast.inputs)[1]
    head = kept[-1]
    assert history.heads(MATCH) == [
        ChainHeadRow(match_id=MATCH, seq=head.seq, count=len(kept), row_hash=head.row_hash),
    ]
    assert check_chain(kept, history.heads(MATCH), history.feature_snapshot) == (len(kept), None)


def test_what_a_zombie_appends_is_not_kept(log: SqliteLog, history: SqliteHistory) -> None:
    fixture = a_fixture()
    announce(log, fixture)
    zombie, heir = own(log, fixture), own(log, fixture)
    send(log, fixture, a_feed())
    heir.advance()
    zombie.advance()
    zombie.advance()
    copy_all(log, history)
    assert {forecast.epoch for forecast in counted(log)} == {heir.epoch}
    assert [row.forecast for row in rows(history)] == [encode_published(forecast) for forecast in counted(log)]


def test_a_writer_that_is_new_knows_the_epochs_of_the_matches_under_way(log: SqliteLog, history: SqliteHistory) -> None:
    fixture = a_fixture()
    announce(log, fixture)
    zombie, heir = own(log, fixture), own(log, fixture)
    send(log, fixture, a_feed())
    heir.advance()
    copy_all(log, history)
    before = rows(history)
    while zombie.advance():
        pass
    copy_all(log, history)
    assert rows(history) == before
    while heir.advance():
        pass
    copy_all(log, history)
    assert [row.row_hash for row in rows(history)] == [forecast.row_hash for forecast in counted(log)]
    assert len(rows(history)) > len(before)


def a_match(match_id: str, seqs: range, epoch: int = 0) -> list[Forecast]:
    forecasts: list[Forecast] = []
    for seq in seqs:
        prev_hash = forecasts[-1].row_hash if forecasts else "0" * 64
        forecasts.append(a_forecast(match_id, seq, prev_hash=prev_hash, epoch=epoch))
    return forecasts


def test_a_match_that_was_retired_while_nobody_copied_is_copied_all_the_same(
    log: SqliteLog, history: SqliteHistory
) -> None:
    fixture, match = a_fixture(), a_match(MATCH, range(10))
    announce(log, fixture)
    say(log, opened(MATCH, 0), *match[:4])
    copy_all(log, history)
    say(log, *match[4:])
    announce(log, replace(fixture, status="retired"))
    copy_all(log, history)
    assert [row.row_hash for row in rows(history)] == [forecast.row_hash for forecast in match]


def test_the_zombie_of_a_match_that_was_retired_while_nobody_copied_is_not_kept(
    log: SqliteLog, history: SqliteHistory
) -> None:
    fixture, match = a_fixture(), a_match(MATCH, range(10))
    announce(log, fixture)
    say(log, opened(MATCH, 0), *match[:4])
    copy_all(log, history)
    say(log, opened(MATCH, 1), a_forecast(MATCH, 4, prev_hash="f" * 64, epoch=0))
    say(log, *[replace(forecast, epoch=1) for forecast in match[4:]])
    announce(log, replace(fixture, status="retired"))
    copy_all(log, history)
    assert [row.row_hash for row in rows(history)] == [forecast.row_hash for forecast in match]


def test_a_zombie_of_a_match_long_retired_is_not_kept(log: SqliteLog, history: SqliteHistory) -> None:
    old, match = a_fixture(), a_match(MATCH, range(4))
    announce(log, replace(old, status="retired"))
    say(log, opened(MATCH, 0), *match)
    copy_all(log, history)
    end = log.end_offsets(FORECASTS)[0]
    announce(log, a_fixture(OTHER, forecasts_from=end))
    later = a_match(OTHER, range(20, 24))
    say(log, opened(OTHER, 0), *later[:2])
    copy_all(log, history)
    say(log, a_forecast(MATCH, 99, epoch=0), a_pulse(MATCH, offset=99, epoch=0), *later[2:])
    copy_all(log, history)
    assert [row.seq for row in rows(history)] == [0, 1, 2, 3]
    assert [row.seq for row in rows(history, OTHER)] == [20, 21, 22, 23]


def test_matches_that_shared_a_partition_are_copied_whole(log: SqliteLog, history: SqliteHistory) -> None:
    first, second = a_fixture(), a_fixture(OTHER, forecasts_from=3)
    shared = [replace(each, lease=replace(each.lease, shared=True)) for each in (first, second)]  # type: ignore[type-var]
    announce(log, *shared)
    one, two = a_match(MATCH, range(0, 20, 2)), a_match(OTHER, range(1, 21, 2))
    say(log, opened(MATCH, 0), *one[:2], opened(OTHER, 0), *two[:2])
    copy_all(log, history)
    for ours, theirs in zip(one[2:], two[2:], strict=True):
        say(log, ours, theirs)
    announce(log, *[replace(each, status="retired") for each in shared])
    copy_all(log, history)
    assert [row.seq for row in rows(history)] == [forecast.seq for forecast in one]
    assert [row.seq for row in rows(history, OTHER)] == [forecast.seq for forecast in two]


class FailingHistory:
    """History that fails where it is told to: before it did what was asked, or after."""

    def __init__(self, history: SqliteHistory, before: set[int], after: set[int]) -> None:
        self._history, self._before, self._after, self._count = history, before, after, 0

    def write(self, batch: HistoryBatch) -> None:
        self._attempt(lambda: self._history.write(batch))

    def offsets(self, consumer: str) -> dict[int, int]:
        return self._history.offsets(consumer)

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        self._attempt(lambda: self._history.commit(consumer, offsets))

    def _attempt(self, act: Callable[[], None]) -> None:
        self._count += 1
        number = self._count
        if number in self._before:
            raise StoreUnavailable("history", "write", "refused")
        act()
        if number in self._after:
            raise StoreUnavailable("history", "write", "no answer")


def _record(kind: str, match_id: str, epoch: int, seq: int) -> Published:
    match kind:
        case "open":
            return opened(match_id, epoch)
        case "pulse":
            return a_pulse(match_id, offset=seq, epoch=epoch)
        case "head":
            return a_head(a_forecast(match_id, seq, epoch=epoch), count=seq)
        case _:
            return a_forecast(match_id, seq, epoch=epoch)


SAID = st.lists(
    st.builds(
        _record,
        st.sampled_from(["open", "pulse", "head", "forecast", "forecast", "forecast"]),
        st.sampled_from([MATCH, OTHER]),
        st.integers(0, 3),
        st.integers(0, 12),
    ),
    max_size=30,
)
TIMES = st.sets(st.integers(1, 12), max_size=5)


@settings(max_examples=60, deadline=None)
@given(said=SAID, cuts=st.sets(st.integers(0, 30)), before=TIMES, after=TIMES, restarts=st.booleans())
def test_whatever_was_said_and_whoever_died_each_forecast_that_counts_is_kept_once(
    said: list[Published], cuts: set[int], before: set[int], after: set[int], restarts: bool
) -> None:
    """`cuts`: where the writer is at the time; it dies there, or at its failures, or goes on as it is."""
    with tempfile.TemporaryDirectory() as folder:
        log, history = open_log(Path(folder)), open_history(Path(folder))
        failing = FailingHistory(history, before, after)
        announce(log, a_fixture(MATCH), a_fixture(OTHER))
        said = [opened(MATCH, 0), opened(OTHER, 0), *said]
        copier = ForecastCopier(log, failing)
        for number, record in enumerate(said):
            say(log, record)
            if number in cuts:
                copier = ForecastCopier(log, failing) if restarts else copier
                copier = _copied(log, copier, failing, restarts)
        _copied(log, copier, failing, restarts)
        copy_all(log, history)  # what was written and not committed is written again, to no effect
        for match_id in (MATCH, OTHER):
            expected = [prediction_row(forecast) for forecast in counted(log, match_id)]
            assert rows(history, match_id) == expected
            heads = [mark for mark in read_all(_of(match_id, said))[1] if isinstance(mark, ChainHead)]
            assert {head.seq for head in history.heads(match_id)} == {head.seq for head in heads}
        assert history.offsets(FORECASTS)[0] == len(said)
        log.close()
        history.close()


def _of(match_id: str, said: list[Published]) -> list[Published]:
    return [record for record in said if record.match_id == match_id]


def _copied(log: SqliteLog, copier: ForecastCopier, history: FailingHistory, restarts: bool) -> ForecastCopier:
    """Copy all there is, beginning anew after each failure or trying again."""
    while True:
        try:
            while copier.copy(0.0):
                pass
            return copier
        except StoreUnavailable:
            copier = ForecastCopier(log, history) if restarts else copier


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.binary(min_size=1, max_size=9), max_size=20), before=TIMES, after=TIMES)
def test_each_feed_record_is_kept_once_byte_for_byte(values: list[bytes], before: set[int], after: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, history = open_log(Path(folder)), RecordingHistory()
        failing = FailingHistory(history, before, after)  # type: ignore[arg-type]
        log.append(FEED, 1, [NewRecord(key=MATCH, value=value) for value in [*values, None]])
        done = False
        while not done:
            try:
                done = not EventCopier(log, failing).copy(0.0)
            except StoreUnavailable:
                continue
        expected = [(1, offset, MATCH, value) for offset, value in enumerate([*values, b""])]
        assert [(e.partition, e.offset, e.match_id, e.value) for e in history.kept.values()] == expected
        log.close()


class RecordingHistory:
    """The writing side in memory: the first row of a key stays."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], EventRow] = {}
        self._offsets: dict[str, dict[int, int]] = {}

    def write(self, batch: HistoryBatch) -> None:
        for event in batch.events:
            self.kept.setdefault((event.partition, event.offset), event)

    def offsets(self, consumer: str) -> dict[int, int]:
        return dict(self._offsets.get(consumer, {}))

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        self._offsets[consumer] = dict(offsets)


def test_where_retention_was_faster_both_go_on_with_what_is_left(log: SqliteLog, history: SqliteHistory) -> None:
    fixture, match = a_fixture(), a_match(MATCH, range(8))
    announce(log, fixture)
    send(log, fixture, a_feed())
    say(log, opened(MATCH, 0), *match[:6])
    copy_all(log, history)
    log.prune(FORECASTS, 0, 5)
    log.prune(FEED, 0, 7)
    say(log, *match[6:])
    copy_all(log, history)
    assert [row.seq for row in rows(history)] == list(range(8))
    events = RecordingHistory()
    while EventCopier(log, events).copy(0.0):
        pass
    assert min(offset for _, offset in events.kept) == 7


def test_what_is_known_of_matches_is_bounded(
    log: SqliteLog, history: SqliteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_writer, "_MATCHES", 3)
    copier = ForecastCopier(log, history)
    for number in range(6):
        say(log, opened(f"fake:{number}", 0), a_forecast(f"fake:{number}", 1, epoch=0))
        say(log, a_pulse("fake:0", offset=1, epoch=0))
        copier.copy(0.0)
    say(log, a_forecast("fake:0", 2, epoch=0), a_forecast("fake:1", 2, epoch=0))
    copier.copy(0.0)
    assert len(copier._accepted) == 3
    assert [row.seq for row in rows(history, "fake:0")] == [1, 2]  # heard all the time
    assert [row.seq for row in rows(history, "fake:1")] == [1]  # silent for longer than three others


def test_an_unreadable_record_is_passed_over(log: SqliteLog, history: SqliteHistory) -> None:
    announce(log, a_fixture())
    say(log, opened(MATCH, 0), a_forecast(MATCH, 1, epoch=0))
    log.append(FORECASTS, 0, [NewRecord(key=MATCH, value=b"{not json"), NewRecord(key=MATCH, value=None)])
    say(log, a_forecast(MATCH, 2, epoch=0))
    copy_all(log, history)
    assert [row.seq for row in rows(history)] == [1, 2]


def test_the_writer_outlives_whatever_its_stores_do_and_opens_them_once(tmp_path: Path) -> None:
    log, fixture, opened_stores = open_log(tmp_path), a_fixture(), list[SqliteHistory]()
    failures = iter([StoreUnavailable("history", "open", "not yet"), RuntimeError("a bug of ours")])

    def open_store() -> SqliteHistory:
        if (failure := next(failures, None)) is not None:
            raise failure
        opened_stores.append(open_history(tmp_path))
        return opened_stores[-1]

    announce(log, fixture)
    writer = HistoryWriter(lambda: open_log(tmp_path), open_store)
    try:
        send(log, fixture, a_feed())
        play(log, fixture)
        reader = open_history(tmp_path)
        eventually(lambda: [row.seq for row in rows(reader)] == [forecast.seq for forecast in counted(log)])
        eventually(lambda: reader.offsets(FEED).get(0) == log.end_offsets(FEED)[0])
    finally:
        writer.stop()
    assert len(opened_stores) == 2
    reader.close()
    log.close()


def test_a_writer_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    log, fixture, reader = open_log(tmp_path), a_fixture(), open_history(tmp_path)
    announce(log, fixture)
    send(log, fixture, a_feed()[:8])
    session = play(log, fixture)
    for _ in range(2):
        writer = HistoryWriter(lambda: open_log(tmp_path), lambda: open_history(tmp_path))
        eventually(lambda: [row.seq for row in rows(reader)] == [forecast.seq for forecast in counted(log)])
        writer.stop()
        send(log, fixture, a_feed()[8:])
        while session.advance():
            pass
    assert len({row.prediction_id for row in rows(reader)}) == len(rows(reader)) > 5
    reader.close()
    log.close()


def test_a_key_that_no_store_could_hold_does_not_stop_history(tmp_path: Path) -> None:
    with closing(open_log(tmp_path)) as log, closing(open_history(tmp_path)) as history:
        log.append(FEED, 0, [NewRecord(key="x" * 100_000, value=b"odd"), NewRecord(key=MATCH, value=b"next")])
        assert EventCopier(log, history).copy(0.0) == 2
        assert [row.value for row in history.events(MATCH, 0, -1, 10)] == [b"next"]
        assert history.offsets(FEED)[0] == 2
