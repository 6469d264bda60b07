"""How much a number can be trusted: pulses, silence, lag."""

import pytest

from actors.domain.forecast import Pulse
from serve_app.freshness import NEVER_S, Heard, freshness, hear
from tests.unit.api_world import a_pulse


def _state(heard: Heard | None, now_s: float, phase: str = "live", retired: bool = False) -> str:
    return freshness(heard, phase=phase, retired=retired, age_s=0.0, now_s=now_s).state  # type: ignore[arg-type]


def _heard(pulse: Pulse, at_s: float = 100.0, before: Heard | None = None, has_gap: bool = False) -> Heard:
    return hear(before, pulse, at_s=at_s, has_gap=has_gap)


@pytest.mark.parametrize(
    ("silent_s", "lag_s", "since_s", "state"),
    [
        (0.2, 0.0, 0.5, "FRESH"),
        (2.9, 0.0, 0.0, "FRESH"),
        (3.1, 0.0, 0.0, "STALE"),
        (2.5, 0.0, 0.7, "STALE"),
        (0.0, 0.0, 3.1, "STALE"),
        (10.0, 0.0, 0.1, "SUSPENDED"),
        (0.0, 0.0, 10.1, "SUSPENDED"),
        (0.0, 2.1, 0.0, "SUSPENDED"),
        (0.0, 2.0, 0.0, "FRESH"),
    ],
)
def test_in_play_silence_and_lag_decide(silent_s: float, lag_s: float, since_s: float, state: str) -> None:
    heard = _heard(a_pulse(offset=1, feed_silent_s=silent_s, own_lag_s=lag_s))
    assert _state(heard, 100.0 + since_s) == state


def test_before_kick_off_and_at_half_time_a_silent_feed_is_fresh_but_a_silent_owner_is_not() -> None:
    heard = _heard(a_pulse(offset=1, phase="break", feed_silent_s=500.0))
    assert _state(heard, 100.5, "break") == "FRESH"
    assert _state(heard, 104.0, "break") == "STALE"
    assert _state(heard, 111.0, "scheduled") == "SUSPENDED"


def test_without_any_pulse_a_number_is_suspended() -> None:
    answer = freshness(None, phase="live", retired=False, age_s=1.0, now_s=5.0)
    assert (answer.state, answer.feed_silent_s, answer.own_lag_s) == ("SUSPENDED", None, None)


def test_a_pulse_that_was_read_late_proves_no_life() -> None:
    assert _state(_heard(a_pulse(offset=1), at_s=NEVER_S), 100.0) == "SUSPENDED"


def test_a_retired_match_needs_no_owner_unless_it_was_left_in_play() -> None:
    assert _state(None, 5.0, "finished", retired=True) == "FRESH"
    assert _state(None, 5.0, "live", retired=True) == "SUSPENDED"


def test_suspension_by_silence_stays_until_a_later_record_came() -> None:
    silent = _heard(a_pulse(offset=7, feed_silent_s=11.0))
    restarted = _heard(a_pulse(offset=7, feed_silent_s=0.0), 101.0, silent)
    assert _state(restarted, 101.1) == "SUSPENDED"
    other_provider = _heard(a_pulse(offset=8, feed_silent_s=12.0), 102.0, restarted)
    assert _state(other_provider, 102.1) == "SUSPENDED"
    back = _heard(a_pulse(offset=9, feed_silent_s=0.2), 103.0, other_provider)
    assert _state(back, 103.1) == "FRESH"


def test_suspension_by_silence_does_not_clear_over_a_gap() -> None:
    silent = _heard(a_pulse(offset=7, feed_silent_s=11.0))
    gap = _heard(a_pulse(offset=9, feed_silent_s=0.1), 101.0, silent, has_gap=True)
    assert _state(gap, 101.1) == "SUSPENDED"
    healed = _heard(a_pulse(offset=10, feed_silent_s=0.1), 102.0, gap)
    assert _state(healed, 102.1) == "FRESH"


def test_own_lag_clears_by_catching_up() -> None:
    behind = _heard(a_pulse(offset=3, own_lag_s=5.0))
    assert _state(behind, 100.1) == "SUSPENDED"
    assert _state(_heard(a_pulse(offset=3), 101.0, behind), 101.1) == "FRESH"


def test_a_match_that_went_silent_into_its_break_is_fresh_there_and_when_play_goes_on() -> None:
    silent = _heard(a_pulse(offset=7, feed_silent_s=11.0))
    half_time = _heard(a_pulse(offset=8, phase="break", feed_silent_s=0.1), 101.0, silent)
    assert _state(half_time, 101.1, "break") == "FRESH"
    assert _state(_heard(a_pulse(offset=9), 102.0, half_time), 102.1) == "FRESH"
