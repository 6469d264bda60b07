"""A thread that follows one topic of the log from a position on, for as long as the app lives."""

import logging
import threading
from collections.abc import Callable, Mapping

from actors.domain.errors import OffsetOutOfRange, StoreError
from actors.domain.ports import EventLog, LogRecord

logger = logging.getLogger(__name__)
BATCH = 500
WAIT_S = 0.25
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

    def _run(self) -> None:
        while not self._stop.is_set() and not self._began():
            self._stop.wait(RETRY_S)
        read_at, was_behind = float("-inf"), False
        while not self._stop.is_set():
            records = self._read()
            now_s = self._monotonic()
            prompt = self.caught_up and not was_behind and now_s - read_at <= PROMPT_S
            read_at = now_s
            if records:
                self._take(records, prompt)
                was_behind = len(records) == BATCH and self._is_behind()
            if not self.caught_up:
                self._check_caught_up()

    def _began(self) -> bool:
        try:
            self._targets = self._log.end_offsets(self._topic)
        except StoreError as error:
            logger.warning("Log not readable yet", extra={"topic": self._topic, "cause": str(error)})
            return False
        back = self._backlog
        self.began_at = {p: 0 if back is None else max(0, end - back) for p, end in self._targets.items()}
        self.positions = self.began_at
        return True

    def _read(self) -> list[LogRecord]:
        try:
            return self._log.read(self._topic, self.positions, BATCH, WAIT_S)
        except OffsetOutOfRange as error:
            logger.warning("Log no longer holds the position", extra={"topic": self._topic, "cause": str(error)})
            self._move_to({error.partition: error.first})
            if self._on_lost is not None:
                self._on_lost(error.partition, error.first)
        except StoreError as error:
            logger.warning("Log did not answer", extra={"topic": self._topic, "cause": str(error)})
            self._stop.wait(RETRY_S)
        return []

    def _take(self, records: list[LogRecord], prompt: bool) -> None:
        self._move_to({record.partition: record.offset + 1 for record in records})
        self._handle(records, prompt)

    def _move_to(self, positions: Mapping[int, int]) -> None:
        self.positions = {**self.positions, **positions}

    def _check_caught_up(self) -> None:
        self.caught_up = all(self.positions.get(p, 0) >= end for p, end in self._targets.items())

    def _is_behind(self) -> bool:
        try:
            ends = self._log.end_offsets(self._topic)
        except StoreError:
            return True
        return sum(max(0, end - self.positions.get(p, 0)) for p, end in ends.items()) > BEHIND_RECORDS
