"""Drift of inputs: nothing where live is like the fit, something where it is not, and few matches are no alarm."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from actors.domain.distribution import ForecastInputs
from actors.domain.drift import INPUTS, SHIFTED, InputReference, chi_squared_95, describe, drift, stability_index
from actors.domain.judged import CLOCKS

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=9)


def some_matches(n: int, seed: int, shots: float = 4.0, league: str = "E0") -> list[dict[int, ForecastInputs]]:
    """Matches whose goals and shots grow with the minute."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        home = draw.uniform(1.5, 4.0)
        found.append(
            {
                minute: ForecastInputs(
                    league=league,
                    home_team="A",
                    period=1,
                    home_goals=int(draw.poisson(minute / 60)),
                    anchor_1x2=(home, 3.4, 3.0) if home < 3.9 else None,
                    home_shots=int(draw.poisson(shots * minute / 45)) if minute else None,
                    shots_by="understat" if minute else None,
                )
                for minute in CLOCKS.values()
            }
        )
    return found


def reference(name: str, matches: list[dict[int, ForecastInputs]]) -> InputReference:
    return describe(name, {minute: [rows[minute] for rows in matches] for minute in CLOCKS.values()})


def test_every_input_that_a_model_is_fitted_on_is_watched_but_the_clock() -> None:
    watched = {name.partition(".")[0] for name in INPUTS}
    assert watched == {*ForecastInputs.__struct_fields__} - {"period", "clock_ms", "prior"}


@pytest.mark.parametrize("name", INPUTS)
def test_live_matches_like_those_of_the_fit_are_no_drift(name: str) -> None:
    found = drift(reference(name, some_matches(2_000, 1)), some_matches(300, 2))
    assert not found.shifted
    assert found.psi < 0.1
    assert (found.matches, found.threshold) == (300, SHIFTED)


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("home_shots", some_matches(200, 3, shots=8.0)),
        ("league", some_matches(200, 3, league="RUS")),
        ("home_shots", [{minute: ForecastInputs(period=1) for minute in CLOCKS.values()}] * 200),
    ],
    ids=["more_shots", "another_league", "no_shots_any_more"],
)
def test_what_has_changed_is_shifted(name: str, live: list[dict[int, ForecastInputs]]) -> None:
    assert drift(reference(name, some_matches(2_000, 1)), live).shifted


def test_a_number_that_never_varied_where_the_model_was_fitted_shows_when_it_does() -> None:
    fitted = reference("home_reds", some_matches(500, 1))
    assert fitted.edges == (0.0,)
    sent_off = [{minute: ForecastInputs(home_reds=1) for minute in (75, 85)} for _ in range(60)]
    assert drift(fitted, sent_off).shifted


def test_a_handful_of_matches_is_no_alarm() -> None:
    fitted = reference("anchor_1x2.home", some_matches(2_000, 1))
    assert not any(drift(fitted, some_matches(4, seed)).shifted for seed in range(20))
    assert drift(fitted, some_matches(4, 0)).threshold > 3


def test_matches_under_way_are_compared_with_the_same_minutes() -> None:
    fitted = reference("home_goals", some_matches(2_000, 1))
    early = [{minute: rows[minute] for minute in (0, 15)} for rows in some_matches(300, 2)]
    assert drift(fitted, early).psi < 0.05


def test_what_is_missing_has_a_bin_of_its_own() -> None:
    found = drift(reference("home_shots", some_matches(400, 1)), some_matches(400, 2))
    assert found.missing == found.missing_at_fit == pytest.approx(1 / 7)


def test_a_reference_comes_back_from_its_file() -> None:
    fitted = reference("league", some_matches(30, 1))
    assert msgspec.json.decode(msgspec.json.encode(fitted), type=InputReference) == fitted


@given(COUNTS, st.integers(1, 5))
def test_the_index_is_never_negative_and_zero_for_the_same_counts(counts: list[int], seed: int) -> None:
    live = np.array(counts, dtype=float)
    other = np.random.default_rng(seed).permutation(live)
    assert stability_index(live, live) == 0
    assert stability_index(live, other) >= 0
    assert stability_index(live, other) == pytest.approx(stability_index(other, live))


@pytest.mark.parametrize("freedom", [2, 5, 9, 20])
def test_the_percentile_is_scipys(freedom: int) -> None:
    assert chi_squared_95(freedom) == pytest.approx(chi2.ppf(0.95, freedom), abs=0.1)
