"""Plays schedules into `feed.v1`: each record at its intended time, open loop, however long the log took before."""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import Struct, structs

from actors.domain.errors import RecordRejected, StoreUnavailable, UnknownFixture
from actors.domain.events import FeedRecord, decode_record, encode_record
from actors.domain.fixtures import Fixture, Lease
from actors.domain.ports import FEED, EventLog, LogRecord, NewRecord

logger = logging.getLogger("touchline.feed_writer")

BATCH = 64  # records in one append: one that is repeated lies within the fold's window for odds that come again
READ = 2_000
LOOK_UP_S = 0.2  # how long a wait may last before `stop` is asked again
RETRIES = 6
BACKOFF_S = 0.05  # doubled at each retry: 3 s in all, less than any freshness limit hides


class Timed(Protocol):
    """A record and when the feed sends it, in real ms since the feed began."""

    @property
    def at_ms(self) -> int: ...
    @property
    def record(self) -> FeedRecord: ...


class Playing(Struct, frozen=True):
    """One match to play: a leased fixture and its schedule."""

    fixture: Fixture
    schedule: Sequence[Timed]


class _Run(Struct):
    """How far one match is. `origin_s`: when its feed began or would have, on the writer's clock."""

    key: str
    partition: int
    schedule: Sequence[Timed]
    next: int
    origin_s: float
    ms_per_s: float  # of the feed, per second of ours

    @property
    def due_s(self) -> float:
        """When the next record is to be sent; at once if the feed is played as fast as it goes."""
        if self.ms_per_s == 0 or self.next >= len(self.schedule):
            return 0.0
        return self.origin_s + self.schedule[self.next].at_ms / self.ms_per_s


class FeedWriter:
    """Plays any number of matches from one thread. Not for several threads at once."""

    def __init__(
        self,
        log: EventLog,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Write to `log`. `now` stamps records, `monotonic` times them, `wait` passes seconds until the next."""
        self._log, self._now, self._monotonic, self._wait = log, now, monotonic, wait
        self._due: list[tuple[float, int, _Run]] = []
        self._added = 0

    def play(self, matches: Iterable[Playing], speed: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Play matches side by side until all are over or `stop` says so; return whether all are over.

        Raises:
            UnknownFixture: A match has no lease.
            StoreUnavailable: The log did not answer after all retries; playing again goes on where it ended.
        """
        for match in matches:
            self.add(match, speed)
        while not stop():
            left_s = self.step()
            if left_s is None:
                return True
            if left_s > 0:
                self._wait(min(left_s, LOOK_UP_S))
        return not self._due

    def add(self, match: Playing, speed: float) -> None:
        """Take up a match where the log has it: what was sent before is not sent again, the rest follows from now on.

        Args:
            match: A leased fixture and what is to be sent.
            speed: Times real speed; 0 sends as fast as the log takes it.
        Raises:
            UnknownFixture: The fixture has no lease.
        """
        lease = match.fixture.lease
        if lease is None:
            raise UnknownFixture(*_provider_id(match.fixture))
        sent = self.already_sent(match.fixture.match_id, lease, match.schedule)
        if sent >= len(match.schedule):
            return
        ms_per_s = 1000 * speed
        begun_ms = match.schedule[sent].at_ms if sent else 0
        origin_s = self._monotonic() - (begun_ms / ms_per_s if ms_per_s else 0.0)
        run = _Run(match.fixture.match_id, lease.partition, match.schedule, sent, origin_s, ms_per_s)
        self._push(run)

    def step(self) -> float | None:
        """Send what is due; return the seconds until more is, or None when nothing is left.

        Raises:
            StoreUnavailable: The log did not answer after all retries; the next step tries again.
        """
        now_s = self._monotonic()
        while self._due and self._due[0][0] <= now_s:
            _, _, run = heapq.heappop(self._due)
            try:
                self._send(run, now_s)
            finally:  # also where the log did not answer: the match goes on with the next step
                if run.next < len(run.schedule):
                    self._push(run)
            if run.ms_per_s == 0:
                return 0.0  # let `stop` be asked between batches
        return max(self._due[0][0] - self._monotonic(), 0.0) if self._due else None

    def already_sent(self, match_id: str, lease: Lease, schedule: Sequence[Timed]) -> int:
        """Return how many of the schedule's records stand in the log, in order, from the first one on.

        A record that a retry wrote twice counts once: the log holds the schedule's beginning as a subsequence.
        """
        position, end, sent = lease.start_offset, self._log.end_offsets(FEED).get(lease.partition, 0), 0
        while position < end and sent < len(schedule):
            records = self._log.read(FEED, {lease.partition: position}, READ, 0.0)
            if not records:
                break
            for record in records:
                if record.key == match_id and sent < len(schedule) and _is_same(record, schedule[sent].record):
                    sent += 1
            position = records[-1].offset + 1
        return sent

    def _push(self, run: _Run) -> None:
        self._added += 1
        heapq.heappush(self._due, (run.due_s, self._added, run))

    def _send(self, run: _Run, now_s: float) -> None:
        """Append one batch of what a match has due."""
        end = run.next + 1
        while end < len(run.schedule) and end - run.next < BATCH and self._is_due(run, end, now_s):
            end += 1
        now = self._now()
        records = [
            NewRecord(key=run.key, value=encode_record(self._stamped(run, timed, now, now_s)))
            for timed in run.schedule[run.next : end]
        ]
        self._append(run.partition, records)
        run.next = end

    def _is_due(self, run: _Run, position: int, now_s: float) -> bool:
        return run.ms_per_s == 0 or run.origin_s + run.schedule[position].at_ms / run.ms_per_s <= now_s

    def _stamped(self, run: _Run, timed: Timed, now: datetime, now_s: float) -> FeedRecord:
        """Return the record as it happens now: received at this moment, occurred when it was due, less its own delay.

        A delay of the feed's is one of real milliseconds, at any speed.
        """
        late_s = 0.0 if run.ms_per_s == 0 else now_s - run.origin_s - timed.at_ms / run.ms_per_s
        delay = timed.record.received_at - timed.record.occurred_at
        return structs.replace(timed.record, occurred_at=now - timedelta(seconds=late_s) - delay, received_at=now)

    def _append(self, partition: int, records: Sequence[NewRecord]) -> None:
        """Append, again if the outcome is unknown: the fold does not mind a record that comes twice."""
        for attempt in range(RETRIES):
            try:
                self._log.append(FEED, partition, records)
            except StoreUnavailable as error:
                if attempt == RETRIES - 1:
                    raise
                logger.warning("Feed not written, trying again", extra={"partition": partition, "problem": str(error)})
                self._wait(BACKOFF_S * 2**attempt)
            else:
                return


def _is_same(stored: LogRecord, record: FeedRecord) -> bool:
    try:
        found = decode_record(stored.key, stored.value)
    except RecordRejected:
        return False
    return _identity(found) == _identity(record)


def _identity(record: FeedRecord) -> tuple[str, int, str, int, str]:
    return record.provider, record.provider_seq, record.event_id, record.version, record.kind


def _provider_id(fixture: Fixture) -> tuple[str, str]:
    provider, _, number = fixture.match_id.partition(":")
    return provider, number
