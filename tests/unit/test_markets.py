"""Markets: against penaltyblog as an oracle, and against each other."""

import itertools
import math

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from penaltyblog.models import FootballProbabilityGrid

from actors.domain.distribution import MAX_REMAINING, FloatArray, ScoreDistribution
from actors.domain.events import Score
from actors.domain.markets import HandicapLine, Markets, TotalLine, derive_all, derive_markets, settle, total_lines
from actors.domain.markets_json import markets_json
from tests.unit import markets_reference

SIZE = MAX_REMAINING + 1


def a_grid(home_rate: float, away_rate: float, dependence: float = 0.0) -> FloatArray:
    """Poisson goals to come, draws a little likelier by `dependence`; zero rates put everything on no goal."""
    goals = np.arange(SIZE)
    factorials = np.array([math.factorial(k) for k in goals], dtype=np.float64)
    home, away = (rate**goals / factorials for rate in (home_rate, away_rate))
    grid = np.outer(home, away) * (1 + dependence * np.eye(SIZE))
    return np.asarray(grid / grid.sum())


ONE_NIL = Score(1, 0)


def a_distribution(
    score: Score = ONE_NIL, home_rate: float = 1.4, away_rate: float = 1.1, dependence: float = 0.1
) -> ScoreDistribution:
    grid = a_grid(home_rate, away_rate, dependence)
    share = home_rate / (home_rate + away_rate) if home_rate + away_rate else 0.5
    next_home, next_away = (share * (1 - grid[0, 0]), (1 - share) * (1 - grid[0, 0]))
    return ScoreDistribution(score=score, remaining=grid, next_home=float(next_home), next_away=float(next_away))


def over_at(score: Score) -> ScoreDistribution:
    """Regular time has ended at this score."""
    return a_distribution(score, 0.0, 0.0, 0.0)


scores = st.builds(Score, st.integers(0, 7), st.integers(0, 7))
rates = st.floats(0, 6)
distributions = st.builds(a_distribution, scores, rates, rates, st.floats(0, 0.5))


def probabilities(markets: Markets) -> list[float]:
    """Every probability of a forecast, flat."""
    flat: list[float] = []

    def visit(value: object) -> None:
        if isinstance(value, float):
            flat.append(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key not in ("line", "expected_goals"):
                    visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    visit(msgspec.to_builtins(markets))
    return flat


def as_tuple(line: HandicapLine) -> tuple[float, ...]:
    return (line.win, line.half_win, line.push, line.half_loss, line.loss)


@given(distributions)
def test_every_market_sums_to_exactly_one_and_every_value_is_a_probability(dist: ScoreDistribution) -> None:
    markets = derive_markets(dist)
    result, next_goal = markets.one_x_two, markets.next_goal
    assert result.home + result.draw + result.away == 1.0
    assert markets.both_teams_to_score.yes + markets.both_teams_to_score.no == 1.0
    assert next_goal.home + next_goal.none + next_goal.away == 1.0
    assert sum(cell.probability for cell in markets.correct_score) + markets.other_score == 1.0
    assert all(line.over + line.push + line.under == 1.0 for line in markets.totals)
    assert all(sum(as_tuple(line)) == 1.0 for line in markets.asian_handicap)
    assert markets.draw_no_bet is None or markets.draw_no_bet.home + markets.draw_no_bet.away == 1.0
    for value in probabilities(markets):
        assert 0.0 <= value <= 1.0
        assert math.copysign(1.0, value) == 1.0, "no negative zeros"


@given(distributions)
def test_totals_fall_as_the_line_rises_and_are_one_below_the_goals_that_stand(dist: ScoreDistribution) -> None:
    lines = derive_markets(dist).totals
    assert [line.line for line in lines] == sorted({line.line for line in lines})
    for lower, higher in itertools.pairwise(lines):
        assert lower.over >= higher.over
        assert lower.under <= higher.under
    for line in lines:
        if line.line < dist.score.home + dist.score.away:
            assert line.over >= 0.5 or line.line + 0.25 == dist.score.home + dist.score.away
        if line.line <= dist.score.home + dist.score.away - 0.5:
            assert (line.over, line.push, line.under) == (1.0, 0.0, 0.0)


@given(distributions)
def test_a_whole_total_line_lies_between_its_neighbours_and_a_quarter_line_is_their_mean(
    dist: ScoreDistribution,
) -> None:
    lines = {line.line: line for line in derive_markets(dist).totals}
    for value, line in lines.items():
        if value % 1 == 0:
            below, above = lines[value - 0.5], lines[value + 0.5]
            assert (line.over, line.under) == (above.over, below.under)
        elif value % 0.5 == 0.25 and value + 0.25 in lines:
            halves = lines[value - 0.25], lines[value + 0.25]
            for share in ("over", "push", "under"):
                assert getattr(line, share) == sum(getattr(half, share) for half in halves) / 2
        elif value % 1 == 0.5:
            assert line.push == 0.0


@given(distributions)
def test_handicaps_agree_with_1x2_and_draw_no_bet(dist: ScoreDistribution) -> None:
    markets = derive_markets(dist)
    result = markets.one_x_two
    lines = {line.line: line for line in markets.asian_handicap}
    assert as_tuple(lines[0.0]) == (result.home, 0.0, result.draw, 0.0, result.away)
    assert as_tuple(lines[-0.5]) == (result.home, 0.0, 0.0, 0.0, markets.double_chance.draw_or_away)
    assert as_tuple(lines[0.5]) == (markets.double_chance.home_or_draw, 0.0, 0.0, 0.0, result.away)
    assert as_tuple(lines[-0.25]) == (result.home, 0.0, 0.0, result.draw, result.away)
    assert as_tuple(lines[0.25]) == (result.home, result.draw, 0.0, 0.0, result.away)
    if markets.draw_no_bet is None:
        assert result.draw == 1.0
    else:
        assert markets.draw_no_bet.home == pytest.approx(result.home / (1 - result.draw), abs=1e-12)


@given(distributions)
def test_a_handicap_is_worth_more_the_more_goals_are_added(dist: ScoreDistribution) -> None:
    lines = derive_markets(dist).asian_handicap
    assert [line.line for line in lines] == sorted({line.line for line in lines})
    for lower, higher in itertools.pairwise(lines):
        assert lower.win <= higher.win
        assert lower.loss >= higher.loss


@given(distributions)
def test_swapping_the_sides_mirrors_every_market(dist: ScoreDistribution) -> None:
    swapped = ScoreDistribution(
        score=Score(dist.score.away, dist.score.home),
        remaining=dist.remaining.T.copy(),
        next_home=dist.next_away,
        next_away=dist.next_home,
    )
    ours, theirs = derive_markets(dist), derive_markets(swapped)
    for line, mirrored in zip(ours.asian_handicap, reversed(theirs.asian_handicap), strict=True):
        assert line.line == -mirrored.line
        assert as_tuple(line) == pytest.approx(as_tuple(mirrored)[::-1], abs=1e-12)
    assert (ours.one_x_two.home, ours.one_x_two.away) == pytest.approx((theirs.one_x_two.away, theirs.one_x_two.home))
    assert ours.both_teams_to_score.yes == pytest.approx(theirs.both_teams_to_score.yes, abs=1e-12)
    assert (ours.clean_sheet.home, ours.expected_goals.home) == pytest.approx(
        (theirs.clean_sheet.away, theirs.expected_goals.away), abs=1e-12
    )
    assert {line.line: line.over for line in ours.totals} == pytest.approx(
        {line.line: line.over for line in theirs.totals}, abs=1e-12
    )


@given(distributions)
def test_both_teams_score_unless_one_keeps_a_clean_sheet(dist: ScoreDistribution) -> None:
    markets = derive_markets(dist)
    goalless = next((c.probability for c in markets.correct_score if (c.home, c.away) == (0, 0)), 0.0)
    assert markets.both_teams_to_score.no == markets.clean_sheet.home + markets.clean_sheet.away - goalless


@given(distributions)
def test_correct_scores_add_up_to_the_totals_and_results_they_imply(dist: ScoreDistribution) -> None:
    markets = derive_markets(dist)
    home_wins = sum(cell.probability for cell in markets.correct_score if cell.home > cell.away)
    assert home_wins <= markets.one_x_two.home <= home_wins + markets.other_score
    for line in markets.totals:
        if line.line % 1 == 0.5:
            unders = sum(cell.probability for cell in markets.correct_score if cell.home + cell.away < line.line)
            assert unders <= line.under <= unders + markets.other_score


@given(distributions)
def test_expected_goals_are_the_sum_of_the_chances_of_one_more_each(dist: ScoreDistribution) -> None:
    markets = derive_markets(dist)
    cells = dist.remaining
    home = dist.score.home + float((cells.sum(axis=1) * np.arange(SIZE)).sum())
    away = dist.score.away + float((cells.sum(axis=0) * np.arange(SIZE)).sum())
    assert (markets.expected_goals.home, markets.expected_goals.away) == pytest.approx((home, away), abs=1e-9)


@given(distributions)
@example(a_distribution(Score(0, 3), 2.0, 0.5))
def test_every_market_equals_the_oracles(dist: ScoreDistribution) -> None:
    home, away = dist.score.home, dist.score.away
    final = np.zeros((home + SIZE, away + SIZE))
    final[home:, away:] = dist.remaining
    oracle = FootballProbabilityGrid(final, 1.0, 1.0, normalize=False)
    markets = derive_markets(dist)
    result, chance = markets.one_x_two, markets.double_chance
    assert [result.home, result.draw, result.away] == pytest.approx(oracle.home_draw_away, abs=1e-12)
    assert [chance.home_or_draw, chance.draw_or_away, chance.home_or_away] == pytest.approx(
        [oracle.double_chance_1x, oracle.double_chance_x2, oracle.double_chance_12], abs=1e-12
    )
    assert markets.both_teams_to_score.yes == pytest.approx(oracle.btts_yes, abs=1e-12)
    if markets.draw_no_bet is not None and result.draw < 0.99:
        assert markets.draw_no_bet.home == pytest.approx(oracle.draw_no_bet_home, abs=1e-10)
    for total in markets.totals:
        assert (total.under, total.push, total.over) == pytest.approx(oracle.totals(total.line), abs=1e-12)
    for cell in markets.correct_score:
        assert cell.probability == pytest.approx(oracle.exact_score(cell.home, cell.away), abs=1e-12)
    for line in markets.asian_handicap:
        shares = oracle.asian_handicap_probs("home", line.line)
        assert line.win + line.half_win / 2 == pytest.approx(shares["win"], abs=1e-12)
        assert line.half_win / 2 + line.push + line.half_loss / 2 == pytest.approx(shares["push"], abs=1e-12)
        assert line.half_loss / 2 + line.loss == pytest.approx(shares["lose"], abs=1e-12)


@given(distributions, st.booleans())
def test_a_goal_moves_the_markets_as_if_the_score_had_always_been_that(dist: ScoreDistribution, by_home: bool) -> None:
    """The goals to come left alone, a goal shifts each market by one: nothing remembers the old score."""
    home, away = dist.score.home, dist.score.away
    after = msgspec.structs.replace(dist, score=Score(home + by_home, away + (not by_home)))
    old, new = derive_markets(dist), derive_markets(after)
    shift = 1 if by_home else -1
    before = {line.line: as_tuple(line) for line in old.asian_handicap}
    for line in new.asian_handicap:
        if line.line + shift in before:
            assert as_tuple(line) == before[line.line + shift]
    unders = {line.line: line for line in old.totals}
    for total in new.totals:
        if total.line - 1 in unders:
            assert msgspec.structs.replace(total, line=total.line - 1) == unders[total.line - 1]
    assert {(c.home - by_home, c.away - (not by_home)): c.probability for c in new.correct_score} == {
        (c.home, c.away): c.probability for c in old.correct_score
    }
    assert new.next_goal == old.next_goal


@given(scores)
def test_when_regular_time_is_over_every_value_is_exactly_zero_or_one_and_says_what_is_settled(score: Score) -> None:
    markets, settled = derive_markets(over_at(score)), settle(score)
    result = "home" if score.home > score.away else "away" if score.home < score.away else "draw"
    assert settled["1x2"] == result
    assert msgspec.to_builtins(markets.one_x_two) == {s: float(s == result) for s in ("home", "draw", "away")}
    for selection, value in msgspec.to_builtins(markets.double_chance).items():
        assert value == (settled[f"double_chance {selection}"] == "yes")
    assert (markets.draw_no_bet is None) == (settled["draw_no_bet"] == "push")
    if markets.draw_no_bet is not None:
        assert getattr(markets.draw_no_bet, settled["draw_no_bet"]) == 1.0
    assert getattr(markets.both_teams_to_score, settled["both_teams_to_score"]) == 1.0
    assert [f"{c.home}-{c.away}" for c in markets.correct_score if c.probability == 1.0] == [settled["correct_score"]]
    assert markets.other_score == 0.0
    assert getattr(markets.next_goal, settled["next_goal"]) == 1.0
    assert markets.clean_sheet.home == (settled["clean_sheet home"] == "yes")
    assert markets.clean_sheet.away == (settled["clean_sheet away"] == "yes")
    assert (markets.expected_goals.home, markets.expected_goals.away) == (score.home, score.away)
    for line in markets.asian_handicap:
        assert getattr(line, settled[f"asian_handicap {line.line:g}"]) == 1.0
    for total in markets.totals:
        assert shares_of(settled[f"over_under {total.line:g}"]) == (total.over, total.push, total.under)


def shares_of(outcome: str) -> tuple[float, float, float]:
    """Over, push and under of a total line that ended so."""
    return {
        "over": (1.0, 0.0, 0.0),
        "half_over": (0.5, 0.5, 0.0),
        "push": (0.0, 1.0, 0.0),
        "half_under": (0.0, 0.5, 0.5),
        "under": (0.0, 0.0, 1.0),
    }[outcome]


@given(scores, st.integers(0, 7), st.integers(0, 7))
def test_every_line_that_was_shown_on_the_way_to_a_score_is_settled_at_it(
    final: Score, home_missing: int, away_missing: int
) -> None:
    earlier = Score(max(final.home - home_missing, 0), max(final.away - away_missing, 0))
    shown, settled = derive_markets(a_distribution(earlier)), settle(final)
    assert {f"over_under {line.line:g}" for line in shown.totals} <= settled.keys()
    assert {f"asian_handicap {line.line:g}" for line in shown.asian_handicap} <= settled.keys()


def test_settling_names_the_winner_of_every_kind_of_market() -> None:
    settled = settle(Score(2, 1))
    assert {key: settled[key] for key in ("1x2", "draw_no_bet", "both_teams_to_score", "correct_score")} == {
        "1x2": "home",
        "draw_no_bet": "home",
        "both_teams_to_score": "yes",
        "correct_score": "2-1",
    }
    assert [settled[f"over_under {line}"] for line in ("2.5", "2.75", "3", "3.25", "3.5")] == [
        "over",
        "half_over",
        "push",
        "half_under",
        "under",
    ]
    assert [settled[f"asian_handicap {line}"] for line in ("-0.5", "-0.75", "-1", "-1.25", "-1.5")] == [
        "win",
        "half_win",
        "push",
        "half_loss",
        "loss",
    ]


def test_the_values_of_a_known_forecast_stay_what_they_are() -> None:
    """By hand: no goal 1/2, one for home 1/4, one for away 1/4, at 1-0."""
    grid = np.zeros((SIZE, SIZE))
    grid[0, 0], grid[1, 0], grid[0, 1] = 0.5, 0.25, 0.25
    markets = derive_markets(
        ScoreDistribution(score=Score(1, 0), remaining=grid, next_home=0.25, next_away=0.25),
    )
    assert msgspec.to_builtins(markets.one_x_two) == {"home": 0.75, "draw": 0.25, "away": 0.0}
    assert msgspec.to_builtins(markets.draw_no_bet) == {"home": 1.0, "away": 0.0}
    lines = {line.line: line for line in markets.totals}
    assert lines[1.25] == TotalLine(line=1.25, over=0.5, push=0.25, under=0.25)
    handicaps = {line.line: as_tuple(line) for line in markets.asian_handicap}
    assert handicaps[-1.0] == (0.25, 0.0, 0.5, 0.0, 0.25)
    assert handicaps[-0.75] == (0.25, 0.5, 0.0, 0.0, 0.25)
    assert handicaps[-1.25] == (0.25, 0.0, 0.0, 0.5, 0.25)
    assert msgspec.to_builtins(markets.clean_sheet) == {"home": 0.75, "away": 0.0}
    assert msgspec.to_builtins(markets.expected_goals) == {"home": 1.25, "away": 0.25}


wide_scores = st.builds(Score, st.integers(0, 25), st.integers(0, 25))
any_rows = st.builds(a_distribution, st.one_of(scores, wide_scores), rates, rates, st.floats(0, 0.5))


@given(st.lists(st.one_of(any_rows, st.builds(over_at, wide_scores)), min_size=1, max_size=9))
def test_a_batch_gives_the_bytes_of_each_forecast_alone_derived_market_by_market(
    dists: list[ScoreDistribution],
) -> None:
    expected = [msgspec.json.encode(markets_reference.derive_markets(dist)) for dist in dists]
    assert markets_json(dists) == expected
    assert [msgspec.json.encode(derive_markets(dist)) for dist in dists] == expected
    assert [msgspec.json.encode(markets) for markets in derive_all(dists)] == expected


@given(dist=distributions, cells=st.lists(st.floats(0, 1), min_size=SIZE * SIZE, max_size=SIZE * SIZE))
def test_grids_of_any_shape_give_the_bytes_of_the_readable_derivation(
    dist: ScoreDistribution, cells: list[float]
) -> None:
    grid = np.array(cells).reshape(SIZE, SIZE)
    grid = grid / grid.sum() if grid.sum() > 0 else np.eye(SIZE) / SIZE
    home = (1 - grid[0, 0]) * dist.next_home
    odd = msgspec.structs.replace(dist, remaining=grid, next_home=float(home), next_away=float(1 - grid[0, 0] - home))
    assert markets_json([odd]) == [msgspec.json.encode(markets_reference.derive_markets(odd))]


def test_no_rows_have_no_markets() -> None:
    assert markets_json([]) == []


@given(distributions)
def test_markets_survive_encoding_bit_for_bit_and_leave_the_distribution_alone(dist: ScoreDistribution) -> None:
    before = dist.remaining.copy()
    markets = derive_markets(dist)
    assert msgspec.json.decode(msgspec.json.encode(markets), type=Markets) == markets
    assert np.array_equal(dist.remaining, before)


def test_whole_and_quarter_lines_follow_the_score_and_half_lines_are_always_there() -> None:
    for goals in range(12):
        lines = total_lines(goals)
        assert {0.5 + k for k in range(9)} <= set(lines)
        assert {goals + k / 4 for k in range(2, 20)} <= set(lines)
        assert set(lines) <= set(total_lines(goals + 1))


def spoiled(cell: tuple[int, int], value: float) -> FloatArray:
    grid = a_grid(1.4, 1.1)
    grid[cell] = value
    return grid


@pytest.mark.parametrize(
    "remaining",
    [spoiled((0, 0), math.nan), spoiled((3, 1), math.inf), spoiled((2, 2), -0.01), a_grid(1, 1) * 1.001, np.eye(3) / 3],
    ids=["nan", "infinite", "negative", "more than one", "another shape"],
)
def test_what_is_no_distribution_is_refused(remaining: FloatArray) -> None:
    with pytest.raises(ValueError, match="remaining goals must"):
        derive_markets(msgspec.structs.replace(a_distribution(), remaining=remaining))


@pytest.mark.parametrize(("next_home", "next_away"), [(0.9, 0.9), (-0.1, 1.0), (math.nan, 0.5)])
def test_a_next_goal_that_does_not_go_with_the_grid_is_refused(next_home: float, next_away: float) -> None:
    with pytest.raises(ValueError, match="next goal"):
        derive_markets(msgspec.structs.replace(a_distribution(), next_home=next_home, next_away=next_away))


def test_rounding_noise_in_a_distribution_is_taken() -> None:
    grid = a_grid(1.4, 1.1).astype(np.float32).astype(np.float64)
    grid[10, 10] = -1e-19
    noisy = msgspec.structs.replace(a_distribution(), remaining=grid, next_home=0.5, next_away=0.5 - grid[0, 0])
    result = derive_markets(noisy).one_x_two
    assert result.home + result.draw + result.away == 1.0
