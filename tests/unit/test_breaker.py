"""When a breaker lets something through."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actors.adapters.breaker import Breaker
from tests.unit.fake_shared import FakeClock


def broken(clock: FakeClock) -> Breaker:
    breaker = Breaker(3, 1.0, clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_stays_closed_until_enough_failed_in_a_row() -> None:
    breaker = Breaker(3, 1.0, FakeClock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        assert not breaker.is_open
        assert breaker.allows()
        assert breaker.wait_s() == 0.0
        breaker.succeeded()
    for _ in range(3):
        breaker.failed()
    assert breaker.is_open


def test_an_open_one_lets_a_single_try_through_after_a_while() -> None:
    breaker = broken(clock := FakeClock())
    assert breaker.wait_s() == 1.0
    clock.now_s += 0.99
    assert not breaker.allows()
    clock.now_s += 0.01
    assert breaker.wait_s() == 0.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_try_that_failed_keeps_it_open_for_as_long_again() -> None:
    breaker = broken(clock := FakeClock())
    clock.now_s += 1.0
    assert breaker.allows()
    clock.now_s += 0.2  # the try took so long
    breaker.failed()
    clock.now_s += 0.99
    assert not breaker.allows()
    clock.now_s += 0.01
    assert breaker.allows()


def test_a_try_that_succeeded_closes_it() -> None:
    breaker = broken(clock := FakeClock())
    clock.now_s += 1.0
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert [breaker.allows() for _ in range(3)] == [True, True, True]


def test_a_try_of_which_nothing_is_heard_again_is_not_the_last() -> None:
    breaker = broken(clock := FakeClock())
    clock.now_s += 1.0
    assert breaker.allows()
    clock.now_s += 1.0
    assert breaker.allows()


@given(steps_s=st.lists(st.floats(0.0, 3.0), max_size=50))
def test_what_is_down_is_asked_at_most_once_per_pause(steps_s: list[float]) -> None:
    breaker = broken(clock := FakeClock())
    tries = []
    for step_s in steps_s:
        clock.now_s += step_s
        if breaker.allows():
            tries.append(clock.now_s)
            breaker.failed()
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(tries))
