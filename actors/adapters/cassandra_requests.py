"""Requests to Cassandra: a bounded number at a time, repeated where one fails in passing, each of them waited for.

What a store wants to do is a task: a generator that yields one request at a time, is sent its page, and returns a
value. The requests of one task come one after the other, those of several tasks at once.
"""

import heapq
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable
from itertools import count
from queue import Empty, SimpleQueue
from threading import Semaphore
from typing import Any, Generic, NamedTuple, TypeVar

from cassandra.cluster import ResultSet

from actors.adapters.cassandra_errors import in_words, is_refused
from actors.domain.errors import StoreError, StoreUnavailable

T = TypeVar("T")

_FIRST_WAIT_S = 0.05  # before a request is repeated; doubled each time
_LONGEST_WAIT_S = 0.5
_DRIVER_GRACE_S = 10.0  # the driver ends each request in time; if it does not, its own thread is gone


class Request(NamedTuple):
    """One prepared statement with its values, idempotent; `paging_state` is where its last page ended."""

    statement: Any
    is_read: bool
    paging_state: bytes | None = None


class Page(NamedTuple):
    """What came back: rows as tuples, and where the next page begins if there is one."""

    rows: list[Any]
    paging_state: bytes | None


Task = Generator[Request, Page, T]
Send = Callable[[Request], Any]  # starts a request and returns the driver's ResponseFuture; does not wait


def writing(statements: Iterable[Any]) -> Task[None]:
    """Write one after the other, each behind the one before it being durable."""
    for statement in statements:
        yield Request(statement, is_read=False)


def reading(statement: Any) -> Task[list[Any]]:
    """Read all pages of a statement."""
    page = yield Request(statement, is_read=True)
    rows = page.rows
    while page.paging_state is not None:
        page = yield Request(statement, True, page.paging_state)
        rows += page.rows
    return rows


class Requests:
    """The requests of one process to one cluster: `limit` in flight at most, since the driver itself has no bound."""

    def __init__(self, send: Send, store: str, limit: int, timeout_s: float) -> None:
        """Args: how errors name the store; what the driver gives each request, repeated within twice of that."""
        self.send, self.store, self.timeout_s, self.patience_s = send, store, timeout_s, 2 * timeout_s
        self.slots = threading.BoundedSemaphore(limit)

    def run(self, operation: str, tasks: Iterable[Task[T]]) -> list[T]:
        """Do all tasks and return their values in order; blocks while `limit` requests are in flight.

        Raises:
            StoreUnavailable: One of them failed, also when repeated. What was under way has been waited for, what was
                not begun is left; the outcome of each is unknown, and doing it all again is safe.
            StoreError: The server refused one of them, and would refuse it again.
        """
        return _Call[T](self, operation).values(tasks)


class _Step(NamedTuple):
    """A request of a task on its way; repeated until `deadline` (monotonic)."""

    number: int  # of the task in its call
    task: Task[Any]
    request: Request
    deadline: float
    wait_s: float = _FIRST_WAIT_S


class _Call(Generic[T]):
    """One call of `run`, by the thread that made it: the driver's thread only puts what came back into a queue."""

    def __init__(self, requests: Requests, operation: str) -> None:
        self._requests, self._operation = requests, operation
        self._landed: SimpleQueue[tuple[_Step, Page | Exception]] = SimpleQueue()
        self._flying = 0
        self._again: list[tuple[float, int, _Step]] = []  # a heap by when they are due
        self._ties = count()
        self._values: dict[int, T] = {}
        self._failure: StoreError | None = None

    def values(self, tasks: Iterable[Task[T]]) -> list[T]:
        begun = 0
        try:
            for begun, task in enumerate(tasks, start=1):
                self._go_on(begun - 1, task, None)
                while self._failure is None and not self._landed.empty():
                    self._land()
                if self._failure is not None:
                    break
            while self._failure is None and (self._flying or self._again):
                self._land()
        finally:
            self._wait_for_all()
        if self._failure is not None:
            raise self._failure
        return [self._values[number] for number in range(begun)]

    def _go_on(self, number: int, task: Task[T], page: Page | None) -> None:
        """Give a task what it asked for, and send what it asks next."""
        try:
            request = next(task) if page is None else task.send(page)
        except StopIteration as end:
            self._values[number] = end.value
            return
        self._send(_Step(number, task, request, time.monotonic() + self._requests.patience_s))

    def _send(self, step: _Step) -> None:
        if not self._requests.slots.acquire(timeout=self._requests.patience_s):
            self._fail("too many requests were under way")
            return
        self._flying += 1
        landing = _Landing(self._requests.slots, self._landed, step)
        try:
            future = self._requests.send(step.request)
        except Exception as error:  # noqa: BLE001 - whatever the driver could not begin has failed, like what it began
            landing.failed(error)
            return
        future.add_callbacks(landing.arrived, landing.failed, callback_args=(future,))

    def _land(self) -> None:
        """Wait for what comes first, a landing or the time to repeat a request, and do what follows from it."""
        if self._again and self._again[0][0] <= time.monotonic():
            self._send(heapq.heappop(self._again)[2])
        elif (landed := self._next(self._wait_s())) is not None:
            step, outcome = landed
            if isinstance(outcome, Page):
                self._go_on(step.number, step.task, outcome)
            else:
                self._repeat_or_fail(step, outcome)

    def _wait_s(self) -> float:
        longest = self._requests.timeout_s + _DRIVER_GRACE_S
        return min(longest, max(0.0, self._again[0][0] - time.monotonic())) if self._again else longest

    def _next(self, wait_s: float) -> tuple[_Step, Page | Exception] | None:
        try:
            landed = self._landed.get(timeout=wait_s)
        except Empty:
            if not self._again:
                self._flying = 0
                self._fail("the driver ended a request neither well nor badly")
            return None
        self._flying -= 1
        return landed

    def _repeat_or_fail(self, step: _Step, error: Exception) -> None:
        due = time.monotonic() + step.wait_s * random.uniform(0.5, 1.5)  # apart from all others that failed with it
        if is_refused(error):
            self._failure = StoreError(f"{self._requests.store} refused {self._operation}: {in_words(error)}")
            self._failure.__cause__ = error
        elif due >= step.deadline:
            self._fail(in_words(error), error)
        else:
            later = step._replace(wait_s=min(2 * step.wait_s, _LONGEST_WAIT_S))
            heapq.heappush(self._again, (due, next(self._ties), later))

    def _fail(self, cause: str, error: Exception | None = None) -> None:
        self._failure = StoreUnavailable(self._requests.store, self._operation, cause)
        self._failure.__cause__ = error

    def _wait_for_all(self) -> None:
        self._again.clear()
        while self._flying:
            self._next(self._wait_s())


class _Landing:
    """Where one request ends: on the driver's thread, so nothing here may wait. Only the first end counts.

    With speculative execution the driver reports the slower answer too.
    """

    def __init__(self, slots: Semaphore, landed: "SimpleQueue[tuple[_Step, Page | Exception]]", step: _Step) -> None:
        self._slots, self._landed, self._step = slots, landed, step
        self._first = threading.Lock()

    def arrived(self, rows: Any, future: Any) -> None:
        """The callback of a request that went well."""
        self._end(Page(list(rows or ()), ResultSet(future, rows).paging_state))

    def failed(self, error: Exception) -> None:
        """The callback of a request that did not."""
        self._end(error)

    def _end(self, outcome: Page | Exception) -> None:
        if self._first.acquire(blocking=False):
            self._slots.release()
            self._landed.put((self._step, outcome))
