"""A real Cassandra that is killed, frozen and flooded: what was acknowledged stays, what was not is said in time."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_records import MOST_BYTES
from actors.adapters.cassandra_requests import Request, Requests
from actors.adapters.cassandra_snapshots import CassandraSnapshots
from actors.adapters.embedded_log import SqliteLog
from actors.domain.chain import check_chain
from actors.domain.errors import SetupError, StoreError, StoreUnavailable
from actors.domain.ports import FEED, FORECASTS, HistoryBatch, NewRecord
from actors.history_writer import HistoryWriter
from cluster.services.servers import Services
from tests.conftest import eventually
from tests.contract.children import BATCH, a_batch, a_prediction, a_snapshot
from tests.contract.own_cassandra import OwnCassandra, own_cassandra
from tests.unit.audited import MATCH, a_feed, a_fixture, announce, open_log, play, send

pytestmark = pytest.mark.real_store

BOUND_S = 7.0  # 2 s a request, repeated within 4 s, and what was under way is waited for


@pytest.fixture(scope="module")
def server(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnCassandra]:
    """After the servers that all tests share, so that what Maven brings is there."""
    with own_cassandra(tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def history(server: OwnCassandra) -> Iterator[CassandraHistory]:
    history = CassandraHistory(server.config)
    yield history
    history.close()


class Writing:
    """Writes batch after batch of a match in a thread of its own; each one until it is acknowledged."""

    def __init__(self, history: CassandraHistory, match_id: str) -> None:
        self._history, self._match_id, self._stop = history, match_id, threading.Event()
        self.acknowledged = 0  # batches, from the first on
        self.refused_after_s: list[float] = []
        self.problems: list[Exception] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._history.write(a_batch(self._match_id, self.acknowledged * BATCH, BATCH))
                self._history.commit(self._match_id, {0: (self.acknowledged + 1) * BATCH})
                self.acknowledged += 1
            except StoreUnavailable:
                self.refused_after_s.append(time.monotonic() - began)
            except Exception as problem:  # noqa: BLE001 - the test must hear of it
                self.problems.append(problem)
                return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def stored_is_what_was_written(history: CassandraHistory, match_id: str, acknowledged: int, killed_at: int) -> None:
    """Compare row by row: all that was acknowledged, beyond it nothing but the batch that was under way.

    What leads to the rows is looked up for the ten batches before and after the kill: a request each.
    """
    rows = history.predictions(match_id, -1, 1_000_000)
    batches = [a_batch(match_id, number * BATCH, BATCH) for number in range(acknowledged + 1)]
    expected = [row for batch in batches for row in batch.predictions]
    assert rows == expected[: len(rows)] and len(rows) >= acknowledged * BATCH
    assert history.heads(match_id)[:acknowledged] == [head for b in batches[:acknowledged] for head in b.heads]
    for row in rows[max(0, killed_at - 10) * BATCH : min(killed_at + 10, acknowledged) * BATCH]:
        assert history.prediction(row.prediction_id) == row
        assert history.feature_snapshot(row.feature_snapshot_id) == b"inputs"
    assert acknowledged * BATCH <= history.offsets(match_id)[0] <= len(rows)


def test_a_server_killed_amid_writes_keeps_what_it_acknowledged_and_is_written_to_again_when_it_is_back(
    server: OwnCassandra, history: CassandraHistory
) -> None:
    writers = [Writing(history, f"killed:{number}") for number in range(4)]
    try:
        eventually(lambda: all(writer.acknowledged >= 15 for writer in writers), timeout_s=60)
        server.signalled(signal.SIGKILL)
        before = [writer.acknowledged for writer in writers]
        eventually(lambda: all(writer.refused_after_s for writer in writers), timeout_s=60)
        server.again()
        back = time.monotonic()
        eventually(lambda: all(w.acknowledged >= b + 5 for w, b in zip(writers, before, strict=True)), timeout_s=60)
        assert time.monotonic() - back < 15.0, "the same session is soon of use again"
    finally:
        for writer in writers:
            writer.stop()
    for number, writer in enumerate(writers):
        assert not writer.problems
        assert max(writer.refused_after_s) < BOUND_S
        stored_is_what_was_written(history, f"killed:{number}", writer.acknowledged, before[number])


def test_a_frozen_server_is_told_in_bounded_time_and_thawed_it_goes_on_in_the_same_session(
    server: OwnCassandra, history: CassandraHistory
) -> None:
    snapshots = CassandraSnapshots(server.config)
    snapshots.save(before := a_snapshot(1, 1))
    server.signalled(signal.SIGSTOP)
    try:
        for ask in (lambda: snapshots.save(a_snapshot(1, 2)), lambda: history.predictions("frozen:1", -1, 10)):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match=f"Cassandra at 127.0.0.1:{server.port}"):
                ask()
            assert time.monotonic() - began < BOUND_S
    finally:
        server.signalled(signal.SIGCONT)
    eventually(lambda: _worked(lambda: snapshots.save(a_snapshot(1, 3))), timeout_s=30)
    assert snapshots.load(before.match_id) == a_snapshot(1, 3)
    snapshots.close()


def _worked(do: Callable[[], object]) -> bool:
    try:
        do()
    except StoreUnavailable:
        return False
    return True


class Counting:
    """Stands between `Requests` and the driver and counts what is under way."""

    def __init__(self, requests: Requests) -> None:
        self._send, self._lock, self.flying, self.most = requests.send, threading.Lock(), 0, 0
        requests.send = self.send  # type: ignore[method-assign]

    def send(self, request: Request) -> object:
        with self._lock:
            self.flying += 1
            self.most = max(self.most, self.flying)
        future = self._send(request)
        future.add_callbacks(self._landed, self._landed)
        return future

    def _landed(self, _: object) -> None:
        with self._lock:
            self.flying -= 1


def test_a_flood_from_many_threads_is_held_to_256_requests_at_a_time(
    server: OwnCassandra, history: CassandraHistory
) -> None:
    counting = Counting(history._connection.requests)
    with ThreadPoolExecutor(4) as pool:
        matches = [f"flood:{number}" for number in range(4)]
        list(pool.map(lambda match_id: history.write(a_batch(match_id, 0, 500)), matches))
    assert 200 < counting.most <= 256 and counting.flying == 0
    for match_id in matches:
        assert history.predictions(match_id, -1, 1_000) == list(a_batch(match_id, 0, 500).predictions)


def test_a_payload_that_no_mutation_holds_is_refused_in_words_and_harms_nothing(history: CassandraHistory) -> None:
    with pytest.raises(StoreError, match="record fewer in one batch") as refused:
        history.write_what_ifs("replica", 1, Random(1).randbytes(MOST_BYTES + 10_000))
    assert not isinstance(refused.value, StoreUnavailable)
    fits = Random(2).randbytes(MOST_BYTES - 10_000)
    history.write_what_ifs("replica", 1, fits)
    assert history.what_ifs("replica", 1) == fits


def test_what_the_server_itself_refuses_is_not_called_passing(history: CassandraHistory) -> None:
    enormous = HistoryBatch(predictions=(a_prediction("enormous:1", 1, bytes(17_000_000)),))

    def is_refused() -> bool:
        with pytest.raises(StoreError) as refused:
            history.write(enormous)
        return not isinstance(refused.value, StoreUnavailable)  # a busy server takes too long to read it at first

    eventually(is_refused)
    assert history.predictions("enormous:1", -1, 10) == []


def test_weights_that_were_changed_are_not_served(server: OwnCassandra, history: CassandraHistory) -> None:
    history.write_model("net-1", b"{}", bytes(1_500_000))
    assert history.model("net-1") is not None
    session = history._connection._shared.session  # type: ignore[union-attr]
    table = f"{server.config.keyspace}.model_weights"
    [key] = session.execute(f"SELECT sha256, part FROM {table} LIMIT 1")
    session.execute(f"UPDATE {table} SET bytes = %s WHERE sha256 = %s AND part = %s", (b"other", *key))
    with pytest.raises(StoreError, match="their hash differs"):
        history.model("net-1")


def test_wrong_credentials_are_refused_in_one_sentence_at_once_and_no_secret_is_told(
    server: OwnCassandra, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / "password").write_text("correct horse battery")
    wrong = replace(server.config, password_file=str(tmp_path / "password"))
    nobody = replace(server.config, username=None, password_file=None)
    for config, who in ((wrong, "cassandra"), (nobody, "nobody")):
        began = time.monotonic()
        with pytest.raises(SetupError) as refused:
            CassandraSnapshots(config)
        assert time.monotonic() - began < 5.0
        sentence = f"Cassandra at 127.0.0.1:{server.port} refused the credentials of {who}; see store.username"
        assert str(refused.value).startswith(sentence) and "\n" not in str(refused.value)
        assert "correct horse" not in str(refused.value)
    assert "correct horse" not in caplog.text


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


class Noting(CassandraHistory):
    """Notes each time that a writer asks how far it was: at its start, and when it begins anew after a failure."""

    asked: ClassVar[list[str]] = []

    def offsets(self, consumer: str) -> dict[int, int]:
        self.asked.append(consumer)
        return super().offsets(consumer)


def test_the_history_writer_catches_up_after_an_outage_and_commits_nothing_that_is_not_there(
    server: OwnCassandra, history: CassandraHistory, log: SqliteLog, tmp_path: Path
) -> None:
    fixture = a_fixture()
    announce(log, fixture)
    send(log, fixture, a_feed())
    writer = HistoryWriter(lambda: open_log(tmp_path), lambda: Noting(server.config))
    try:
        eventually(lambda: history.offsets(FEED).get(0) == log.end_offsets(FEED)[0], timeout_s=30)
        server.signalled(signal.SIGSTOP)
        play(log, fixture).pulse()
        log.append(FEED, 0, [NewRecord(key="other:1", value=str(number).encode()) for number in range(700)])
        eventually(lambda: Noting.asked.count(FEED) >= 2 and Noting.asked.count(FORECASTS) >= 2, timeout_s=30)
        server.signalled(signal.SIGCONT)
        eventually(lambda: _has_all(history, log), timeout_s=60)
    finally:
        server.signalled(signal.SIGCONT)
        writer.stop()
    rows = history.predictions(MATCH, -1, 10_000)
    assert check_chain(rows, history.heads(MATCH), history.feature_snapshot) == (len(rows), None) and len(rows) > 10
    assert [row.value for row in history.events(MATCH, 0, -1, 1_000)] == a_feed()
    assert [row.value for row in history.events("other:1", 0, -1, 1_000)] == [str(n).encode() for n in range(700)]


def _has_all(history: CassandraHistory, log: SqliteLog) -> bool:
    try:
        return all(history.offsets(topic).get(0) == log.end_offsets(topic)[0] for topic in (FEED, FORECASTS))
    except StoreUnavailable:
        return False
