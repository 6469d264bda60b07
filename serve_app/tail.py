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

Handle = Callable[[list[LogRecord], bool], None]


class Tail:
    """Reads a topic and hands batches to `handle(records, prompt)`; prompt: they were read soon after being written.

    A store that does not answer is asked again; offsets that retention removed are skipped and told by `on_lost`.
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
        self.began_at: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self.caught_up = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

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
        now_s = self._monotonic()
        prompt = self.caught_up and not self._was_behind and now_s - self._read_at_s <= PROMPT_S
        self._read_at_s = now_s
        if records:
            self.positions = {**self.positions, **{record.partition: record.offset + 1 for record in records}}
            self._handle(records, prompt)
            self._was_behind = len(records) == BATCH and self._is_behind()
        self.caught_up = self.caught_up or self._has_caught_up()
        return len(records)

    def _run(self) -> None:
        while not self._stop.is_set() and not self.begin():
            self._stop.wait(RETRY_S)
        while not self._stop.is_set():
            self.step()

    def _read(self, wait_s: float) -> list[LogRecord]:
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
        return []

    def _has_caught_up(self) -> bool:
        return all(self.positions.get(p, 0) >= end for p, end in self._targets.items())

    def _is_behind(self) -> bool:
        try:
            ends = self._log.end_offsets(self._topic)
        except StoreError:
            return True
        return sum(max(0, end - self.positions.get(p, 0)) for p, end in ends.items()) > BEHIND_RECORDS
