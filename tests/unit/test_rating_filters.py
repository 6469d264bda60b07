"""The compiled filters: the domain's own arithmetic, in any number of sittings, and blind to the day."""

import numpy as np
import pytest

from actors.domain.overround import fair
from actors.domain.ratings import Level, Side, Signal, updated
from tests.unit.prematch_data import write_results
from training.prematch.filters import FilterState, run
from training.prematch.odds import fair_power, implied_log_rates
from training.prematch.signals import PLAY, PRICES, observed
from training.prematch.table import FloatArray, ResultTable, load_table

GOALS, IMPLIED = PLAY[0], PRICES[0]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ResultTable:
    return load_table(write_results(tmp_path_factory.mktemp("data")))


def seen(signal: Signal, table: ResultTable) -> tuple[FloatArray, FloatArray]:
    return observed(signal, table, implied_log_rates(fair_power(table.close), np.full(len(table), np.nan)))


def side(state: FilterState, team: int, days: int, growth: float) -> Side:
    attack, defence, home, *variances = state.team[team].tolist()
    attack_variance, defence_variance, home_variance = variances
    return Side(
        attack=attack,
        defence=defence,
        home=home,
        attack_variance=attack_variance + growth * days,
        defence_variance=defence_variance + growth * days,
        home_variance=home_variance,
    )


@pytest.mark.parametrize("signal", [GOALS, PLAY[3], IMPLIED], ids=lambda signal: signal.name)
def test_the_compiled_loop_learns_a_match_as_the_domain_does(table: ResultTable, signal: Signal) -> None:
    counts, second = seen(signal, table)
    last = np.flatnonzero((table.season == table.season[0]) & (table.league == 0))[-1]
    before, now = np.arange(len(table)) < last, np.arange(len(table)) == last
    before &= table.day < table.day[last]
    state, _ = run(signal, table.rows(before), counts[before], second[before])
    after, _ = run(signal, table.rows(now), counts[now], second[now], state)
    home, away = int(table.home[last]), int(table.away[last])
    days = table.day[last] - state.team_info[[home, away], 3]
    sides = [side(state, team, int(gone), signal.growth) for team, gone in zip((home, away), days, strict=True)]
    level = Level(mu=float(state.league[0, 0]), home=float(state.league[0, 1]))
    learnt = updated(signal, level, *sides, (float(counts[last, 0]), float(counts[last, 1])))
    for team, expected in zip((home, away), learnt, strict=True):
        assert side(after, team, 0, 0.0) == expected


@pytest.mark.parametrize("signal", [*PLAY, *PRICES], ids=lambda signal: signal.name)
def test_going_on_from_a_state_is_the_same_as_one_run(table: ResultTable, signal: Signal) -> None:
    counts, second = seen(signal, table)
    whole, known = run(signal, table, counts, second)
    early = table.day < table.day[len(table) // 2]
    state, first = run(signal, table.rows(early), counts[early], second[early])
    kept = state.team.copy()
    state_after, rest = run(signal, table.rows(~early), counts[~early], second[~early], state)
    np.testing.assert_array_equal(np.concatenate([first, rest]), known)
    np.testing.assert_array_equal(state_after.team, whole.team)
    np.testing.assert_array_equal(state.team, kept)


def test_a_fixture_without_a_result_teaches_nothing(table: ResultTable) -> None:
    counts, second = seen(GOALS, table)
    state, _ = run(GOALS, table, counts, second)
    again, known = run(GOALS, table.rows(np.arange(len(table) - 2, len(table))), np.full((2, 2), np.nan), second, state)
    np.testing.assert_array_equal(again.team[:, :3], state.team[:, :3])
    assert np.isfinite(known).all()


def test_stronger_teams_end_up_higher(table: ResultTable) -> None:
    counts, second = seen(GOALS, table)
    _, known = run(GOALS, table, counts, second)
    expected, happened = known[:, 0] - known[:, 1], counts[:, 0] - counts[:, 1]
    late = table.season == table.season.max()
    assert np.corrcoef(expected[late], happened[late])[0, 1] > 0.2


def test_many_prices_at_once_are_as_fair_as_one_by_one() -> None:
    prices = np.array([[2.7, 2.3, 4.4], [1.01, 30.0, 80.0], [3.1, 3.1, 2.6], [np.nan, 3.0, 3.0]])
    together = fair_power(prices)
    for row, one in zip(together[:3], prices[:3].tolist(), strict=True):
        np.testing.assert_allclose(row, fair(one, "power"), atol=1e-12)
    assert np.isnan(together[3]).all()


def test_implied_rates_explain_the_prices() -> None:
    outcome = np.array([[0.5, 0.26, 0.24], [0.2, 0.25, 0.55], [np.nan] * 3])
    home, away = implied_log_rates(outcome, np.array([0.5, np.nan, 0.5])).T
    assert home[0] > away[0]
    assert home[1] < away[1]
    assert np.isnan(home[2])
