"""A thread that follows one topic of the log from a position on, for as long as the app lives."""

import logging
import threading
from collections.abc import Callable

from actors.domain.errors import OffsetOutOfRange, StoreError
from actors.domain.ports import EventLog, LogRecord

logger = logging.getLogger(__name__)
BATCH = 500
WAIT_S = 0.1  # of one read; bounds how long a stop takes
PROMPT_S = 1.0  # between two reads; behind a longer pause records may be older than they look
BEHIND_RECORDS = 2_000
RETRY_S = 0.5
STUCK_S = 30.0  # without a sign of the thread: a read that never returns

Handle = Callable[[list[LogRecord], bool], None]


class Tail:
    """Reads a topic and hands batches to `handle(records, prompt)`; prompt: they were read soon after being written.

    A store that does not answer is asked again; offsets that retention removed are skipped and told by `on_lost`. Any
    other failure ends the thread, which `problem` tells whoever hosts the app.
    """

    def __init__(
        self,
        log: EventLog,
        topic: str,
        handle: Handle,
        *,
        monotonic: Callable[[], float],
        backlog: int | None = None,
        on_lost: Callable[[int, int], None] | None = None,
    ) -> None:
        self._log, self._topic, self._handle, self._monotonic = log, topic, handle, monotonic
        self._backlog, self._on_lost = backlog, on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tail-{topic}", daemon=True)
        self._targets: dict[int, int] = {}
        self._read_at_s, self._was_behind = float("-inf"), False
        self._alive_at_s, self._failure = float("inf"), ""
        self.began_at: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self.caught_up = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def problem(self) -> str | None:
        """Say why no more records come, None while they can. A store that is away is no problem of ours."""
        if self._failure:
            return f"reading {self._topic} ended: {self._failure}"
        silent_s = self._monotonic() - self._alive_at_s
        return f"reading {self._topic} hangs since {silent_s:.0f} s" if silent_s > STUCK_S else None

    def begin(self) -> bool:
        """Find out where to read from; False if the log does not answer."""
        try:
            self._targets = self._log.end_offsets(self._topic)
        except StoreError as error:
            logger.warning("Log not readable yet", extra={"topic": self._topic, "cause": str(error)})
            return False
        back = self._backlog
        self.began_at = {p: 0 if back is None else max(0, end - back) for p, end in self._targets.items()}
        self.positions = self.began_at
        self.caught_up = self._has_caught_up()
        return True

    def step(self, wait_s: float = WAIT_S) -> int:
        """Read once and hand over what came; return how many records that were."""
        records = self._read(wait_s)
        if records is None:  # nobody knows how old the next ones are
            return 0
        now_s = self._monotonic()
        behind = self._was_behind or not self.caught_up or now_s - self._read_at_s > PROMPT_S
        self._read_at_s = now_s
        if records:
            self.positions = {**self.positions, **{record.partition: record.offset + 1 for record in records}}
            self._handle(records, not behind)
        self._was_behind = len(records) == BATCH and (behind or self._is_behind())  # a full read may not be the end
        self.caught_up = self.caught_up or self._has_caught_up()
        return len(records)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:
            logger.exception("Reader of the log ended", extra={"topic": self._topic})
            self._failure = repr(error)

    def _follow(self) -> None:
        while not self._stop.is_set() and not self.begin():
            self._alive_at_s = self._monotonic()
            self._stop.wait(RETRY_S)
        while not self._stop.is_set():
            self._alive_at_s = self._monotonic()
            self.step()
        self._alive_at_s = float("inf")

    def _read(self, wait_s: float) -> list[LogRecord] | None:
        """Read what comes next; None if there was no answer, or if what came next is gone."""
        try:
            return self._log.read(self._topic, self.positions, BATCH, wait_s)
        except OffsetOutOfRange as error:
            logger.warning("Log no longer holds the position", extra={"topic": self._topic, "cause": str(error)})
            self.positions = {**self.positions, error.partition: error.first}
            if self._on_lost is not None:
                self._on_lost(error.partition, error.first)
        except StoreError as error:
            logger.warning("Log did not answer", extra={"topic": self._topic, "cause": str(error)})
            self._stop.wait(RETRY_S)
        return None

    def _has_caught_up(self) -> bool:
        return all(self.positions.get(p, 0) >= end for p, end in self._targets.items())

    def _is_behind(self) -> bool:
        try:
            ends = self._log.end_offsets(self._topic)
        except StoreError:
            return True
        return sum(max(0, end - self.positions.get(p, 0)) for p, end in ends.items()) > BEHIND_RECORDS
