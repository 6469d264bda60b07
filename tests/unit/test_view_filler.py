"""What a replica tells the shared view, step by step, without threads."""

from actors.adapters.breaker import Breaker
from actors.adapters.memory_view import MemoryView
from actors.adapters.view_filler import Filler
from tests.unit.fake_shared import SIZE, FakeClock, FakeShared, an_entry

REFRESH_S = 2.0


class Replica:
    """A view in memory with its filler; several may share one view."""

    def __init__(self, shared: FakeShared, clock: FakeClock) -> None:
        self.memory, self.clock = MemoryView(SIZE), clock
        self.breaker = Breaker(3, 1.0, clock)
        self.filler = Filler(self.memory, shared, self.breaker, refresh_s=REFRESH_S, monotonic=clock)

    def put(self, *offsets: int, match_id: str = "a:1") -> None:
        for offset in offsets:
            assert self.memory.put(an_entry(offset, match_id))

    def steps(self, count: int, every_s: float = 0.1) -> None:
        for _ in range(count):
            self.clock.now_s += every_s
            self.filler.step()


def a_replica() -> tuple[Replica, FakeShared]:
    shared = FakeShared()
    return Replica(shared, FakeClock()), shared


def offsets_behind(shared: FakeShared, offset: int) -> list[int] | None:
    found = shared.tail(0, offset)
    return None if found is None else [entry.offset for entry in found]


def test_what_memory_took_reaches_the_shared_view_once() -> None:
    replica, shared = a_replica()
    replica.put(3, 5)
    replica.filler.step()
    replica.put(8, match_id="b:2")
    replica.filler.step()
    assert shared.latest("a:1") == an_entry(5)
    assert shared.latest("b:2") == an_entry(8, "b:2")
    assert offsets_behind(shared, 2) == [3, 5, 8]
    stats = replica.filler.stats()
    assert (stats.is_available, stats.sent, stats.refused, stats.dropped, stats.refills) == (True, 3, 0, 0, 0)


def test_nothing_is_asked_where_nothing_is_due() -> None:
    replica, shared = a_replica()
    replica.put(3)
    replica.filler.step()
    asked = shared.asked
    replica.steps(10)
    assert shared.asked == asked
    replica.steps(1, every_s=REFRESH_S)
    assert asked < shared.asked <= asked + 2  # a look, and a restore of nothing


def test_what_came_while_the_shared_view_was_away_is_sent_later() -> None:
    replica, shared = a_replica()
    replica.put(1)
    replica.filler.step()
    shared.is_away = True
    replica.put(2, 3)
    replica.steps(5)
    assert not replica.filler.stats().is_available
    shared.is_away = False
    replica.steps(1, every_s=1.0)
    assert offsets_behind(shared, 0) == [1, 2, 3]
    assert replica.filler.stats().is_available
    assert replica.filler.stats().dropped == 0


def test_what_memory_let_go_meanwhile_is_dropped_and_not_vouched_for() -> None:
    replica, shared = a_replica()
    replica.put(1)
    replica.filler.step()
    shared.is_away = True
    replica.put(2, match_id="b:2")
    replica.put(*range(3, 3 + SIZE))
    replica.steps(3)
    shared.is_away = False
    replica.steps(1, every_s=1.0)
    assert offsets_behind(shared, 1) is None
    assert offsets_behind(shared, 2) == [3, 4, 5, 6]
    assert replica.filler.stats().dropped == 1
    assert shared.latest("b:2") == an_entry(2, "b:2")  # a look puts back what the tail no longer has


def test_a_shared_view_that_is_away_is_asked_once_per_pause() -> None:
    replica, shared = a_replica()
    shared.is_away = True
    replica.put(1)
    replica.steps(40)
    assert replica.breaker.is_open
    assert 5 <= shared.asked <= 7  # three at once, then one a second


def test_an_emptied_shared_view_is_filled_by_the_next_look() -> None:
    replica, shared = a_replica()
    replica.put(1, 2)
    replica.put(3, match_id="b:2")
    replica.filler.step()
    shared.empty()
    replica.steps(1, every_s=REFRESH_S)
    assert offsets_behind(shared, 0) == [1, 2, 3]
    assert {i: each.entry.offset for i, each in shared.held.items()} == {"a:1": 2, "b:2": 3}
    assert replica.filler.stats().refills == 1


def test_what_comes_before_that_look_does_not_keep_the_rest_out() -> None:
    replica, shared = a_replica()
    replica.put(1, 2)
    replica.filler.step()
    shared.empty()
    replica.put(3)
    replica.steps(1)
    assert offsets_behind(shared, 1) is None
    assert offsets_behind(shared, 2) == [3]
    replica.steps(1, every_s=REFRESH_S)
    assert offsets_behind(shared, 0) == [1, 2, 3]


def test_a_fence_that_only_a_refused_entry_raised_is_told_too() -> None:
    replica, shared = a_replica()
    replica.put(5)
    assert not replica.memory.put(an_entry(6, epoch=2, seq=5))
    replica.filler.step()
    assert shared.held["a:1"].fence == 2


def test_a_forgotten_match_is_forgotten_there_even_if_it_was_not_sent_yet() -> None:
    replica, shared = a_replica()
    replica.put(1)
    replica.put(2, match_id="b:2")
    replica.memory.forget("a:1")
    replica.filler.forget("a:1")
    replica.steps(2, every_s=REFRESH_S)
    assert shared.latest("a:1") is None
    assert offsets_behind(shared, 0) == [1, 2]


def test_a_match_that_comes_back_after_it_was_forgotten_is_told_with_its_new_bounds() -> None:
    replica, shared = a_replica()
    replica.put(9)
    replica.filler.step()
    replica.memory.forget("a:1")
    replica.filler.forget("a:1")
    assert replica.memory.put(again := an_entry(10, seq=1))
    replica.filler.step()
    assert shared.latest("a:1") == again


def test_a_match_is_forgotten_later_if_the_shared_view_is_away() -> None:
    replica, shared = a_replica()
    replica.put(1)
    replica.filler.step()
    shared.is_away = True
    replica.memory.forget("a:1")
    replica.filler.forget("a:1")
    replica.steps(2)
    shared.is_away = False
    replica.steps(1, every_s=1.0)
    assert shared.latest("a:1") is None


def test_what_another_replica_told_before_is_no_refusal() -> None:
    clock, shared = FakeClock(), FakeShared()
    one, other = Replica(shared, clock), Replica(shared, clock)
    one.put(1, 2)
    other.put(1, 2, 3)
    one.filler.step()
    other.filler.step()
    assert offsets_behind(shared, 0) == [1, 2, 3]
    assert other.filler.stats().refused == 0


def test_an_entry_that_the_shared_view_fences_is_counted() -> None:
    replica, shared = a_replica()
    shared.put_all([(an_entry(7, epoch=3), 6)])
    replica.put(8)
    replica.filler.step()
    assert replica.filler.stats().refused == 1
    assert shared.latest("a:1") == an_entry(7, epoch=3)
