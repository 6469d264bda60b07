"""The checker of coherence itself: one that finds nothing proves nothing."""

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from actors.domain.events import Score
from actors.domain.forecast import Forecast
from actors.domain.markets import Markets
from tests.coherence import faults
from tests.unit.api_world import a_forecast, a_price

NUDGE = 2.0**-20  # a millionth: what rounding to six digits would hide
Path = tuple[str | int, ...]


def paths(value: Any, before: Path = ()) -> list[Path]:
    """Where the probabilities of a forecast's markets are."""
    if isinstance(value, float):
        return [before]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = (paths(item, (*before, key)) for key, item in items if key not in ("line", "expected_goals"))
    return [path for found in inner for path in found]


def nudged(forecast: Forecast, *changes: tuple[Path, float]) -> Forecast:
    """Return the forecast with some values moved a little."""
    markets = msgspec.to_builtins(forecast.markets)
    for path, by in changes:
        place = markets
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] += by
    return msgspec.structs.replace(forecast, markets=msgspec.convert(markets, Markets))


ONE_NIL = a_forecast(seq=30, score=Score(1, 0))
PATHS = paths(msgspec.to_builtins(ONE_NIL.markets))


def around(forecast: Forecast, first: Path, second: Path) -> Forecast:
    return nudged(forecast, (first, NUDGE), (second, -NUDGE))


@pytest.mark.parametrize("score", [Score(0, 0), Score(1, 0), Score(2, 5)])
def test_a_coherent_forecast_has_no_faults(score: Score) -> None:
    assert faults(a_forecast(seq=30, score=score)) == []


@given(st.sampled_from(PATHS), st.sampled_from([NUDGE, -NUDGE]))
def test_no_single_value_can_be_moved_unseen(path: Path, by: float) -> None:
    assert faults(nudged(ONE_NIL, (path, by))) != []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("one_x_two", "home"), ("one_x_two", "away")),
        (("draw_no_bet", "home"), ("draw_no_bet", "away")),
        (("both_teams_to_score", "yes"), ("both_teams_to_score", "no")),
        (("totals", 4, "over"), ("totals", 4, "under")),
        (("totals", 5, "over"), ("totals", 5, "under")),
        (("totals", 6, "over"), ("totals", 6, "push")),
        (("asian_handicap", 9, "win"), ("asian_handicap", 9, "loss")),
        (("asian_handicap", 13, "half_win"), ("asian_handicap", 13, "half_loss")),
        (("asian_handicap", 12, "push"), ("asian_handicap", 12, "loss")),
        (("next_goal", "none"), ("next_goal", "home")),
        (("clean_sheet", "home"), ("both_teams_to_score", "no")),
    ],
)
def test_what_still_sums_to_one_is_seen_by_another_market(first: Path, second: Path) -> None:
    assert faults(around(ONE_NIL, first, second)) != []


def test_a_goal_that_the_score_does_not_know_is_seen() -> None:
    unaware = msgspec.structs.replace(ONE_NIL, markets=a_forecast(seq=30).markets)
    assert any("behind the goals that stand" in fault for fault in faults(unaware))


def test_an_edge_that_nobody_may_act_on_and_one_that_is_wrong_are_seen() -> None:
    result = ONE_NIL.markets.one_x_two
    right = tuple(
        p * quoted - 1 for p, quoted in zip((result.home, result.draw, result.away), (2.1, 3.4, 3.9), strict=True)
    )
    price = msgspec.structs.replace(a_price(), overround=1 / 2.1 + 1 / 3.4 + 1 / 3.9 - 1)
    shown = msgspec.structs.replace(ONE_NIL, price=msgspec.structs.replace(price, edge=right))
    assert faults(shown) == []
    assert faults(msgspec.structs.replace(shown, status="GAP")) != []
    assert faults(msgspec.structs.replace(shown, price=price)) != []


def test_what_is_settled_against_the_score_is_seen() -> None:
    settled = {"1x2": "away", "correct_score": "0-1"}
    assert any("settled as away" in fault for fault in faults(msgspec.structs.replace(ONE_NIL, settled=settled)))
