"""Processes and threads that are none: greenlets, of which one runs at a time, the next one chosen by a drawn byte.

Wherever the real code asks a port for something, its fate is drawn: it may have to wait for others first, fail before
or after it took effect, or never return because the process dies. A paused process (SIGSTOP) runs no thread until it
is resumed, and knows nothing of what happened meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from greenlet import GreenletExit, getcurrent, greenlet

from actors.domain.errors import StoreUnavailable
from tests.simulation.fates import (
    CALM,
    CRASHED,
    CRASHED_BEHIND,
    FATES,
    GO,
    LATE,
    OPERATIONS,
    PAUSED,
    PAUSED_BEHIND,
    REFUSED,
    TABLES,
    TORN,
    TORN_CRASH,
    UNACKNOWLEDGED,
    YIELD,
)
from tests.unit.fakes import Killed


class Violation(BaseException):
    """A promise was broken. No `Exception`, since the real code outlives those."""


class Worker(greenlet):
    """A greenlet that runs one job after the other, since making one costs more than most schedules do in it."""

    job: Callable[[], None] | None = None
    failure: BaseException | None = None

    def run(self) -> None:
        while True:
            try:
                if self.job is not None:
                    self.job()
            except Killed:
                pass
            except GreenletExit:
                raise
            except BaseException as failure:  # noqa: BLE001  told to whoever runs the schedule
                self.failure = failure
            self.job = None
            self.parent.switch()


class Task:
    """One thread of a simulated process."""

    __slots__ = ("is_idle", "job", "name", "process", "worker")

    def __init__(self, process: "Process", name: str, job: Callable[[], None]) -> None:
        self.process, self.name = process, name
        self.job: Callable[[], None] | None = job
        self.worker: Worker | None = None
        self.is_idle = False  # it waits for records and there are none


class Process:
    """What lives and dies as one."""

    __slots__ = ("is_alive", "is_paused", "is_stopping", "name", "role", "skew", "tasks", "what")

    def __init__(self, name: str, role: str, skew: int) -> None:
        self.name, self.role, self.skew = name, role, skew
        self.is_alive, self.is_paused, self.is_stopping = True, False, False
        self.tasks: list[Task] = []
        self.what: Any = None  # the actor that runs in it


class Hub:
    """Runs tasks one at a time. One hub serves all schedules of a run, one after the other."""

    def __init__(self) -> None:
        self._main = getcurrent()
        self._workers: list[Worker] = []
        self.struck: Counter[tuple[int, int]] = Counter()  # (operation, fate), over all schedules
        self.begin(b"", 0)

    def begin(self, draw: bytes, temper: int) -> None:
        """Begin a schedule."""
        self.draw: Iterator[int] = iter(draw)
        self._fates = TABLES[temper]
        self.processes: list[Process] = []
        self.ready: list[Task] = []  # can run
        self.pulses: list[Task] = []  # can pulse
        self.is_changed = False  # some process died, ended, paused or went on
        self.now_s = 0.0
        self.task: Task | None = None
        self.named = 0

    def start(self, role: str, make: Callable[[], Any]) -> None:
        """Start a process: `make` constructs what runs in it, which starts its threads."""
        process = Process(f"{role} {len(self.processes)}", role, len(self.processes) & 1)
        self.processes.append(process)
        self.tell(f"{process.name} starts")
        self._spawning = process
        process.what = make()
        self._sort()

    def spawn(self, name: str, job: Callable[[], None]) -> None:
        """Start a thread of the process that is being started."""
        self._spawning.tasks.append(Task(self._spawning, name, job))

    def run(self, task: Task) -> None:
        """Let a task run until it waits or ends."""
        worker = task.worker
        if worker is None:
            worker = task.worker = self._workers.pop() if self._workers else Worker()
            worker.job = task.job
        self.task = task
        self.now_s += 0.25
        worker.switch()
        if worker.job is None:
            self._ended(task, worker)

    def wait(self) -> None:
        """Let others go first; called from within a task."""
        self._main.switch()

    def kill(self, process: Process) -> None:
        """Kill a process while it waits."""
        self.tell(f"{process.name} is killed")
        self._bury(process)
        self.is_changed = True

    def resume(self, process: Process) -> None:
        """Let a paused process go on."""
        self.tell(f"{process.name} goes on")
        process.is_paused = False
        self._sort()

    def enter(self, operation: int) -> int:
        """Begin an operation: return what will befall it behind its effect, if it comes to that."""
        fate = self._fates[operation][next(self.draw, CALM)]
        return self._befall(operation, fate) if fate else GO

    def leave(self, operation: int, fate: int) -> None:
        """End an operation that took effect, wholly or in part."""
        if fate == LATE:
            self._main.switch()
        elif fate == PAUSED_BEHIND:
            self._pause()
        elif fate in (UNACKNOWLEDGED, TORN):
            raise StoreUnavailable("simulated", OPERATIONS[operation], FATES[fate])
        elif fate in (CRASHED_BEHIND, TORN_CRASH):
            self._crash(operation)

    def part(self, operation: int, fate: int, size: int) -> int:
        """Return how many of `size` records arrive. One alone cannot be torn: it arrives, and nobody hears of it."""
        if fate not in (TORN, TORN_CRASH):
            return size
        if size < 2:
            self.struck[operation, fate] -= 1
            self.struck[operation, UNACKNOWLEDGED if fate == TORN else CRASHED_BEHIND] += 1
            return size
        return 1 + next(self.draw, 0) % (size - 1)

    def end(self) -> None:
        """Unwind whatever still runs, and let go of it."""
        for process in self.processes:
            self._bury(process)
            process.what = None

    def tell(self, what: str) -> None:
        """Hear what happens to processes; here nobody listens."""

    def _befall(self, operation: int, fate: int) -> int:
        self.struck[operation, fate] += 1
        if fate == YIELD:
            self._main.switch()
            return GO
        if fate == PAUSED:
            self._pause()
            return GO
        if fate == REFUSED:
            raise StoreUnavailable("simulated", OPERATIONS[operation], FATES[fate])
        if fate == CRASHED:
            self._crash(operation)
        return fate

    def _pause(self) -> None:
        assert self.task is not None
        self.task.process.is_paused = self.is_changed = True
        self._main.switch()

    def _crash(self, operation: int) -> NoReturn:
        assert self.task is not None
        self.task.process.is_alive = False
        raise Killed(OPERATIONS[operation])

    def _ended(self, task: Task, worker: Worker) -> None:
        task.worker = task.job = None
        self.is_changed = True
        task.process.tasks.remove(task)
        self._workers.append(worker)
        if worker.failure is not None:
            failure, worker.failure = worker.failure, None
            raise failure
        if not task.process.is_alive:
            self._bury(task.process)

    def _bury(self, process: Process) -> None:
        """Unwind the threads of a process that is no more."""
        process.is_alive = False
        for task in process.tasks:
            task.job = None
            if (worker := task.worker) is not None:
                self.task = task
                worker.throw(Killed)
                task.worker = worker.failure = None
                self._workers.append(worker)
        process.tasks.clear()

    def _sort(self) -> None:
        """See anew which tasks can run."""
        self.ready, self.pulses = [], []
        for process in self.processes:
            if process.is_alive and not process.is_paused:
                for task in process.tasks:
                    (self.pulses if task.name == "pulse" else self.ready).append(task)

    def settle(self) -> None:
        """Take note of who died, ended, paused or went on."""
        self.is_changed = False
        self._sort()


class TracingHub(Hub):
    """A hub that writes down what happens."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        super().__init__()

    def enter(self, operation: int) -> int:
        self.trace.append(f"{self._who()}: {OPERATIONS[operation]}")
        return super().enter(operation)

    def _befall(self, operation: int, fate: int) -> int:
        self.trace.append(f"{self._who()}: {OPERATIONS[operation]}: {FATES[fate]}")
        return super()._befall(operation, fate)

    def tell(self, what: str) -> None:
        self.trace.append(what)

    def _who(self) -> str:
        assert self.task is not None
        return f"{self.task.process.name}, {self.task.name}"
