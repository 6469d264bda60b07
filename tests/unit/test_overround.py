"""Overround removal: against shin, penaltyblog and goto-conversion as oracles, and against first principles."""

import itertools
import math

import goto_conversion  # type: ignore[import-untyped]
import hypothesis.strategies as st
import numpy as np
import penaltyblog.implied
import pytest
import shin
from hypothesis import given

from actors.domain.errors import MalformedMarket
from actors.domain.overround import METHODS, Method, fair, overround

books = st.lists(st.floats(1.01, 200), min_size=2, max_size=12)


def a_book(weights: list[float], margin: float) -> list[float]:
    """Prices that a bookmaker might quote; the oracles' own root finders fail far from those."""
    return [max(sum(weights) / weight / (1 + margin), 1.01) for weight in weights]


quoted_books = st.builds(a_book, st.lists(st.floats(0.02, 1), min_size=2, max_size=8), st.floats(0.005, 0.2))
wild_books = st.lists(st.floats(1, 1e308, exclude_min=True, allow_infinity=False), min_size=2, max_size=8)
methods = st.sampled_from(METHODS)


@given(wild_books, methods)
def test_probabilities_sum_to_one_whatever_the_prices(prices: list[float], method: Method) -> None:
    probabilities = fair(prices, method)
    assert len(probabilities) == len(prices)
    assert math.fsum(probabilities) == pytest.approx(1.0, abs=1e-14)
    assert all(0 <= p <= 1 for p in probabilities)


@given(books, methods)
def test_a_shorter_price_is_never_less_likely(prices: list[float], method: Method) -> None:
    ranked = sorted(zip(prices, fair(prices, method), strict=True))
    assert all(a >= b - 1e-12 for (_, a), (_, b) in itertools.pairwise(ranked))


@given(books, methods, st.randoms(use_true_random=False))
def test_the_order_of_selections_does_not_matter(prices: list[float], method: Method, random: object) -> None:
    order = np.random.default_rng(7).permutation(len(prices))
    shuffled = fair([prices[i] for i in order], method)
    assert shuffled == pytest.approx([fair(prices, method)[i] for i in order], abs=1e-12)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), methods)
def test_a_book_without_margin_is_left_as_it_is(weights: list[float], method: Method) -> None:
    truth = [weight / sum(weights) for weight in weights]
    assert fair([1 / p for p in truth], method) == pytest.approx(truth, abs=1e-9)


@given(books, st.floats(0.3, 3))
def test_power_undoes_a_power(weights: list[float], exponent: float) -> None:
    truth = [1 / weight / sum(1 / w for w in weights) for weight in weights]
    assert fair([p**-exponent for p in truth], "power") == pytest.approx(truth, abs=1e-9)


@given(books, st.floats(0, 0.3))
def test_shin_undoes_the_prices_of_a_bookmaker_who_fears_insiders(weights: list[float], insiders: float) -> None:
    """Shin's prices: the inverse price is sqrt(z p + (1 - z) p**2) times the sum of those."""
    truth = [1 / weight / sum(1 / w for w in weights) for weight in weights]
    roots = [math.sqrt(insiders * p + (1 - insiders) * p * p) for p in truth]
    prices = [1 / (root * sum(roots)) for root in roots]
    if all(price > 1 for price in prices):
        assert fair(prices, "shin") == pytest.approx(truth, abs=1e-9)


@given(quoted_books)
def test_shin_equals_the_shin_package(prices: list[float]) -> None:
    theirs = shin.calculate_implied_probabilities(prices, max_iterations=100_000)
    assert fair(prices, "shin") == pytest.approx(theirs, abs=1e-6)


@given(quoted_books)
def test_shin_of_two_selections_equals_goto_conversions_closed_form(prices: list[float]) -> None:
    pair = prices[:2] if 1 / prices[0] + 1 / prices[1] > 1.001 else [1.8, 1.9]
    assert fair(pair, "shin") == pytest.approx(goto_conversion.efficient_shin_conversion(pair), abs=1e-9)


@given(quoted_books)
def test_power_and_proportional_equal_penaltyblogs(prices: list[float]) -> None:
    power = penaltyblog.implied.calculate_implied(prices, method="power").probabilities
    assert fair(prices, "power") == pytest.approx(power, abs=1e-9)
    proportional = penaltyblog.implied.calculate_implied(prices, method="multiplicative").probabilities
    assert fair(prices, "proportional") == pytest.approx(proportional, abs=1e-9)


@given(quoted_books)
def test_the_favourite_gains_and_the_outsider_loses_against_proportional(prices: list[float]) -> None:
    favourite, outsider = prices.index(min(prices)), prices.index(max(prices))
    plain = fair(prices, "proportional")
    for method in ("power", "shin"):
        adjusted = fair(prices, method)
        assert adjusted[favourite] >= plain[favourite] - 1e-12
        assert adjusted[outsider] <= plain[outsider] + 1e-12


def test_two_equal_prices_are_a_coin_at_any_margin() -> None:
    for price in (1.0000000000000002, 1.5, 1.91, 2.0, 2.2, 1e4, 1e300):
        for method in METHODS:
            assert fair([price, price], method) == pytest.approx((0.5, 0.5))


def test_power_is_what_one_gets_unless_asked() -> None:
    assert fair([2.7, 2.3, 4.4]) == fair([2.7, 2.3, 4.4], "power") != fair([2.7, 2.3, 4.4], "proportional")


def test_overround_is_the_book_sum_less_one() -> None:
    assert overround([2.0, 2.0]) == 0.0
    assert overround([1.9, 1.9]) == pytest.approx(2 / 1.9 - 1)
    assert overround([2.2, 3.6, 4.0]) < 0


@pytest.mark.parametrize("prices", [[], [2.0], [1.0, 3.0], [0.0, 2.0], [-2.0, 2.0], [math.nan, 2.0], [math.inf, 2.0]])
def test_prices_that_cannot_be_a_book_are_refused_by_the_markets_name(prices: list[float]) -> None:
    for refuse in (overround, fair):
        with pytest.raises(MalformedMarket, match=r"1x2 of wyscout:7: .*, were"):
            refuse(prices, market="1x2 of wyscout:7")
