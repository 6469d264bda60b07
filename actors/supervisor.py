"""Keeps one actor per live match: leases partitions, starts, watches, restarts, retires. A thin shell."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
    Report,
    Retire,
    Seen,
    Start,
    Stop,
    SupervisorSettings,
    answered,
    counted,
    failed_again,
    reconcile,
    started,
)
from actors.match import Progress

logger = logging.getLogger("touchline.supervisor")

_EVERY_S = 1.0


class MatchRunner(Protocol):
    """How match actors are started and asked; the Ray one is made in cluster/launch.py."""

    def start(self, fixture: Fixture) -> None:
        """Start the actor named `match:<id>`, or find it if it runs."""
        ...

    def progress(self, match_ids: Sequence[str]) -> Mapping[str, Progress]:
        """Return how far they are; who is not there, or does not answer in time, is left out."""
        ...

    def stop(self, match_id: str) -> None:
        """End the actor, for good and within a bound; one that is not there is no error."""
        ...


class FixtureBook:
    """The fixtures as their topic has them: the last record of each match id counts."""

    def __init__(self, log: EventLog) -> None:
        self._log, self._next = log, 0
        self.fixtures: dict[str, Fixture] = {}
        self.unsaid: set[str] = set()  # of these the newest record says another lease than counts

    def refresh(self, wait_s: float = 0.0) -> None:
        """Read what has been added."""
        while records := self._log.read(FIXTURES, {0: self._next}, 1_000, wait_s):
            for record in records:
                self._take(record.key, record.value)
            self._next, wait_s = records[-1].offset + 1, 0.0

    def save(self, fixture: Fixture) -> None:
        """Append a fixture's newest form, and read on to it: what others said before it may count instead."""
        self._log.append(FIXTURES, 0, [NewRecord(key=fixture.match_id, value=encode_fixture(fixture))])
        self.refresh()

    def say_again(self) -> None:
        """Make the newest record of each match say what counts: it is the one that compaction keeps."""
        for match_id in sorted(self.unsaid):
            self.save(self.fixtures[match_id])

    def _take(self, key: str | None, value: bytes | None) -> None:
        try:
            fixture = decode_fixture(value or b"")
        except DecodeError as error:
            logger.warning("Fixture not read", extra={"key": key, "problem": str(error)})
            return
        counts = counted(self.fixtures, fixture)
        self.fixtures[fixture.match_id] = counts
        (self.unsaid.discard if counts == fixture else self.unsaid.add)(fixture.match_id)


class FixtureSupervisor:
    """Reconciles fixtures with match actors once a second, in a thread of its own."""

    def __init__(
        self,
        log: Callable[[], EventLog],
        runner: Callable[[], MatchRunner],
        settings: SupervisorSettings,
        every_s: float = _EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._log, self._runner, self._settings = log(), runner(), settings
        self._every_s, self._monotonic, self._now = every_s, monotonic, now
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
        """Do one round: look, decide, act. What goes wrong with one match is tried again in the next round."""
        self._book.refresh()
        self._book.say_again()
        ends = self._log.end_offsets(FEED)
        self._look(ends)
        for action in reconcile(self._book.fixtures, self._seen, self._now(), self._monotonic(), self._settings):
            try:
                self._do(action, ends)
            except ForecastingError as error:
                logger.warning("Not done", extra={"action": repr(action), "problem": str(error)})
            except Exception:  # whatever it was, the other matches need their turn
                logger.exception("Not done", extra={"action": repr(action)})

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.tend()
            except ForecastingError as error:
                logger.warning("Supervision round failed", extra={"problem": str(error)})
            except Exception:  # whatever it was, somebody must go on watching
                logger.exception("Supervision round failed")

    def _look(self, feed_ends: Mapping[int, int]) -> None:
        """Ask every actor that should run how far it is."""
        fixtures = self._book.fixtures
        running = [match_id for match_id, seen in self._seen.items() if seen.is_running]
        for match_id, progress in self._runner.progress(running).items():
            lease = fixtures[match_id].lease
            report = Report(
                offset=progress.offset,
                next_offset=progress.next_offset,
                feed_end=feed_ends.get(lease.partition, 0) if lease else 0,
                is_settled=progress.is_settled,
                failed="owned by another" if progress.is_fenced else progress.failed,
            )
            self._seen[match_id] = answered(self._seen[match_id], report, self._monotonic(), self._settings)

    def _do(self, action: Action, feed_ends: Mapping[int, int]) -> None:
        fixture, before = self._book.fixtures[action.match_id], self._seen.get(action.match_id, Seen())
        match action:
            case Grant():
                self._grant(fixture, action, feed_ends)
            case Start():
                self._seen[action.match_id] = failed_again(before, self._monotonic(), self._settings)  # unless it works
                self._runner.start(fixture)
                self._seen[action.match_id] = started(before, self._monotonic())
                logger.info("Match started", extra={"match_id": action.match_id, "failures": before.failures})
            case Stop(why=why):
                self._runner.stop(action.match_id)
                self._seen[action.match_id] = failed_again(before, self._monotonic(), self._settings)
                logger.warning("Match stopped, to be started again", extra={"match_id": action.match_id, "why": why})
            case Retire(is_finished=is_finished):  # stopped first: nobody looks after an actor of a retired match
                self._runner.stop(action.match_id)
                self._book.save(replace(fixture, status="retired"))
                self._seen.pop(action.match_id, None)
                logger.info("Match retired", extra={"match_id": action.match_id, "is_finished": is_finished})

    def _grant(self, fixture: Fixture, grant: Grant, feed_ends: Mapping[int, int]) -> None:
        lease = Lease(
            partition=grant.partition,
            start_offset=feed_ends.get(grant.partition, 0),
            forecasts_from=self._log.end_offsets(FORECASTS).get(grant.partition, 0),
            shared=grant.shared,
        )
        self._book.save(replace(fixture, lease=lease))
        logger.info("Partition leased", extra={"match_id": grant.match_id, "partition": grant.partition})
