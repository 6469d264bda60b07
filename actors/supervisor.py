"""Keeps one actor per live match: leases partitions, starts, watches, restarts, retires. A thin shell."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from msgspec import DecodeError
from msgspec.structs import replace

from actors.domain.errors import ForecastingError
from actors.domain.fixtures import Fixture, Lease, decode_fixture, encode_fixture
from actors.domain.ports import FEED, FIXTURES, FORECASTS, EventLog, NewRecord
from actors.machines.fixtures import (
    Action,
    Grant,
    Retire,
    Seen,
    Start,
    Stop,
    SupervisorSettings,
    failed_again,
    reconcile,
)
from actors.match import Progress

logger = logging.getLogger("touchline.supervisor")

_EVERY_S = 1.0


class MatchRunner(Protocol):
    """How match actors are started and asked; the Ray one is made in cluster/launch.py."""

    def start(self, fixture: Fixture) -> None:
        """Start the actor named `match:<id>`, or find it if it runs."""
        ...

    def progress(self, match_id: str) -> Progress | None:
        """Return how far it is; None if it is not there or does not answer in time."""
        ...

    def stop(self, match_id: str) -> None: ...


class FixtureBook:
    """The fixtures as their topic has them: the last record of each match id counts."""

    def __init__(self, log: EventLog) -> None:
        self._log, self._next = log, 0
        self.fixtures: dict[str, Fixture] = {}

    def refresh(self, wait_s: float = 0.0) -> None:
        """Read what has been added."""
        while records := self._log.read(FIXTURES, {0: self._next}, 1_000, wait_s):
            for record in records:
                self._take(record.key, record.value)
            self._next, wait_s = records[-1].offset + 1, 0.0

    def save(self, fixture: Fixture) -> None:
        """Append a fixture's newest form."""
        self._log.append(FIXTURES, 0, [NewRecord(key=fixture.match_id, value=encode_fixture(fixture))])
        self.fixtures[fixture.match_id] = fixture

    def _take(self, key: str | None, value: bytes | None) -> None:
        try:
            fixture = decode_fixture(value or b"")
        except DecodeError as error:
            logger.warning("Fixture not read", extra={"key": key, "problem": str(error)})
            return
        self.fixtures[fixture.match_id] = fixture


class FixtureSupervisor:
    """Reconciles fixtures with match actors once a second, in a thread of its own."""

    def __init__(
        self, log: Callable[[], EventLog], runner: Callable[[], MatchRunner], settings: SupervisorSettings
    ) -> None:
        self._log, self._runner, self._settings = log(), runner(), settings
        self._book = FixtureBook(self._log)
        self._seen: dict[str, Seen] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def status(self) -> dict[str, Seen]:
        """Return what is known of each match's actor."""
        return dict(self._seen)

    def stop(self) -> None:
        """Stop supervising; the match actors go on."""
        self._stop.set()
        self._thread.join(timeout=10.0)

    def tend(self) -> None:
        """Do one round: look, decide, act."""
        self._book.refresh()
        ends = self._log.end_offsets(FEED)
        live = {k: f for k, f in self._book.fixtures.items() if f.status != "retired" and f.lease}
        for match_id, fixture in live.items():
            seen = self._seen.get(match_id)
            if seen is not None and seen.is_running and fixture.lease is not None:
                self._look(match_id, seen, ends.get(fixture.lease.partition, 0))
        now, clock_s = datetime.now(UTC), time.monotonic()
        for action in reconcile(self._book.fixtures, self._seen, now, clock_s, self._settings):
            self._do(action, ends)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self.tend()
            except ForecastingError as error:
                logger.warning("Supervision round failed, next one in a second", extra={"problem": str(error)})

    def _look(self, match_id: str, seen: Seen, feed_end: int) -> None:
        clock_s = time.monotonic()
        progress = self._runner.progress(match_id)
        if progress is None:
            if clock_s - max(seen.moved_at, seen.started_at) > self._settings.stalled_after_s:
                self._seen[match_id] = replace(seen, failed="no answer")
            return
        nothing_waits = not progress.is_settled and progress.offset + 1 >= feed_end
        moved = progress.offset > seen.offset or nothing_waits
        self._seen[match_id] = replace(
            seen,
            offset=progress.offset,
            moved_at=clock_s if moved else seen.moved_at,
            is_settled=progress.is_settled,
            failed=progress.failed,
        )

    def _do(self, action: Action, feed_ends: dict[int, int]) -> None:
        fixture, clock_s = self._book.fixtures[action.match_id], time.monotonic()
        match action:
            case Grant(partition=partition, shared=shared):
                lease = Lease(
                    partition=partition,
                    start_offset=feed_ends.get(partition, 0),
                    forecasts_from=self._log.end_offsets(FORECASTS).get(partition, 0),
                    shared=shared,
                )
                self._book.save(replace(fixture, lease=lease))
                logger.info("Partition leased", extra={"match_id": action.match_id, "partition": partition})
            case Start():
                self._runner.start(fixture)
                before = self._seen.get(action.match_id, Seen())
                self._seen[action.match_id] = replace(before, is_running=True, started_at=clock_s, failed=None)
                logger.info("Match started", extra={"match_id": action.match_id, "failures": before.failures})
            case Stop(why=why):
                self._runner.stop(action.match_id)
                self._seen[action.match_id] = failed_again(self._seen[action.match_id], clock_s, self._settings)
                logger.warning("Match stopped, to be started again", extra={"match_id": action.match_id, "why": why})
            case Retire():
                self._book.save(replace(fixture, status="retired"))
                self._runner.stop(action.match_id)
                self._seen.pop(action.match_id, None)
                logger.info("Match retired", extra={"match_id": action.match_id})
