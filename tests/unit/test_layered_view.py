"""A replica's view in front of a shared one that fails, hangs or lags."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.adapters.breaker import Breaker
from actors.adapters.layered_view import LayeredView, joined
from actors.adapters.memory_view import MemoryView
from tests.conftest import eventually
from tests.unit.fake_shared import SIZE, FakeShared, an_entry

BREAK_S = 0.05


@contextmanager
def layered(shared: FakeShared, size: int = SIZE) -> Iterator[LayeredView]:
    breaker = Breaker(3, BREAK_S, time.monotonic)
    view = LayeredView(MemoryView(size), shared, breaker, refresh_s=0.05)
    try:
        yield view
    finally:
        shared.hangs = None
        view.close()


def test_it_fills_the_shared_view_in_a_thread_of_its_own() -> None:
    shared = FakeShared()
    with layered(shared) as view:
        assert view.put(an_entry(1))
        eventually(lambda: shared.held)
        assert view.stats().is_available
    assert shared.is_closed


def test_nothing_of_what_memory_knows_waits_for_a_shared_view_that_hangs() -> None:
    shared = FakeShared()
    shared.hangs = threading.Event()
    with layered(shared) as view:
        for offset in range(100):
            assert view.put(an_entry(offset))
            assert view.latest("a:1") == an_entry(offset)
            assert view.tail(0, offset - 1) == [an_entry(offset)]
            assert view.matches() == ["a:1"]
        view.forget("a:1")
        assert view.latest("a:1") is None
        assert shared.asked <= 1
        shared.hangs.set()


def test_a_match_that_memory_does_not_know_is_looked_up_behind_it() -> None:
    shared = FakeShared()
    shared.put_all([(an_entry(7), 6)])
    with layered(shared) as view:
        assert view.latest("a:1") == an_entry(7)
        assert view.tail(0, 6) == [an_entry(7)]
        assert view.matches() == []


def test_a_forgotten_match_is_not_looked_up_although_another_replica_still_has_it() -> None:
    shared = FakeShared()
    with layered(shared) as view:
        view.put(an_entry(7))
        view.forget("a:1")
        eventually(lambda: view.stats().sent)
        shared.put_all([(an_entry(7), 6)])
        assert view.latest("a:1") is None
        assert view.put(again := an_entry(9, seq=1))
        assert view.latest("a:1") == again


def test_a_shared_view_that_is_away_counts_as_knowing_nothing_and_soon_is_not_asked() -> None:
    shared = FakeShared()
    shared.is_away = True
    with layered(shared) as view:
        eventually(lambda: shared.asked > 3)
        asked = shared.asked
        for _ in range(1000):
            assert view.latest("never:1") is None
            assert view.tail(3, 5) is None
        assert shared.asked - asked < 100  # only the thread asks, one time per pause
        shared.is_away = False
        shared.put_all([(an_entry(7), 6)])
        eventually(lambda: view.latest("a:1") == an_entry(7))


def test_a_mistake_of_ours_does_not_end_the_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = FakeShared()
    with layered(shared) as view:
        broken = threading.Event()

        def fail(*_: object) -> None:
            broken.set()
            raise ZeroDivisionError

        monkeypatch.setattr(shared, "put_all", fail)
        view.put(an_entry(1))
        assert broken.wait(10)
        monkeypatch.undo()
        eventually(lambda: shared.held)


def test_memory_that_was_evicted_is_joined_from_behind() -> None:
    shared, memory = FakeShared(), MemoryView(2)
    for link, offset in pairwise((2, 3, 4, 6, 9)):
        memory.put(an_entry(offset))
        shared.put_all([(an_entry(offset), link)])
    kept = memory.kept(0)
    assert joined(shared.tail(0, 3) or [], kept, 3) == [an_entry(4), an_entry(6), an_entry(9)]


def test_a_shared_view_that_lags_behind_what_memory_let_go_is_not_joined() -> None:
    memory = MemoryView(2)
    for offset in (3, 4, 6, 9, 11):
        memory.put(an_entry(offset))
    assert joined([an_entry(4)], memory.kept(0), 3) is None
    assert joined([], memory.kept(0), 3) is None


@given(
    steps=st.lists(st.integers(1, 3), min_size=1, max_size=12),
    missing=st.integers(0, 11),
    lag=st.integers(0, 12),
    size=st.integers(0, 4),
    after=st.integers(-1, 40),
)
def test_a_shared_view_that_lags_or_has_holes_hides_nothing(
    steps: list[int], missing: int, lag: int, size: int, after: int
) -> None:
    offsets = [sum(steps[: i + 1]) for i in range(len(steps))]
    shared, memory, link = FakeShared(), MemoryView(size), 0
    for number, offset in enumerate(offsets):
        memory.put(an_entry(offset))
        if number != missing and number < len(offsets) - lag:
            shared.put_all([(an_entry(offset), link)])
        link = offset
    kept = memory.kept(0)
    assert kept is not None
    behind = shared.tail(0, after)
    found = memory.tail(0, after)
    if found is None and behind is not None:
        found = joined(behind, kept, after)
    assert found is None or [entry.offset for entry in found] == [offset for offset in offsets if offset > after]


def test_entries_out_of_the_logs_order_are_not_joined_across() -> None:
    memory = MemoryView(SIZE)
    for offset, match_id in ((10, "a:1"), (14, "a:1"), (12, "b:2")):
        memory.put(an_entry(offset, match_id))
    assert joined([an_entry(14)], memory.kept(0), 11) is None
