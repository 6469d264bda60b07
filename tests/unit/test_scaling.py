"""How many forecaster replicas the load wants."""

from types import SimpleNamespace
from typing import Any

from serve_app.scaling import BUSY, BusyShare, ByLoad


def wanted(shares: dict[str, float] | None, requests: float = 0.0) -> int:
    context: Any = SimpleNamespace(
        aggregated_metrics=None if shares is None else {BUSY: shares},
        total_num_requests=requests,
        config=SimpleNamespace(target_ongoing_requests=16.0),
    )
    return ByLoad(target_busy=0.6)(context)[0]


def test_busy_replicas_want_another() -> None:
    assert wanted({"a": 0.5}) == 1
    assert wanted({"a": 0.7}) == 2
    assert wanted({"a": 0.9, "b": 0.9}) == 3


def test_requests_through_serve_want_another_too() -> None:
    assert wanted({"a": 0.1}, requests=17.0) == 2


def test_before_anything_is_known_nothing_is_wanted() -> None:
    assert wanted(None) == 0  # Serve keeps to the least that is configured


def test_a_share_is_of_the_time_since_it_was_last_taken() -> None:
    cpu_s, clock = iter([0.0, 0.5, 0.6]), iter([10.0, 11.0, 12.0])
    busy = BusyShare(lambda: next(cpu_s), lambda: next(clock))
    assert (busy.take(), round(busy.take(), 3)) == (0.5, 0.1)
