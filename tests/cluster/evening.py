"""An evening of football: the whole system, many real matches at 60 times real speed, clients that come and go.

Played once for all tests of many matches and of streams, with everything killed in the second half and started again.
Without data.root it is the demo matches and Betfair's stream alone.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.feed_betfair import join_odds, odds_only
from actors.adapters.feed_data_root import read_match
from actors.adapters.feed_writer import FeedWriter, Playing
from actors.domain.fixtures import Fixture
from actors.domain.forecast import Forecast
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS
from actors.machines.replay import NO_NOISE, rename, schedule
from actors.supervisor import FixtureBook
from bench.running import System
from cluster.feeds import DEMO, demo_files
from cluster.replay import announce, wait_for_leases
from tests.cluster.logs import counted, fixtures_of
from tests.cluster.readers import Reader, SseReader, WsReader
from tests.conftest import eventually

SPEED = 60.0
PARTITIONS = 48
BETFAIR = next(DEMO.glob("betfair_*.bz2"))
STATSBOMB = "raw/statsbomb_3754058.json.xz"
JOINED = "understat:3483"  # Middlesbrough v Manchester City, the match of Betfair's stream
OF_DATA_ROOT = (
    "wyscout:1694434",  # Poland v Portugal: extra time and shoot-out
    "wyscout:1694428",  # Croatia v Portugal: decided in extra time
    "wyscout:2499721",  # Chelsea v Burnley 2-3: a straight red and a second yellow
    "wyscout:2499734",  # Manchester City v Everton: two second yellows
    "wyscout:2499877",  # Tottenham v Stoke 5-1: an own goal
    "wyscout:2516867",  # Köln v Freiburg 3-4: an own goal and a penalty
    "wyscout:2565702",  # a red card for a player who had been substituted
    "understat:1553",  # Real Madrid v Rayo Vallecano 10-2
    "understat:9985",  # Barcelona v Huesca 8-2
)
KILL_AT = (2, 15 * 60_000)  # period and ms


@dataclass
class Evening:
    """What was played, what the log says of it, and what clients saw."""

    folder: Path
    readers: dict[str, Reader] = field(default_factory=dict)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)  # of GET /v1/matches at the end, by match
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)  # of GET forecast at the end
    moments: dict[str, datetime] = field(default_factory=dict)

    @cached_property
    def log(self) -> SqliteLog:
        return open_log(self.folder)

    @property
    def fixtures(self) -> dict[str, Fixture]:
        """Fixtures by the id of the match that was recorded."""
        return {fixture.match_id.rpartition(".")[0]: fixture for fixture in fixtures_of(self.log)}

    def counted(self, fixture: Fixture) -> list[Forecast]:
        """Return a match's forecasts by the readers' rule, in order."""
        return counted(self.log, fixture)

    @cached_property
    def published(self) -> dict[str, list[tuple[int, datetime]]]:
        """What readers should have been told, by match: seq and when it was published."""
        every = self.fixtures.values()
        return {f.match_id: [(each.seq, each.stamps.published) for each in self.counted(f)] for f in every}

    def mark(self, moment: str) -> None:
        self.moments[moment] = datetime.now(UTC)

    def took_s(self, start: str, end: str) -> float:
        return round((self.moments[end] - self.moments[start]).total_seconds(), 1)


def open_log(folder: Path) -> SqliteLog:
    """Open the log of a running system."""
    return SqliteLog(folder / "log", {FEED: PARTITIONS, FORECASTS: PARTITIONS, FIXTURES: 1, DEAD_LETTERS: 1})


def play(folder: Path, data_root: Path | None) -> Evening:
    """Play the evening from the first kick-off to the last whistle; nothing of it runs when this returns."""
    evening, names = Evening(folder / "data"), [str(path) for path in (*demo_files(), BETFAIR)]
    if data_root is not None:
        names += [str(data_root / STATSBOMB), *OF_DATA_ROOT]
    system = System(evening.folder, _options(names, data_root))
    provider = _Provider(evening.folder, data_root) if data_root else None
    try:
        evening.mark("start")
        system.start()
        evening.mark("ready")
        _send_readers(evening, system.base)
        if provider is not None:
            provider.start()
        _play_on(evening, system, matches=len(names) + (provider is not None))
        _note_the_end(evening, system)
    finally:
        if provider is not None:
            provider.stop()
        system.stop()
        for reader in evening.readers.values():
            reader.stop()
    return evening


def _options(names: list[str], data_root: Path | None) -> list[str]:
    quoted = ",".join(f"'{name}'" for name in names)
    root = [] if data_root is None else [f"data.root={data_root}"]
    return [f"replay.speed={SPEED:g}", "replay.loop=false", f"replay.matches=[{quoted}]", *root]


def _send_readers(evening: Evening, base: str) -> None:
    evening.readers = {
        "steady": SseReader(base),
        "sse": SseReader(base, seed=1),
        "sse, long absent": SseReader(base, seed=2, patience=8_000),
        "conflated": SseReader(base, query="?conflate_ms=1000"),
        "websocket": WsReader(base, seed=3, patience=400),
    }
    for reader in evening.readers.values():
        reader.start()


def _play_on(evening: Evening, system: System, matches: int) -> None:
    _until(evening, lambda: len(_matches(system)) == matches, timeout_s=60)
    _until(evening, lambda: _count(system, "live", "break") == matches, timeout_s=120)
    evening.mark("all live")
    _until(evening, lambda: _has_reached(system, KILL_AT), timeout_s=180)
    evening.mark("killed")
    system.kill_everything()
    system.start()
    evening.mark("ready again")
    _until(evening, lambda: _count(system, "finished") == matches, timeout_s=300)
    evening.mark("finished")


def _note_the_end(evening: Evening, system: System) -> None:
    """Take what the API says once all clients have what the log has."""
    for reader in evening.readers.values():
        reader.stay()  # or one might hang up faster than it catches up
    last = {match_id: told[-1][0] for match_id, told in evening.published.items()}
    _until(evening, lambda: all(reader.trader.last == last for reader in evening.readers.values()), timeout_s=60)
    evening.mark("told")
    evening.items = {match["match_id"]: match for match in _matches(system)}
    for match_id in last:
        answer = system.get(f"/v1/matches/{match_id}/forecast")
        evening.bodies[match_id] = answer.raise_for_status().json()


def _until(evening: Evening, condition: Callable[[], object], timeout_s: float) -> None:
    """Wait for what should happen, or for a client to fail."""
    readers = evening.readers.values()
    try:
        eventually(lambda: any(r.failure for r in readers) or condition(), timeout_s=timeout_s, every_s=0.5)
    except AssertionError as error:
        error.add_note("\n".join(f"{name}: {reader}" for name, reader in evening.readers.items()))
        raise
    for reader in readers:
        reader.check()


def _matches(system: System) -> list[dict[str, Any]]:
    try:
        return list(system.get("/v1/matches").raise_for_status().json()["matches"])
    except httpx.HTTPError:
        return []


def _count(system: System, *phases: str) -> int:
    return sum(match["phase"] in phases for match in _matches(system))


def _has_reached(system: System, clock: tuple[int, int]) -> bool:
    return any((match["clock"]["period"], match["clock"]["ms"]) >= clock for match in _matches(system))


class _Provider:
    """A feed from outside: Middlesbrough v Manchester City with Betfair's prices. It goes on while we are down."""

    def __init__(self, folder: Path, data_root: Path) -> None:
        self._feed = join_odds(read_match(data_root, JOINED), odds_only(BETFAIR))
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provider", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def _run(self) -> None:
        with closing(open_log(self._folder)) as log:
            book = FixtureBook(log)
            book.refresh()
            announced = announce(book, self._feed, NO_NOISE, SPEED)
            [fixture] = wait_for_leases(book, [announced.match_id], 60.0)
            eventually(lambda: _kicked_off(log), timeout_s=90.0, every_s=0.2)
            feed = rename(self._feed, fixture.match_id, fixture.kick_off)
            FeedWriter(log).play([Playing(fixture, schedule(feed))], SPEED, self._stop.is_set)


def _kicked_off(log: SqliteLog) -> bool:
    """Say whether the other matches have begun: they do when all have their owner."""
    return any(log.end_offsets(FEED).values())
