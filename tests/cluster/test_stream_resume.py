"""Clients of the real running system that are cut off, again and again, miss nothing and see nothing twice.

They watch the evening of tests/cluster/evening.py; in its second half everything is killed and started again.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.domain.forecast import EpochOpen
from serve_app.cursor import Position, encode_position
from serve_app.deps import Limits
from tests.cluster.evening import Evening
from tests.cluster.readers import Reader
from tests.unit.api_world import MATCH, a_world
from tests.unit.test_push_resume import Publish, Scene

READERS = ("steady", "sse", "sse, long absent", "websocket")


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, evening: Evening) -> Iterator[Reader]:
    """One of the clients, when all is over."""
    yield evening.readers[request.param]


def test_a_client_has_every_forecast_of_the_log_once_and_in_order(reader: Reader, evening: Evening) -> None:
    """By the readers' rule; only what was published before it first came may be left out."""
    seen = reader.trader.seqs
    assert seen.keys() == evening.published.keys()
    for match_id, expected in evening.published.items():
        told, before = seen[match_id], sum(at < reader.began_at for _, at in expected)
        assert told == [seq for seq, _ in expected][len(expected) - len(told) :]
        assert len(told) >= len(expected) - before


def test_a_conflating_client_has_fewer_forecasts_in_order_and_the_last_of_each_match(evening: Evening) -> None:
    seen = evening.readers["conflated"].trader.seqs
    for match_id, expected in evening.published.items():
        seqs = [seq for seq, _ in expected]
        assert seen[match_id] == [seq for seq in seqs if seq in set(seen[match_id])]
        assert seen[match_id][-1] == seqs[-1]
        assert len(seen[match_id]) < len(seqs)


def test_a_client_was_never_told_that_its_position_was_lost(reader: Reader) -> None:
    assert "resync" not in reader.trader.events


def test_a_client_was_refused_only_while_the_server_started_again(reader: Reader, evening: Evening) -> None:
    """Until Serve knows its routes it answers 404 or 500 itself; a client that is told to wait (503) is not refused."""
    start, end = evening.moments["killed"], evening.moments["ready again"]
    assert [why for at, why in reader.refused if not start < at < end] == []


@pytest.mark.parametrize("name", [*READERS, "conflated"])
def test_image_and_deltas_add_up_to_the_forecast_that_the_api_gives(evening: Evening, name: str) -> None:
    bodies = evening.readers[name].trader.bodies
    assert {m: without_freshness(body) for m, body in bodies.items()} == {
        m: without_freshness(body) for m, body in evening.bodies.items()
    }


def without_freshness(body: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in body.items() if key != "freshness"}


def test_an_image_comes_once_for_each_match_however_often_a_client_returns(reader: Reader, evening: Evening) -> None:
    assert reader.trader.events.count("image") == len(evening.fixtures)


@pytest.mark.parametrize(("name", "least"), [("steady", 2), ("sse", 30), ("sse, long absent", 4), ("websocket", 30)])
def test_lines_were_cut_as_often_as_meant(evening: Evening, name: str, least: int) -> None:
    """Else nothing above was put to the proof. The steady one was cut by the end of the server alone."""
    assert evening.readers[name].connections >= least


def test_no_client_was_shown_an_edge_that_it_must_not_act_on(reader: Reader) -> None:
    assert reader.trader.unwarranted == []


@pytest.mark.needs_data
def test_edges_were_shown_at_all(evening: Evening) -> None:
    assert sum(reader.trader.edges for reader in evening.readers.values()) > 100


def test_a_client_cut_between_the_owner_s_marker_and_the_first_forecast_still_gets_an_image(tmp_path: Path) -> None:
    """Its position lies behind the match's first record, but it knows nothing of the match."""

    async def scenario() -> Scene:
        with a_world(tmp_path, limits=Limits(heartbeat_s=3600)) as world:
            scene = Scene(world, tail=500)
            await scene.start()
            world.publish(EpochOpen(match_id=MATCH, epoch=1, owner="first"))
            await scene.follow()
            scene.client.cursor = encode_position(Position(offsets=dict(scene.api.hub.position), is_complete=True))
            await scene.do(Publish(MATCH))
            await scene.read(1)
            await scene.api.hub.stop()
            return scene

    client = asyncio.run(scenario()).client
    assert (client.events, client.seqs[MATCH]) == (["image"], [1])
