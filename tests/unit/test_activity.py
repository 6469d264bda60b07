"""Requests are counted by minute, route and status; nothing a client invents becomes a label; an outage loses none."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
from websockets.sync.client import connect

from actors.domain.errors import StoreUnavailable
from actors.domain.ports import ActivityRow
from serve_app.activity import KEY, TENANT, ActivityRecorder
from serve_app.deps import Limits
from tests.unit.api_world import MATCH, a_fixture, a_forecast, a_world, listening, opened

NOON = datetime(2026, 5, 30, 12, 0, tzinfo=UTC)


class _Store:
    """Keeps rows as the tables do; away while `away`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[datetime, str, int], int] = {}
        self.away = False

    def write_activity(self, rows: Sequence[ActivityRow]) -> None:
        if self.away:
            raise StoreUnavailable("history", "write_activity", "down")
        self.rows |= {(row.at, row.route, row.status): row.count for row in rows}

    def activity(self, tenant: str, day: object) -> list[ActivityRow]:
        raise AssertionError("serving does not read it")


class _Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


def test_requests_are_counted_by_route_and_status(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=30))
        with listening(world, now=lambda: NOON) as address:
            for path in (f"/v1/matches/{MATCH}/forecast", "/v1/matches/x:1/forecast", "/wp-login.php", "/web/main.js"):
                httpx.get(address + path)
            httpx.delete(f"{address}/v1/matches/{MATCH}")
            with connect(address.replace("http", "ws") + "/v1/ws"):
                pass
        rows = {(row.route, row.status): row.count for row in world.history.activity(TENANT, NOON.date())}
        assert {row.key_id for row in world.history.activity(TENANT, NOON.date())} == {KEY}
    assert rows.pop(("/readyz", 200)) >= 1  # `listening` waits for it
    rows.pop(("/readyz", 503), None)
    assert rows == {
        ("/v1/matches/{match_id}/forecast", 200): 1,
        ("/v1/matches/{match_id}/forecast", 404): 1,
        ("/v1/matches/{match_id}", 405): 1,
        ("unknown", 404): 1,
        ("/web/", 200): 1,
        ("/v1/ws", 101): 1,
    }


def test_a_minute_that_goes_on_replaces_its_row_and_one_that_is_over_is_forgotten() -> None:
    store, clock = _Store(), _Clock()
    recorder = ActivityRecorder(store, "r1", Limits(), clock)
    recorder.count("/", 200)
    asyncio.run(recorder.flush())
    recorder.count("/", 200)
    asyncio.run(recorder.flush())
    assert store.rows == {(NOON, "/", 200): 2}
    clock.at += timedelta(minutes=1)
    recorder.count("/", 200)
    asyncio.run(recorder.flush())
    asyncio.run(recorder.flush())
    assert store.rows == {(NOON, "/", 200): 2, (clock.at, "/", 200): 1}


def test_counts_wait_for_a_store_that_is_away_and_the_oldest_go_where_too_many_wait() -> None:
    store, clock = _Store(), _Clock()
    recorder = ActivityRecorder(store, "r1", Limits(activity_rows=2), clock)
    store.away = True
    for minute in range(3):
        clock.at = NOON + timedelta(minutes=minute)
        recorder.count("/", 200)
        asyncio.run(recorder.flush())
    store.away = False
    asyncio.run(recorder.stop())
    assert store.rows == {(NOON + timedelta(minutes=minute), "/", 200): 1 for minute in (1, 2)}
