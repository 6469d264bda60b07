"""How requests to Cassandra are bounded, repeated and waited for; the driver here is threads that do as told."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cassandra import InvalidRequest, OperationTimedOut
from cassandra.cluster import NoHostAvailable
from hypothesis import given, settings
from hypothesis import strategies as st

import actors.adapters.cassandra_requests as cassandra_requests
from actors.adapters.cassandra_requests import Request, Requests, Task, reading, writing
from actors.domain.errors import StoreError, StoreUnavailable

PASSING = OperationTimedOut()
AWAY = NoHostAvailable("Unable to complete", {"127.0.0.1:9042": ConnectionRefusedError(111, "Connection refused")})


class FakeFuture:
    """What the driver returns: it calls back once it has ended, on a thread of the driver."""

    _col_names = _col_types = None

    def __init__(self, paging_state: bytes | None) -> None:
        self._paging_state = paging_state
        self.has_more_pages = paging_state is not None
        self._ended = threading.Event()
        self._outcome: Any = None

    def end(self, outcome: Any) -> None:
        self._outcome = outcome
        self._ended.set()

    def add_callbacks(self, arrived: Callable[..., None], failed: Callable[..., None], callback_args: Any) -> None:
        def call() -> None:
            self._ended.wait()
            if isinstance(self._outcome, Exception):
                failed(self._outcome)
            else:
                arrived(self._outcome, *callback_args)

        threading.Thread(target=call).start()


class FakeDriver:
    """Answers each request by `answer(statement, attempt)` after a moment, and notes how many are under way."""

    def __init__(self, answer: Callable[[Any, int], Any], latency_s: float = 0.002) -> None:
        self._answer, self._latency_s = answer, latency_s
        self._lock, self._pool = threading.Lock(), ThreadPoolExecutor(64)
        self.flying = self.most = 0
        self.sent: list[Any] = []
        self.ended: list[Any] = []

    def send(self, request: Request) -> FakeFuture:
        with self._lock:
            attempt = self.sent.count(request.statement)
            self.sent.append(request.statement)
            self.flying += 1
            self.most = max(self.most, self.flying)
        outcome = self._answer(request.statement, attempt)
        page = outcome if isinstance(outcome, tuple) else (outcome, None)
        future = FakeFuture(page[1])
        self._pool.submit(self._end, future, request.statement, page[0])
        return future

    def _end(self, future: FakeFuture, statement: Any, outcome: Any) -> None:
        time.sleep(self._latency_s * random.uniform(0.2, 2.0))
        with self._lock:
            self.flying -= 1
            self.ended.append(statement)
        future.end(outcome)


def requests_to(driver: FakeDriver, limit: int = 8, timeout_s: float = 1.0) -> Requests:
    return Requests(driver.send, "Cassandra at test", limit, timeout_s)


def each(count: int) -> Iterator[Task[None]]:
    return (writing([number]) for number in range(count))


def test_never_more_are_under_way_than_allowed_and_all_of_them_are_waited_for() -> None:
    driver = FakeDriver(lambda *_: None)
    requests_to(driver, limit=8).run("write", each(300))
    assert sorted(driver.ended) == list(range(300))
    assert driver.most == 8 and driver.flying == 0


def test_the_bound_is_one_for_all_threads() -> None:
    driver = FakeDriver(lambda *_: None)
    requests = requests_to(driver, limit=8)
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: requests.run("write", each(60)), range(5)))
    assert len(driver.ended) == 300 and driver.most == 8


def test_what_one_task_asks_goes_one_after_the_other() -> None:
    driver = FakeDriver(lambda *_: None)
    requests_to(driver).run("write", [writing([(task, step) for step in range(9)]) for task in range(6)])
    for task in range(6):
        assert [step for of, step in driver.ended if of == task] == list(range(9))


def test_values_come_in_the_order_of_the_tasks_with_all_pages() -> None:
    pages = {"a": [[1, 2], [3], []], "b": [[]], "c": [[4], [5]]}

    def answer(statement: str, attempt: int) -> Any:
        left = len(pages[statement]) - attempt - 1
        return pages[statement][attempt], b"more" if left else None

    found = requests_to(FakeDriver(answer)).run("read", [reading(name) for name in pages])
    assert found == [[1, 2, 3], [], [4, 5]]


def test_nothing_to_do_is_nothing_to_wait_for() -> None:
    assert requests_to(FakeDriver(lambda *_: None)).run("write", []) == []


def test_what_fails_in_passing_is_repeated_and_nobody_hears_of_it() -> None:
    driver = FakeDriver(lambda statement, attempt: PASSING if statement % 7 == 3 and attempt < 2 else None)
    requests_to(driver).run("write", each(50))
    assert [driver.sent.count(number) for number in range(50)] == [3 if number % 7 == 3 else 1 for number in range(50)]


def test_what_fails_for_good_is_told_in_bounded_time_and_the_rest_is_left() -> None:
    driver = FakeDriver(lambda *_: AWAY)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as away:
        requests_to(driver, timeout_s=0.2).run("write", each(1_000))
    assert time.monotonic() - began < 2.0
    assert "127.0.0.1:9042: Connection refused" in str(away.value)
    assert len(set(driver.sent)) < 1_000 and driver.flying == 0


def test_what_the_server_refuses_is_not_repeated_and_not_called_passing() -> None:
    driver = FakeDriver(lambda statement, _: InvalidRequest("no such table") if statement == 5 else None)
    with pytest.raises(StoreError, match="refused write: no such table") as refused:
        requests_to(driver).run("write", each(50))
    assert not isinstance(refused.value, StoreUnavailable)
    assert driver.sent.count(5) == 1 and driver.flying == 0


def test_a_request_that_cannot_even_be_sent_has_failed_like_any_other() -> None:
    def refuse(_: Request) -> Any:
        raise RuntimeError("cannot schedule new futures after shutdown")

    requests = Requests(refuse, "Cassandra at test", 2, 0.1)
    for _ in range(3):  # and its slot is free again
        with pytest.raises(StoreUnavailable, match="after shutdown"):
            requests.run("write", each(3))


def test_a_mistake_in_a_task_comes_through_when_the_others_have_landed() -> None:
    def mistaken() -> Task[None]:
        yield Request("before", is_read=False)
        raise KeyError("ours")

    driver = FakeDriver(lambda *_: None)
    with pytest.raises(KeyError, match="ours"):
        requests_to(driver).run("write", [*each(5), mistaken(), *each(5)])
    assert driver.flying == 0


def test_an_answer_that_comes_twice_counts_once() -> None:
    """A speculative execution: the slower of two answers calls back too."""

    class Twice(FakeFuture):
        def add_callbacks(self, arrived: Callable[..., None], failed: Callable[..., None], callback_args: Any) -> None:
            arrived(["first"], *callback_args)
            arrived(["second"], *callback_args)
            failed(PASSING)

    requests = Requests(lambda _: Twice(None), "Cassandra at test", 1, 1.0)
    for _ in range(5):
        assert requests.run("read", [reading("a")]) == [["first"]]
    assert requests.slots.acquire(blocking=False) and not requests.slots.acquire(blocking=False)


def test_a_driver_that_falls_silent_is_told_in_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassandra_requests, "_DRIVER_GRACE_S", 0.2)

    class Silent(FakeFuture):
        def add_callbacks(self, *_: Any, **__: Any) -> None:
            """Never calls back."""

    requests = Requests(lambda _: Silent(None), "Cassandra at test", 1, 0.1)
    with pytest.raises(StoreUnavailable, match="neither well nor badly"):
        requests.run("write", each(1))
    with pytest.raises(StoreUnavailable, match="too many requests"):
        requests.run("write", each(1))


FATES = st.lists(st.sampled_from([None, PASSING, AWAY, InvalidRequest("no")]), max_size=3)


@settings(max_examples=25, deadline=None)
@given(fates=st.lists(FATES, max_size=12), limit=st.integers(1, 5))
def test_whatever_fails_all_has_landed_and_success_means_that_all_of_it_is_there(
    fates: list[list[Exception | None]], limit: int
) -> None:
    def answer(statement: int, attempt: int) -> Exception | None:
        return fates[statement][attempt] if attempt < len(fates[statement]) else None

    driver = FakeDriver(answer, latency_s=0.0)
    try:
        requests_to(driver, limit).run("write", each(len(fates)))
    except StoreError:
        assert any(isinstance(fate, InvalidRequest) for of_one in fates for fate in of_one)
    else:
        assert set(driver.ended) == set(range(len(fates)))
    assert driver.flying == 0 and driver.most <= limit
