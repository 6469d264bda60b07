"""What a process of another framework is told by bench/ingest, and the fold that it runs: the same as ours."""

import sys
import time

import msgspec
from msgspec import Struct

from actors.domain.fixtures import Fixture
from actors.domain.match import MatchState, new_match
from actors.machines.match import Entry, step_decoded

READY, GO = "ready", "go"


class Task(Struct, frozen=True, kw_only=True):
    """What one process reads, all of it from the beginning."""

    server: str
    group: str
    topics: tuple[str, ...]
    fixtures: tuple[Fixture, ...]
    records: int


class Done(Struct, frozen=True, kw_only=True):
    """What one process did, from its first record to its last."""

    records: int
    began: float  # monotonic seconds
    ended: float
    cpu_s: float
    forecasts: int = 0


class Folding:
    """Folds record by record and knows when it was the last."""

    def __init__(self, task: Task) -> None:
        self.states: dict[str, MatchState] = {fixture.match_id: new_match(fixture) for fixture in task.fixtures}
        self._expected, self._seen = task.records, 0
        self._began = self._cpu_began = 0.0

    def fold(self, key: str, offset: int, value: bytes) -> bool:
        """Fold one record; say whether it was the last."""
        if not self._seen:
            self._began, self._cpu_began = time.monotonic(), time.process_time()
        self.states[key], _, _ = step_decoded(self.states[key], Entry(offset=offset, key=key, value=value))
        self._seen += 1
        return self._seen == self._expected

    def done(self) -> Done:
        """Return what was done, called right behind the last record."""
        wrong = [state.match_id for state in self.states.values() if state.summary.phase != "finished"]
        if wrong:
            raise AssertionError(f"not folded to their end: {', '.join(wrong)}")
        cpu_s = time.process_time() - self._cpu_began
        return Done(records=self._seen, began=self._began, ended=time.monotonic(), cpu_s=cpu_s)


def told() -> Task:
    """Return the task that stands on the command line."""
    return msgspec.json.decode(sys.argv[1], type=Task)


def wait_for_go() -> None:
    """Say that all is imported, and wait for the others."""
    print(READY, flush=True)
    if sys.stdin.readline().strip() != GO:
        raise SystemExit(2)


def report(done: Done) -> None:
    """Print what was done."""
    print(msgspec.json.encode(done).decode(), flush=True)
