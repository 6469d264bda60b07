"""The whole way with real processes: real matches in, kills in between, and what readers see is what the log says.

On both profiles. On the cluster's, Ray is on two nodes of which one is lost, and its servers are killed, stopped and
emptied too: tests/cluster/storm.py.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from actors.domain.chain import check_chain
from actors.domain.distribution import Forecaster
from actors.domain.fixtures import Fixture, Lease
from actors.domain.forecast import Forecast, decode_published
from actors.domain.match import new_match, state_hash
from actors.domain.ports import FEED, FORECASTS, EventLog, NewRecord
from actors.machines.match import Entry, step
from actors.session import MatchPorts, MatchSession, MatchSettings
from bench.running import REPO, System, on
from cluster.audit import MODELS, load_models, rows_of
from cluster.services.servers import Services
from tests.cluster.browser import a_page
from tests.cluster.logs import counted, feed_of, fixtures_of
from tests.cluster.nodes import Node, Nodes, two_nodes
from tests.cluster.readers import SseReader
from tests.cluster.storm import Storm, Watch
from tests.conftest import eventually
from tests.unit.fakes import MemoryLog, MemorySnapshots

NAMES = [f"cluster/demo/wyscout_{number}.json.xz" for number in (2499781, 2499841)]
MATCHES = len(NAMES)
_LOOK_EVERY_S = 0.5  # through Serve's ingress each look takes 30 ms of CPU
MARK = "window.openedOnce = (window.openedOnce || 0) + 1"
SLOWER = "replay.speed=30"  # a storm takes its time
OPTIONS = [
    f"replay.matches={NAMES}",
    "replay.speed=60",
    "replay.loop=false",
    "match.conflate_behind_records=100000",
    "supervisor.retire_after_s=600",
]


@dataclass
class Played:
    """The system, stopped, and what was seen from outside while it ran."""

    system: System
    log: EventLog
    reader: SseReader
    spread: tuple[int, int] | None = None  # matches on the node that stays, and on the one that is lost
    storm: Storm | None = None
    scores: tuple[list[str], ...] = ()  # of a browser that was open all the time, early and at the end
    is_same_document: bool = False  # it never reloaded

    @property
    def fixtures(self) -> list[Fixture]:
        fixtures = fixtures_of(self.log)
        assert len(fixtures) == MATCHES
        return fixtures


@pytest.fixture(scope="module", params=["embedded", pytest.param("cluster", marks=pytest.mark.real_store)])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Play the demo matches, killing a match (or its node), the forecaster and everything on the way, and more."""
    services: Services | None = request.getfixturevalue("services") if request.param == "cluster" else None
    servers = [*on(services.config, "evening"), "match.priors=false", SLOWER] if services else []
    folder = tmp_path_factory.mktemp(request.param)
    system = System(folder / "data", [*OPTIONS, *servers])
    with two_nodes(folder) if services else nullcontext() as nodes:
        try:
            played = _play(system, services, nodes)
        finally:
            system.stop()
    played.reader.stop()
    yield played
    played.log.close()


def _play(system: System, services: Services | None, nodes: Nodes | None) -> Played:
    system.start(*([f"ray.address={nodes.address}", "serve.proxies=HeadOnly"] if nodes else []))
    played = Played(system=system, log=system.stores.log(), reader=SseReader(system.base))
    played.reader.start()
    with a_page() as page:
        page.goto(system.base)
        page.evaluate(MARK)
        eventually(lambda: len(_live(system)) == MATCHES, timeout_s=300, every_s=_LOOK_EVERY_S)
        scores = [_scores(page)]
        if nodes is None:
            _wait_for_minute(system, 10)
            system.processes("ray::MatchActor")[0].kill()
        else:
            played.spread = _lose_a_node(system, nodes)
        _kill_the_rest(system, nodes)
        if services is not None:
            played.storm = _brave_the_storm(system, services)
        eventually(lambda: all(m["phase"] == "finished" for m in _matches(system)), timeout_s=600, every_s=0.5)
        eventually(lambda: _history_is_complete(played), timeout_s=180, every_s=0.5)
        last = {fixture.match_id: counted(played.log, fixture)[-1].seq for fixture in played.fixtures}
        eventually(lambda: played.reader.trader.last == last, timeout_s=120, every_s=0.1)
        played.scores = (*scores, _scores(page))
        played.is_same_document = page.evaluate("window.openedOnce") == 1
    return played


def _lose_a_node(system: System, nodes: Nodes) -> tuple[int, int]:
    """Kill a node, wait until all matches go on on the other; return how many there were on each."""
    _wait_for_minute(system, 5)
    spread = _owners(nodes.head), _owners(nodes.other)
    _all_go_on(system, nodes.other.kill)
    eventually(lambda: _owners(nodes.head) == MATCHES, timeout_s=90)
    return spread


def _kill_the_rest(system: System, nodes: Nodes | None) -> None:
    """Kill the forecaster, then everything, and start again: on a Ray of its own, faster where there is no storm."""
    ours = nodes.head if nodes else system
    _wait_for_minute(system, 15)
    _all_go_on(system, lambda: ours.processes("Forecaster")[0].kill())
    system.kill_everything(*(nodes.head.family() if nodes else ()))
    system.start(*([] if nodes else ["replay.speed=120"]))


def _all_go_on(system: System, harm: Callable[[], object]) -> None:
    """Do harm; wait until every match has a newer forecast, is a minute of play further, and is shown as fresh."""
    before: dict[str, dict[str, Any]] = {}

    def all_are_live() -> bool:
        before.update({match["match_id"]: match for match in _live(system)})
        return len(before) == MATCHES

    def goes_on(match: dict[str, Any]) -> bool:
        then = before[match["match_id"]]
        period, ms = _clock(then)
        is_fresh = match["freshness"]["state"] == "FRESH"
        return is_fresh and match["seq"] > then["seq"] and _clock(match) > (period, ms + 60_000)

    eventually(all_are_live, timeout_s=120, every_s=_LOOK_EVERY_S)
    harm()
    eventually(lambda: sum(map(goes_on, _live(system))) == MATCHES, timeout_s=240, every_s=_LOOK_EVERY_S)


def _brave_the_storm(system: System, services: Services) -> Storm:
    """Lose each server while the matches go on; Cassandra is away until they are over."""
    eventually(lambda: len(_live(system)) == MATCHES, timeout_s=300, every_s=_LOOK_EVERY_S)
    storm = Storm(system=system, services=services, watch=Watch(system.base))
    try:
        storm.wait_until_fresh()
        returning = storm.lose_cassandra()
        storm.trouble_redis()
        storm.lose_kafka()
        returning.join()
    finally:
        storm.watch.stop()
    return storm


def _scores(page: Page) -> list[str]:
    return page.locator("td.score").all_inner_texts()


def test_a_page_that_was_open_all_the_time_shows_the_final_scores_without_a_reload(played: Played) -> None:
    assert played.is_same_document
    before, after = played.scores
    assert before != after
    finals = [counted(played.log, fixture)[-1].score for fixture in played.fixtures]
    shown = sorted("".join(character for character in text if character.isdigit()) for text in after)
    assert shown == sorted(f"{score.home}{score.away}" for score in finals)


def test_after_all_kills_every_forecast_is_what_the_log_alone_gives(played: Played) -> None:
    models = load_models(MODELS, 32)
    for fixture in played.fixtures:
        found = counted(played.log, fixture)
        expected = _undisturbed(played.log, fixture, models[found[0].model_version])
        assert [(f.seq, f.row_hash) for f in found] == [(f.seq, f.row_hash) for f in expected]
        assert len(found) > 500


def test_a_stream_that_was_cut_by_all_of_it_told_every_forecast_once_and_in_order(played: Played) -> None:
    for fixture in played.fixtures:
        assert played.reader.trader.seqs[fixture.match_id] == [f.seq for f in counted(played.log, fixture)]


def test_the_state_after_all_kills_is_that_of_an_undisturbed_fold(played: Played) -> None:
    with closing(played.system.stores.snapshots()) as snapshots:
        for fixture in played.fixtures:
            snapshot = snapshots.load(fixture.match_id)
            assert snapshot is not None
            state = new_match(fixture)
            for record in feed_of(played.log, fixture):
                if record.offset <= snapshot.offset:
                    state, _ = step(state, Entry(offset=record.offset, key=record.key, value=record.value))
            assert snapshot.state_hash == state_hash(state)


def test_history_holds_every_published_forecast_once_and_its_chain_is_whole(played: Played) -> None:
    with closing(played.system.stores.history()) as history:
        for fixture in played.fixtures:
            rows = list(rows_of(history, fixture.match_id))
            assert [row.seq for row in rows] == [f.seq for f in counted(played.log, fixture)]
            count, fault = check_chain(rows, history.heads(fixture.match_id), history.feature_snapshot)
            assert (count, fault) == (len(rows), None)


@pytest.mark.parametrize("batch", [500, 7])
def test_every_forecast_replays_identically_whatever_the_batch(played: Played, batch: int) -> None:
    command = [sys.executable, "-m", "cluster.audit", "replay", "--batch", str(batch), *played.system.options]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    identical, total = _totals(done.stdout)
    assert identical == total > 500 * MATCHES


def test_the_audit_names_a_row_that_was_changed(played: Played, tmp_path: Path) -> None:
    if played.storm is not None:
        pytest.skip("a file is changed here; rows of Cassandra are in tests/contract/test_tools_real.py")
    copy = tmp_path / "history.db"
    with sqlite3.connect(played.system.folder / "history.db") as source, sqlite3.connect(copy) as target:
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


def _storm(played: Played) -> Storm:
    if played.storm is None:
        pytest.skip("the embedded profile has no servers to lose")
    return played.storm


def test_matches_were_spread_over_both_nodes_of_which_one_was_lost(played: Played) -> None:
    if played.spread is None:
        pytest.skip("the embedded profile has one node")
    assert all(played.spread) and sum(played.spread) == MATCHES


def test_no_read_failed_while_the_servers_were_lost(played: Played) -> None:
    storm = _storm(played)
    assert storm.watch.failures == []
    assert len(storm.watch.looks) > 100


def test_without_the_broker_readers_see_stale_then_suspended_then_fresh_numbers_again(played: Played) -> None:
    storm = _storm(played)
    began, ended = storm.spans["kafka"]
    back_at = storm.spans["kafka back"][1]
    lost, told = storm.watch.during((began, ended)), storm.watch.during((began, back_at))
    for match_id in lost[0].states:
        states = [look.states[match_id] for look in lost if match_id in look.states]
        changes = [states[0], *(later for earlier, later in pairwise(states) if later != earlier)]
        assert changes[-2:] == ["STALE", "SUSPENDED"], changes
        assert told[-1].states.get(match_id, "FRESH") == "FRESH"
    silent = storm.watch.during((began + timedelta(seconds=5), ended))
    assert silent and not any("FRESH" in look.states.values() for look in silent), "no stale number is shown as fresh"


def test_without_cassandra_forecasts_go_on(played: Played) -> None:
    storm = _storm(played)
    span = storm.spans["cassandra"]
    assert (span[1] - span[0]).total_seconds() >= 120
    kafka = (storm.spans["kafka"][0], storm.spans["kafka back"][1])
    stamps = [f.stamps.published for fixture in played.fixtures for f in counted(played.log, fixture)]
    meanwhile = [at for at in stamps if span[0] < at < span[1] and not kafka[0] < at < kafka[1]]
    assert len(meanwhile) > 100 * MATCHES
    looks = [look for look in storm.watch.during(span) if not kafka[0] <= look.at <= kafka[1]]
    for part in range(4):  # all the time, not just until something was full
        quarter = looks[part * len(looks) // 4 : (part + 1) * len(looks) // 4]
        assert any("FRESH" in look.states.values() for look in quarter)


def test_redis_is_refilled_within_five_seconds_of_its_return(played: Played) -> None:
    storm = _storm(played)
    assert storm.refilled_s.keys() == {"flushed", "stopped", "killed"}
    assert max(storm.refilled_s.values()) < 5.0, storm.refilled_s


def _totals(output: str) -> tuple[int, int]:
    words = output.strip().splitlines()[-1].split()
    return int(words[0]), int(words[2])


def _matches(system: System) -> list[dict[str, Any]]:
    try:
        return list(system.get("/v1/matches").raise_for_status().json()["matches"])
    except httpx.HTTPError:
        return [{"phase": "unknown"}]


def _live(system: System) -> list[dict[str, Any]]:
    return [match for match in _matches(system) if match["phase"] == "live"]


def _owners(node: Node) -> int:
    return len(node.processes("ray::MatchActor"))


def _clock(match: dict[str, Any]) -> tuple[int, int]:
    return match["clock"]["period"], match["clock"]["ms"]


def _wait_for_minute(system: System, minute: int) -> None:
    def reached() -> bool:
        clocks = [_clock(match) for match in _matches(system) if "clock" in match]
        return any(clock >= (1, minute * 60_000) for clock in clocks)

    eventually(reached, timeout_s=300, every_s=_LOOK_EVERY_S)


def _history_is_complete(played: Played) -> bool:
    with closing(played.system.stores.history()) as history:
        return all(
            [row.seq for row in rows_of(history, f.match_id)] == [c.seq for c in counted(played.log, f)]
            for f in played.fixtures
        )


def _undisturbed(log: EventLog, fixture: Fixture, model: Forecaster) -> list[Forecast]:
    """Fold what the log has of a match in this process, with stores of its own and nothing that dies."""
    copy, lease = MemoryLog(), Lease(partition=0, start_offset=0)
    copy.append(FEED, 0, [NewRecord(key=r.key or "", value=r.value) for r in feed_of(log, fixture)])
    settings = MatchSettings(read_wait_s=0.0, conflate_behind_records=10**9, snapshot_every_s=1e9)
    ports = MatchPorts(log=copy, snapshots=MemorySnapshots(), predict=model.predict)
    session = MatchSession(fixture, lease, ports, settings)
    while session.advance():
        pass
    published = (decode_published(r.value or b"") for r in copy.topics[FORECASTS][0])
    return [record for record in published if isinstance(record, Forecast)]
