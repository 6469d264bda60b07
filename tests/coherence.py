"""Whether a published forecast contradicts itself: every market against every other that says something about it.

Written against what the markets mean, not against the code that derives them. Comparisons are exact, since all values
lie on one lattice; the few that are not products of the lattice say their tolerance.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from actors.domain.events import Score
from actors.domain.forecast import Forecast, PriceView
from actors.domain.markets import HandicapLine, Markets, TotalLine

_NO_PROBABILITY = ("line", "expected_goals")
_TINY = 1e-9


def faults(forecast: Forecast) -> list[str]:
    """Return what is contradictory in a forecast, one sentence each; nothing if it is coherent."""
    markets, score = forecast.markets, Score(forecast.inputs.home_goals, forecast.inputs.away_goals)
    checks: tuple[Iterator[str], ...] = (
        _values(markets),
        _results(markets),
        _totals(markets.totals, score.home + score.away),
        _handicaps(markets),
        _scores(markets, score),
        _goals(markets, score),
        _price(forecast),
        _settled(forecast, score),
    )
    return [f"{forecast.prediction_id}: {fault}" for fault in itertools.chain.from_iterable(checks)]


def _need(holds: bool, what: str) -> Iterator[str]:
    if not holds:
        yield what


def _values(markets: Markets) -> Iterator[str]:
    """Every probability is one, and none is a negative zero."""
    for path, value in _flat(msgspec.to_builtins(markets), ""):
        is_sound = math.isfinite(value) and 0.0 <= value <= 1.0 and math.copysign(1.0, value) == 1.0
        yield from _need(is_sound, f"{path} is {value}")


def _flat(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _NO_PROBABILITY:
                yield from _flat(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flat(item, f"{path}[{index}]")


def _results(markets: Markets) -> Iterator[str]:
    result, double, no_bet = markets.one_x_two, markets.double_chance, markets.draw_no_bet
    yield from _need(result.home + result.draw + result.away == 1.0, "1X2 does not sum to one")
    yield from _need(double.home_or_draw == result.home + result.draw, "double chance 1X is not 1 and X")
    yield from _need(double.draw_or_away == result.draw + result.away, "double chance X2 is not X and 2")
    yield from _need(double.home_or_away == result.home + result.away, "double chance 12 is not 1 and 2")
    yield from _need((no_bet is None) == (result.draw == 1.0), "draw no bet is there exactly if no draw is certain")
    if no_bet is not None and result.draw < 1.0:
        share = result.home / (result.home + result.away)
        yield from _need(no_bet.home + no_bet.away == 1.0, "draw no bet does not sum to one")
        yield from _need(abs(no_bet.home - share) < _TINY, "draw no bet is not 1X2 without the draw")


def _totals(lines: tuple[TotalLine, ...], goals: int) -> Iterator[str]:
    at = {line.line: line for line in lines}
    yield from _need([line.line for line in lines] == sorted(at), "totals' lines are not in order, or there twice")
    for lower, higher in itertools.pairwise(lines):
        falls = lower.over >= higher.over and lower.under <= higher.under
        yield from _need(falls, f"over {higher.line} is likelier than over {lower.line}")
    for line in lines:
        yield from _need(line.over + line.push + line.under == 1.0, f"totals at {line.line} do not sum to one")
        yield from _need(_total_agrees(line, at), f"totals at {line.line} contradict the lines beside it")
        if line.line <= goals - 0.5:
            yield from _need(line.over == 1.0, f"over {line.line} is not certain after {goals} goals")


def _total_agrees(line: TotalLine, at: dict[float, TotalLine]) -> bool:
    if line.line % 1 == 0.5:
        return line.push == 0.0
    if line.line % 1 == 0:
        below, above = at.get(line.line - 0.5, line), at.get(line.line + 0.5, line)
        return line.over == above.over and line.under == below.under
    low, high = at.get(line.line - 0.25), at.get(line.line + 0.25)
    if low is None or high is None:
        return True
    return 2 * line.over == low.over + high.over and 2 * line.under == low.under + high.under


def _handicaps(markets: Markets) -> Iterator[str]:
    lines, result = markets.asian_handicap, markets.one_x_two
    at = {line.line: line for line in lines}
    yield from _need([line.line for line in lines] == sorted(at), "handicaps are not in order, or there twice")
    for lower, higher in itertools.pairwise(lines):
        grows = lower.win <= higher.win and lower.loss >= higher.loss
        yield from _need(grows, f"handicap {higher.line} is worth less than {lower.line}")
    for line in lines:
        yield from _need(sum(_shares(line)) == 1.0, f"handicap {line.line} does not sum to one")
        yield from _need(_handicap_agrees(line, at), f"handicap {line.line} contradicts the lines beside it")
    expected = {
        0.0: (result.home, 0.0, result.draw, 0.0, result.away),
        -0.5: (result.home, 0.0, 0.0, 0.0, result.draw + result.away),
        0.5: (result.home + result.draw, 0.0, 0.0, 0.0, result.away),
    }
    for value, shares in expected.items():
        yield from _need(_shares(at[value]) == shares, f"handicap {value} contradicts 1X2")


def _shares(line: HandicapLine) -> tuple[float, ...]:
    return (line.win, line.half_win, line.push, line.half_loss, line.loss)


def _handicap_agrees(line: HandicapLine, at: dict[float, HandicapLine]) -> bool:
    """A quarter line is half a stake on each neighbour; a whole one wins and loses with the half lines beside it."""
    if line.line % 1 == 0.5:
        return (line.half_win, line.push, line.half_loss) == (0.0, 0.0, 0.0)
    if line.line % 1 == 0:
        below, above = at.get(line.line - 0.5, line), at.get(line.line + 0.5, line)
        return (line.win, line.half_win, line.half_loss, line.loss) == (below.win, 0.0, 0.0, above.loss)
    low, high = at.get(line.line - 0.25), at.get(line.line + 0.25)
    if low is None or high is None:
        return True
    return _shares(line) == (low.win, low.push, 0.0, high.push, high.loss)


def _scores(markets: Markets, score: Score) -> Iterator[str]:
    cells, rest = markets.correct_score, markets.other_score
    listed = {(cell.home, cell.away): cell.probability for cell in cells}
    yield from _need(len(listed) == len(cells), "a correct score is listed twice")
    yield from _need(sum(listed.values()) + rest == 1.0, "correct scores do not sum to one")
    is_ahead = all(home >= score.home and away >= score.away for home, away in listed)
    yield from _need(is_ahead, "a correct score lies behind the goals that stand")

    def bounded(name: str, value: float, holds: Callable[[int, int], bool]) -> Iterator[str]:
        least = sum(probability for cell, probability in listed.items() if holds(*cell))
        yield from _need(least <= value <= least + rest, f"correct scores contradict {name}")

    result, both = markets.one_x_two, markets.both_teams_to_score
    yield from bounded("home win", result.home, lambda home, away: home > away)
    yield from bounded("draw", result.draw, lambda home, away: home == away)
    yield from bounded("away win", result.away, lambda home, away: home < away)
    yield from bounded("both teams to score", both.yes, lambda home, away: home > 0 and away > 0)
    yield from bounded("clean sheet home", markets.clean_sheet.home, lambda home, away: away == 0)
    yield from bounded("clean sheet away", markets.clean_sheet.away, lambda home, away: home == 0)
    for line in markets.totals:
        if line.line % 1 == 0.5:
            yield from bounded(f"under {line.line}", line.under, lambda h, a, most=line.line: h + a < most)  # type: ignore[misc]
    stays = listed.get((score.home, score.away))
    yield from _need(markets.next_goal.none == stays, "no next goal is not the present score")


def _goals(markets: Markets, score: Score) -> Iterator[str]:
    both, clean, coming = markets.both_teams_to_score, markets.clean_sheet, markets.next_goal
    expected, result = markets.expected_goals, markets.one_x_two
    goalless = next((c.probability for c in markets.correct_score if (c.home, c.away) == (0, 0)), 0.0)
    yield from _need(both.yes + both.no == 1.0, "both teams to score does not sum to one")
    yield from _need(both.no == clean.home + clean.away - goalless, "both teams to score contradicts clean sheets")
    yield from _need(coming.home + coming.none + coming.away == 1.0, "next goal does not sum to one")
    yield from _need(not score.away or clean.home == 0.0, "a clean sheet behind a goal of the away side")
    yield from _need(not score.home or clean.away == 0.0, "a clean sheet behind a goal of the home side")
    is_ahead = expected.home >= score.home and expected.away >= score.away
    yield from _need(is_ahead, "fewer goals are expected than stand")
    if coming.none == 1.0:
        is_certain = all(value in (0.0, 1.0) for value in (result.home, result.draw, result.away))
        yield from _need(is_certain, "no goal comes and the result is open")
        yield from _need(expected.home == score.home and expected.away == score.away, "no goal comes and one does")


def _price(forecast: Forecast) -> Iterator[str]:
    price, result = forecast.price, forecast.markets.one_x_two
    if price is None:
        return
    yield from _need(abs(sum(price.fair) - 1.0) < _TINY, "fair prices do not sum to one")
    yield from _need(abs(sum(1 / each for each in price.prices) - 1.0 - price.overround) < _TINY, "another overround")
    yield from _need(_is_ordered_alike(price), "taking the overround out changed the favourite")
    if price.edge is not None:
        may_act = forecast.status == "OK" and not price.suspended and forecast.settled is None
        yield from _need(may_act, "an edge is shown that nobody may act on")
        chances = (result.home, result.draw, result.away)
        edges = (chance * quoted - 1 for chance, quoted in zip(chances, price.prices, strict=True))
        yield from _need(price.edge == tuple(edges), "edge is not probability times price less one")


def _is_ordered_alike(price: PriceView) -> bool:
    pairs = itertools.combinations(zip(price.prices, price.fair, strict=True), 2)
    return all((one[0] - other[0]) * (one[1] - other[1]) <= 0 for one, other in pairs)


def _settled(forecast: Forecast, score: Score) -> Iterator[str]:
    """What is settled is certain, and the other way round once regular time is over."""
    settled, result = forecast.settled, forecast.markets.one_x_two
    if settled is None:
        return
    won = "home" if score.home > score.away else "away" if score.away > score.home else "draw"
    yield from _need(forecast.inputs.is_over, "settled before regular time is over")
    yield from _need(settled["1x2"] == won, f"settled as {settled['1x2']} at {score.home}-{score.away}")
    yield from _need(getattr(result, settled["1x2"]) == 1.0, "the settled result is not certain")
    yield from _need(settled["correct_score"] == f"{score.home}-{score.away}", "settled at another score")
