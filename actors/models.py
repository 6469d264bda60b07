"""Which model version is committed, and the swap to another one. Thin shells around `machines.models`."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import DecodeError

from actors.domain.errors import ForecastingError
from actors.domain.models import (
    NO_ORDERS,
    Committed,
    ModelLog,
    ModelRecord,
    Orders,
    Refused,
    ReplicaReport,
    decode_model_record,
    encode_model_record,
    read_model_record,
)
from actors.domain.ports import MODELS, EventLog, NewRecord
from actors.machines.models import (
    RegistryState,
    SwapSettings,
    begun,
    decision,
    left,
    orders,
    recorded,
    reported,
    started,
)

logger = logging.getLogger("touchline.models")

_ROUND_S = 0.05  # a commit is waited for by people, and all replicas hear of it within one report
_RETRY_S = 1.0
_READ = 500


class ModelBook:
    """A reader of `models.v1`, and the pen for it."""

    def __init__(self, log: EventLog) -> None:
        self._log, self._next = log, 0
        self.state = ModelLog()

    def refresh(self, wait_s: float = 0.0) -> list[ModelRecord]:
        """Read what was added, waiting for the first of it; return what of it counts, in order.

        Raises:
            StoreUnavailable: The log did not answer.
        """
        added = list[ModelRecord]()
        while records := self._log.read(MODELS, {0: self._next}, _READ, wait_s):
            for record in records:
                try:
                    added.append(decode_model_record(record.value or b""))
                except DecodeError as error:
                    logger.warning("Model record not read", extra={"offset": record.offset, "problem": str(error)})
            self._next, wait_s = records[-1].offset + 1, 0.0
        return [each for each in added if self._counts(each)]

    def _counts(self, record: ModelRecord) -> bool:
        before, self.state = self.state, read_model_record(self.state, record)
        return self.state != before

    def say(self, record: ModelRecord) -> None:
        """Append a record; durable on return. Raises StoreUnavailable."""
        self._log.append(MODELS, 0, [NewRecord(key="models", value=encode_model_record(record))])


class ModelRegistry:
    """Replicas report to it a few times a second and hear what to do; its thread reads requests and decides.

    What is committed stands in the log, so a registry that is started again knows it and refuses what was under way.
    Without a registry, replicas serve on what they serve.
    """

    def __init__(
        self,
        log: Callable[[], EventLog],
        configured: str,
        settings: SwapSettings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the log, and commit the configured version where it is new, in a thread: Ray starts no actor again
        whose constructor failed.

        Args:
            configured: The version in model.folder; history holds it.
        """
        self._book, self._settings, self._monotonic = ModelBook(log()), settings or SwapSettings(), monotonic
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._configured = configured
        self._state: RegistryState | None = None  # until the log has been read
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    def report(self, report: ReplicaReport) -> Orders:
        """Note what a replica says of itself; return what it is to do."""
        with self._lock:
            if self._state is None:
                return NO_ORDERS
            self._state = reported(self._state, report, self._monotonic())
            return orders(self._state)

    def leave(self, replica: str) -> None:
        """Forget a replica that ends, so that no swap waits for it."""
        with self._lock:
            self._state = self._state and left(self._state, replica)

    def replicas(self) -> list[ReplicaReport]:
        """Return the last reports; those of replicas that ended may still be among them."""
        state = self._state
        return [heard.report for heard in state.replicas.values()] if state else []

    def stop(self) -> None:
        """Decide nothing more."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def tend(self, wait_s: float = 0.0) -> None:
        """Do one round: read, decide, write, and read that back.

        Raises:
            StoreUnavailable: The outcome of the write may be unknown; the next round reads first.
        """
        self._take(self._book.refresh(wait_s))
        if (decided := self._decided()) is not None:
            self._book.say(decided)
            logger.info("Model decision", extra={"decision": encode_model_record(decided).decode()})
            self._take(self._book.refresh())

    def _take(self, records: list[ModelRecord]) -> None:
        with self._lock:
            if self._state is None:
                self._state = started(self._configured, self._book.state, self._monotonic())
                return
            for record in records:
                self._state = recorded(self._state, record)

    def _decided(self) -> Committed | Refused | None:
        with self._lock:
            assert self._state is not None
            now_s = self._monotonic()
            self._state = begun(self._state, now_s, self._settings)
            return decision(self._state, now_s, datetime.now(UTC), self._settings)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tend(_ROUND_S if self._is_preparing() else _RETRY_S)
            except ForecastingError as error:
                logger.warning("Models not tended", extra={"problem": str(error)})
                self._stop.wait(_RETRY_S)
            except Exception:  # whatever it was, what is committed must go on being said
                logger.exception("Models not tended")
                self._stop.wait(_RETRY_S)

    def _is_preparing(self) -> bool:
        state = self._state
        return state is None or state.preparing is not None or state.configured != state.log.configured
