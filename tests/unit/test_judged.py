"""Which forecasts of a match are judged: one for each minute, the one in force."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.distribution import ForecastInputs
from actors.domain.events import Clock
from actors.domain.forecast import AsOf, encode_published
from actors.domain.judged import CLOCKS, Followed, observe
from tests.unit.api_world import KICK_OFF, a_forecast

MINUTE = 60_000
WON = {"1x2": "home"}


def a_row(seq: int, clock: Clock, **changes: object) -> bytes:
    inputs = ForecastInputs(period=clock.period, clock_ms=clock.ms)
    made = a_forecast(seq=seq, as_of=AsOf(clock=clock, occurred_at=KICK_OFF), inputs=inputs, **changes)
    return encode_published(made)


def follow(*rows: bytes) -> Followed:
    followed = Followed()
    for seq, row in enumerate(rows):
        followed = observe(followed, seq, row)
    return followed


def times(followed: Followed) -> dict[int, tuple[int, int]]:
    return {each.minute: (each.inputs.period, each.inputs.clock_ms) for each in followed.judged}


def test_the_one_in_force_is_the_last_that_is_not_later() -> None:
    clocks = [(0, 0), (1, 0), (1, 14), (1, 15), (1, 16), (1, 29), (1, 47), (2, 0), (2, 14), (2, 16), (2, 35), (2, 41)]
    followed = follow(*(a_row(seq, Clock(period, ms * MINUTE)) for seq, (period, ms) in enumerate(clocks)))
    assert times(followed) == {
        minute: (period, ms * MINUTE)
        for minute, (period, ms) in zip(
            CLOCKS.values(), [(1, 0), (1, 15), (1, 29), (2, 0), (2, 14), (2, 16), (2, 35)], strict=True
        )
    }


def test_a_minute_that_is_not_over_is_not_judged_yet() -> None:
    assert times(follow(a_row(0, Clock(1, 0)), a_row(1, Clock(1, 15 * MINUTE)))) == {0: (1, 0)}


def test_of_a_match_that_was_joined_late_the_minutes_before_are_left_out() -> None:
    assert times(follow(a_row(0, Clock(1, 20 * MINUTE)), a_row(1, Clock(1, 31 * MINUTE)))) == {30: (1, 20 * MINUTE)}


def test_inputs_that_could_not_be_trusted_are_left_out() -> None:
    followed = follow(a_row(0, Clock(1, 0), status="GAP"), a_row(1, Clock(1, MINUTE)), a_row(2, Clock(1, 16 * MINUTE)))
    assert times(followed) == {15: (1, MINUTE)}


def test_each_minute_is_of_the_version_that_made_it() -> None:
    rows = [a_row(0, Clock(1, 0)), a_row(1, Clock(1, MINUTE), model_version="later-1"), a_row(2, Clock(1, 16 * MINUTE))]
    assert [each.model_version for each in follow(*rows).judged] == ["baseline-1", "later-1"]


def test_the_result_is_what_was_settled_last() -> None:
    over = Clock(3, 0)
    assert follow(a_row(0, Clock(2, 0))).result is None
    assert follow(a_row(0, over, settled=WON)).result == 0
    assert follow(a_row(0, over, settled=WON), a_row(1, over, settled={"1x2": "away"})).result == 2
    assert follow(a_row(0, over, settled=WON), a_row(1, over)).result is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50)), max_size=30), st.integers(0, 30))
def test_reading_in_two_goes_is_reading_in_one_and_no_minute_comes_twice(
    clocks: list[tuple[int, int]], cut: int
) -> None:
    rows = [a_row(seq, Clock(period, ms * MINUTE if period else 0)) for seq, (period, ms) in enumerate(sorted(clocks))]
    followed = follow(*rows[:cut])
    for seq, row in enumerate(rows[cut:], start=cut):
        followed = observe(followed, seq, row)
    assert msgspec.structs.replace(followed, last=None, seq=0) == msgspec.structs.replace(
        follow(*rows), last=None, seq=0
    )
    minutes = [each.minute for each in followed.judged]
    assert minutes == sorted(set(minutes))
    places = {minute: (at.period, at.ms) for at, minute in CLOCKS.items()}
    assert all(times(followed)[minute] <= places[minute] for minute in minutes)
