"""The whole way with real processes: real matches in, kills in between, and what readers see is what the log says."""

import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory, SqliteSnapshots
from actors.domain.chain import check_chain
from actors.domain.distribution import Forecaster
from actors.domain.fixtures import Fixture, Lease
from actors.domain.forecast import Forecast, decode_published
from actors.domain.match import new_match, state_hash
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS, LogRecord, NewRecord
from actors.domain.published import read_all
from actors.machines.match import Entry, step
from actors.ownership import published_of
from actors.session import MatchPorts, MatchSession, MatchSettings
from actors.supervisor import FixtureBook
from bench.running import REPO, System
from cluster.audit import MODELS, load_models, rows_of
from tests.cluster.browser import a_page
from tests.conftest import eventually
from tests.unit.fakes import MemoryLog, MemorySnapshots

PARTITIONS = 48
TOPICS = {FEED: PARTITIONS, FORECASTS: PARTITIONS, FIXTURES: 1, DEAD_LETTERS: 1}
MATCHES = 4


MARK = "window.openedOnce = (window.openedOnce || 0) + 1"


@dataclass(frozen=True)
class Played:
    """The system, stopped, and what a browser saw that was open all the time: each score, and whether it reloaded."""

    system: System
    scores: list[list[str]]
    is_same_document: bool

    @property
    def folder(self) -> Path:
        return self.system.folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play the demo matches at 60 times real speed, killing a match, the forecaster and everything on the way."""
    system = System(
        tmp_path_factory.mktemp("e2e") / "data",
        [
            "replay.speed=60",
            "replay.loop=false",
            "match.conflate_behind_records=100000",
            "supervisor.retire_after_s=600",
        ],
    )
    try:
        system.start()
        with a_page() as page:
            page.goto(system.base)
            page.evaluate(MARK)
            eventually(lambda: len(_live(system)) == MATCHES, timeout_s=60)
            scores = [_scores(page)]
            _wait_for_minute(system, 10)
            system.processes("ray::MatchActor")[0].kill()
            _wait_for_minute(system, 25)
            system.processes("Forecaster")[0].kill()
            _wait_for_minute(system, 40)
            system.kill_everything()
            system.start()
            eventually(lambda: all(m["phase"] == "finished" for m in _matches(system)), timeout_s=240, every_s=0.5)
            eventually(lambda: _history_is_complete(system), timeout_s=60, every_s=0.5)
            scores.append(_scores(page))
            is_same_document = page.evaluate("window.openedOnce") == 1
    finally:
        system.stop()
    return Played(system=system, scores=scores, is_same_document=is_same_document)


def _scores(page: Page) -> list[str]:
    return page.locator("td.score").all_inner_texts()


def test_a_page_that_was_open_all_the_time_shows_the_final_scores_without_a_reload(played: Played) -> None:
    assert played.is_same_document
    before, after = played.scores
    assert before != after
    log = SqliteLog(played.folder / "log", TOPICS)
    finals = [_counted(log, fixture)[-1].score for fixture in _fixtures(log)]
    shown = sorted("".join(character for character in text if character.isdigit()) for text in after)
    assert shown == sorted(f"{score.home}{score.away}" for score in finals)


def test_after_all_kills_every_forecast_is_what_the_log_alone_gives(played: Played) -> None:
    log = SqliteLog(played.folder / "log", TOPICS)
    [model] = load_models(MODELS, 32).values()
    for fixture in _fixtures(log):
        assert fixture.lease is not None
        counted = _counted(log, fixture)
        expected = _undisturbed(log, fixture, model)
        assert [(f.seq, f.row_hash) for f in counted] == [(f.seq, f.row_hash) for f in expected]
        assert len(counted) > 500


def test_the_state_after_all_kills_is_that_of_an_undisturbed_fold(played: Played) -> None:
    log, snapshots = SqliteLog(played.folder / "log", TOPICS), SqliteSnapshots(played.folder / "snapshots.db")
    for fixture in _fixtures(log):
        snapshot = snapshots.load(fixture.match_id)
        assert snapshot is not None
        state = new_match(fixture)
        for record in _feed_of(log, fixture):
            if record.offset <= snapshot.offset:
                state, _ = step(state, Entry(offset=record.offset, key=record.key, value=record.value))
        assert snapshot.state_hash == state_hash(state)


def test_history_holds_every_published_forecast_once_and_its_chain_is_whole(played: Played) -> None:
    log, history = SqliteLog(played.folder / "log", TOPICS), SqliteHistory(played.folder / "history.db")
    for fixture in _fixtures(log):
        rows = list(rows_of(history, fixture.match_id))
        assert [row.seq for row in rows] == [f.seq for f in _counted(log, fixture)]
        count, fault = check_chain(rows, history.heads(fixture.match_id), history.feature_snapshot)
        assert (count, fault) == (len(rows), None)


@pytest.mark.parametrize("batch", [500, 7])
def test_every_forecast_replays_identically_whatever_the_batch(played: Played, batch: int) -> None:
    command = [sys.executable, "-m", "cluster.audit", "replay", "--data", str(played.folder), "--batch", str(batch)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    identical, total = _totals(done.stdout)
    assert identical == total > 2_000


def test_the_audit_names_a_row_that_was_changed(played: Played, tmp_path: Path) -> None:
    copy = tmp_path / "history.db"
    with sqlite3.connect(played.folder / "history.db") as source, sqlite3.connect(copy) as target:
        source.backup(target)
    with sqlite3.connect(copy) as db:
        [(match_id, seq)] = db.execute("SELECT match_id, seq FROM predictions ORDER BY match_id, seq LIMIT 1 OFFSET 40")
        db.execute("DELETE FROM predictions WHERE match_id = ? AND seq = ?", (match_id, seq))
        [(following,)] = db.execute(
            "SELECT prediction_id FROM predictions WHERE match_id = ? AND seq > ? ORDER BY seq LIMIT 1", (match_id, seq)
        )
    command = [sys.executable, "-m", "cluster.audit", "verify", "--data", str(tmp_path), "--match", match_id]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert following in done.stdout


def _totals(output: str) -> tuple[int, int]:
    words = output.strip().splitlines()[-1].split()
    return int(words[0]), int(words[2])


def _matches(system: System) -> list[dict[str, object]]:
    try:
        return list(httpx.get(f"{system.base}/v1/matches", timeout=5.0).raise_for_status().json()["matches"])
    except httpx.HTTPError:
        return [{"phase": "unknown"}]


def _live(system: System) -> list[dict[str, object]]:
    return [match for match in _matches(system) if match["phase"] == "live"]


def _wait_for_minute(system: System, minute: int) -> None:
    def reached() -> bool:
        clocks = [match["clock"] for match in _matches(system) if "clock" in match]
        return any(c["period"] == 2 or c["ms"] >= minute * 60_000 for c in clocks)  # type: ignore[index]

    eventually(reached, timeout_s=120)


def _history_is_complete(system: System) -> bool:
    log, history = SqliteLog(system.folder / "log", TOPICS), SqliteHistory(system.folder / "history.db")
    return all(
        [row.seq for row in rows_of(history, f.match_id)] == [c.seq for c in _counted(log, f)] for f in _fixtures(log)
    )


def _fixtures(log: SqliteLog) -> list[Fixture]:
    book = FixtureBook(log)
    book.refresh()
    assert len(book.fixtures) == MATCHES
    return list(book.fixtures.values())


def _counted(log: SqliteLog, fixture: Fixture) -> list[Forecast]:
    assert fixture.lease is not None
    records = log.read(FORECASTS, {fixture.lease.partition: fixture.lease.forecasts_from}, 10**6, 0.0)
    _, counted = read_all(published_of(records, fixture.match_id))
    return [record for record in counted if isinstance(record, Forecast)]


def _undisturbed(log: SqliteLog, fixture: Fixture, model: Forecaster) -> list[Forecast]:
    """Fold what the log has of a match in this process, with stores of its own and nothing that dies."""
    copy, lease = MemoryLog(), Lease(partition=0, start_offset=0)
    copy.append(FEED, 0, [NewRecord(key=r.key or "", value=r.value) for r in _feed_of(log, fixture)])
    settings = MatchSettings(read_wait_s=0.0, conflate_behind_records=10**9, snapshot_every_s=1e9)
    ports = MatchPorts(log=copy, snapshots=MemorySnapshots(), predict=model.predict)
    session = MatchSession(fixture, lease, ports, settings)
    while session.advance():
        pass
    published = (decode_published(r.value or b"") for r in copy.topics[FORECASTS][0])
    return [record for record in published if isinstance(record, Forecast)]


def _feed_of(log: SqliteLog, fixture: Fixture) -> list[LogRecord]:
    """Return a match's partition; its lease began the partition, so that offsets are seqs."""
    assert fixture.lease is not None
    assert fixture.lease.start_offset == 0
    return log.read(FEED, {fixture.lease.partition: 0}, 10**6, 0.0)
