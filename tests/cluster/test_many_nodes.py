"""Ray on two nodes: matches are spread over both, one node is killed, and its matches go on on the other."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bench.running import System, on
from cluster.launch import SETTINGS_OF_RAY
from cluster.services.servers import Services
from tests.cluster.logs import counted, fixtures_of
from tests.conftest import eventually

MATCHES = 4
OBJECT_STORE = 100 * 1024 * 1024


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two Ray nodes on this machine: a head, and one more."""
    for name, value in {**SETTINGS_OF_RAY, "RAY_AUTH_TOKEN": secrets.token_hex(16)}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    args = {"num_cpus": 16, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=args)
    try:
        cluster.add_node(num_cpus=16, object_store_memory=OBJECT_STORE)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.mark.real_store
def test_a_node_is_killed_and_its_matches_go_on_on_the_other(services: Services, nodes: Any, tmp_path: Path) -> None:
    options = [f"ray.address={nodes.address}", "serve.proxies=HeadOnly", "replay.loop=false", "replay.speed=10"]
    system = System(tmp_path / "data", [*options, *on(services.config, "nodes")])
    log = system.stores.log()
    try:
        system.start()
        eventually(lambda: len(_live(system)) == MATCHES, timeout_s=120, every_s=0.5)
        head, other = nodes.head_node, next(iter(nodes.worker_nodes))
        eventually(lambda: len(_matches_on(head)) + len(_matches_on(other)) == MATCHES, timeout_s=30)
        assert _matches_on(head) and _matches_on(other), "spread over both"
        before = _clocks(system)
        nodes.remove_node(other, allow_graceful=False)
        eventually(lambda: _all_are_fresh_and_later_than(system, before), timeout_s=90, every_s=0.5)
        eventually(lambda: len(_matches_on(head)) == MATCHES, timeout_s=30)
        for fixture in fixtures_of(log):
            seqs = [forecast.seq for forecast in counted(log, fixture)]
            assert seqs == sorted(set(seqs)) and len(seqs) > 20
    finally:
        system.stop()
        log.close()


def _live(system: System) -> list[dict[str, Any]]:
    try:
        matches = httpx.get(f"{system.base}/v1/matches", timeout=5.0).raise_for_status().json()["matches"]
    except httpx.HTTPError:
        return []
    return [match for match in matches if match["phase"] == "live"]


def _clocks(system: System) -> dict[str, tuple[int, int]]:
    return {match["match_id"]: (match["clock"]["period"], match["clock"]["ms"]) for match in _live(system)}


def _all_are_fresh_and_later_than(system: System, before: dict[str, tuple[int, int]]) -> bool:
    """Say whether every match is a minute of play further, and shown as fresh."""
    now = {match["match_id"]: match for match in _live(system)}
    return now.keys() == before.keys() and all(
        match["freshness"]["state"] == "FRESH"
        and (match["clock"]["period"], match["clock"]["ms"]) > (period, ms + 60_000)
        for match_id, match in now.items()
        for period, ms in [before[match_id]]
    )


def _matches_on(node: Any) -> list[int]:
    """Return the pids of the match actors below a node's raylet."""
    [raylet] = [each.process for each in node.all_processes["raylet"]]
    family = psutil.Process(raylet.pid).children(recursive=True)
    return [process.pid for process in family if "ray::MatchActor" in _title(process)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
