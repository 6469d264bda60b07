"""How long from the SIGKILL of a match actor to the next forecast of its match? On the cluster profile.

Four matches at ten times real speed, so that a forecast is due twice a second and the feed is not what is waited for.
Counted from just before the kill to the stamp of the first forecast of the next owner, as the log has it. The next
kill comes when the match's own actor has taken it back from the standby, so each finds the system as it is at rest.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psutil

from actors.domain.forecast import EpochOpen, Forecast, decode_published
from actors.domain.ports import FORECASTS, EventLog
from bench.harness import report, spread_ms
from bench.running import System, on, servers_of_its_own
from cluster.services.servers import Services

KILLS = 50
MOST_KILLS = 25  # of one evening: a match lasts ten minutes at this speed
MATCHES = 4
SEED = 1
REST_S = 1.0  # between a match's return to its own actor and the next kill
PATIENCE_S = 60.0
RETURN_S = 30.0
WARM_UP_S = 20.0


def run(kills: int = KILLS) -> None:
    """Print one line."""
    with servers_of_its_own() as services:
        parts = [min(MOST_KILLS, kills - done) for done in range(0, kills, MOST_KILLS)]
        times = [time_s for n, part in enumerate(parts) for time_s in _evening(services, f"recover{n}", part)]
    report(
        "recover",
        {"kills": kills, "matches": MATCHES, "speed": 10, "seed": SEED},
        {"n": len(times), **spread_ms(times)},
    )


def _evening(services: Services, name: str, kills: int) -> list[float]:
    """Return the seconds of each recovery while four matches are played, all in play to the last."""
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "data", ["replay.speed=10", *on(services.config, name)])
        try:
            system.start()
            time.sleep(WARM_UP_S)
            with closing(system.stores.log()) as log:
                return list(_recoveries(system, log, kills))
        finally:
            system.stop()


def _recoveries(system: System, log: EventLog, kills: int) -> Iterator[float]:
    """Yield the seconds that each recovery took."""
    choose = random.Random(SEED)
    for _ in range(kills):
        owners = _owners(system)
        positions = log.end_offsets(FORECASTS)
        victim, killed_at = choose.choice(owners), datetime.now(UTC)
        victim.kill()
        first = _next_forecast(log, positions)
        yield (first.stamps.published - killed_at).total_seconds()
        _wait_for_return(log, positions, first)
        time.sleep(REST_S)


def _owners(system: System) -> list[psutil.Process]:
    """Wait until every match has its owner, and return them."""
    deadline = time.monotonic() + PATIENCE_S
    while len(owners := system.processes("ray::MatchActor")) < MATCHES:
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(owners)} of {MATCHES} matches have an owner")
        time.sleep(0.2)
    return owners


def _wait_for_return(log: EventLog, positions: dict[int, int], bridged: Forecast) -> None:
    """Wait until the match has yet another owner; where Ray was faster than the standby, none comes."""
    deadline = time.monotonic() + RETURN_S
    while time.monotonic() < deadline:
        for record in log.read(FORECASTS, positions, 500, wait_s=1.0):
            positions[record.partition] = record.offset + 1
            match decode_published(record.value or b""):
                case EpochOpen(match_id=match_id, epoch=epoch) if match_id == bridged.match_id:
                    if epoch > bridged.epoch:
                        return


def _next_forecast(log: EventLog, positions: dict[int, int]) -> Forecast:
    """Read on until the match that gets a new owner has its first forecast of it."""
    opened: dict[str, int] = {}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for record in log.read(FORECASTS, positions, 500, wait_s=1.0):
            positions[record.partition] = record.offset + 1
            published = decode_published(record.value or b"")
            if isinstance(published, EpochOpen):
                opened[published.match_id] = published.epoch
            elif isinstance(published, Forecast) and published.epoch == opened.get(published.match_id):
                return published
    raise AssertionError(f"no forecast of a new owner within {PATIENCE_S:g} s")
