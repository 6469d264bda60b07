"""The simulated log: one partition of each topic, in memory. What was appended before a fault struck stays."""

from collections.abc import Mapping, Sequence

from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS, LogRecord, NewRecord
from tests.simulation.fates import APPEND, ENDS, GO, LETTER, READ, SHORT
from tests.simulation.hub import Hub, Task
from tests.simulation.threads import START
from tests.simulation.witness import Witness

Appended = tuple[list[LogRecord], int, Sequence[NewRecord]]


class SimulatedLog:
    """An EventLog. Its feed grows as the schedule has it; `witness` sees everything else as it is stored."""

    def __init__(self, hub: Hub, witness: Witness, feed: Sequence[LogRecord], fixture: LogRecord) -> None:
        self._hub, self._witness, self._to_come = hub, witness, feed
        self.feed, self.forecasts, self.letters = list[LogRecord](), list[LogRecord](), list[LogRecord]()
        self._topics = {FEED: self.feed, FIXTURES: [fixture], FORECASTS: self.forecasts, DEAD_LETTERS: self.letters}
        self._waiting: dict[str, list[Task]] = {topic: [] for topic in self._topics}  # who found nothing to read
        self._acknowledged: list[Appended] = []

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        operation = APPEND if topic == FORECASTS else LETTER
        fate = self._hub.enter(operation)
        stored = self._topics[topic]
        first = len(stored)
        kept = records if fate == GO else records[: self._hub.part(operation, fate, len(records))]
        for offset, new in enumerate(kept, start=first):
            stored.append(LogRecord(partition=0, offset=offset, key=new.key, value=new.value, appended_at=START))
            self._witness.appended(topic, offset, new)
        self._wake(topic)
        if fate != GO:
            self._hub.leave(operation, fate)
        self._acknowledged.append((stored, first, records))
        return list(range(first, first + len(records)))

    def read(self, topic: str, positions: Mapping[int, int], max_records: int, wait_s: float) -> list[LogRecord]:
        fate = self._hub.enter(READ)
        position = positions[0]
        found = self._topics[topic][position : position + (1 if fate == SHORT else max_records)]
        if wait_s > 0.0 and not found:
            self._wait(topic)
        return found

    def end_offsets(self, topic: str) -> dict[int, int]:
        self._hub.enter(ENDS)
        return {0: len(self._topics[topic])}

    def close(self) -> None:
        pass

    def grow(self, records: int = 1) -> None:
        """Let some more records of the feed arrive."""
        if (begun := len(self.feed)) < len(self._to_come):
            self.feed.extend(self._to_come[begun : begun + records])
            self._wake(FEED)

    def has_all_that_was_acknowledged(self) -> bool:
        """Say whether every append that was acknowledged is in the log, in order."""
        for stored, first, records in self._acknowledged:
            there = [record.value for record in stored[first : first + len(records)]]
            if there != [record.value for record in records]:
                return False
        return True

    def _wait(self, topic: str) -> None:
        """Whoever finds nothing lets others run; what they append meanwhile it reads the next time."""
        task = self._hub.task
        assert task is not None
        task.is_idle = not task.process.is_stopping
        self._waiting[topic].append(task)
        self._hub.wait()
        task.is_idle = False

    def _wake(self, topic: str) -> None:
        if waiting := self._waiting[topic]:
            for task in waiting:
                task.is_idle = False
            waiting.clear()
