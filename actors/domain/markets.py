"""Every market of a match, derived from one score distribution, so that they always agree with each other."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from msgspec import Struct

from actors.domain import market_values as at
from actors.domain.distribution import ScoreDistribution, stacked
from actors.domain.events import Score

ALL_HALF_LINES_TO = 8.5  # totals: half lines from 0.5 to here are always there
LINES_ABOVE = 4.75  # totals: every quarter step from 0.5 to here above the goals that have been scored
HANDICAPS_AROUND = 3.0  # handicaps: every quarter step this far around level, and around the present difference


class ThreeWay(Struct, frozen=True, kw_only=True):
    """Home, draw, away."""

    home: float
    draw: float
    away: float


class DoubleChance(Struct, frozen=True, kw_only=True):
    """Two of three results."""

    home_or_draw: float
    draw_or_away: float
    home_or_away: float


class TwoWay(Struct, frozen=True, kw_only=True):
    """Home and away."""

    home: float
    away: float


class YesNo(Struct, frozen=True, kw_only=True):
    """Yes and no."""

    yes: float
    no: float


class NextGoal(Struct, frozen=True, kw_only=True):
    """Who scores the next goal of regular time."""

    home: float
    none: float
    away: float


class TotalLine(Struct, frozen=True, kw_only=True):
    """Goals of both sides against a line, as expected shares of one stake; they sum to 1.

    A half line cannot push, a whole line returns the stake at exactly its goals, and a quarter line is half a stake on
    each of its neighbours (2.25: half on 2, half on 2.5). Of a stake on over, `over` is the share that wins, `push`
    the share that is returned, `under` the share that is lost; for a stake on under, `over` and `under` change places.
    The fair price of over is 1 + under / over.
    """

    line: float
    over: float
    push: float
    under: float


class HandicapLine(Struct, frozen=True, kw_only=True):
    """The home side with `line` goals added: probabilities of what happens to a stake on home (away is its mirror)."""

    line: float
    win: float
    half_win: float
    push: float
    half_loss: float
    loss: float


class ExactScore(Struct, frozen=True, array_like=True):
    """A final score of regular time and its probability."""

    home: int
    away: int
    probability: float


class Markets(Struct, frozen=True, kw_only=True):
    """All markets of one forecast; regular time only."""

    one_x_two: ThreeWay
    double_chance: DoubleChance
    draw_no_bet: TwoWay | None  # given that it is no draw; None if a draw is certain
    totals: tuple[TotalLine, ...]
    both_teams_to_score: YesNo
    correct_score: tuple[ExactScore, ...]
    other_score: float  # every score not listed
    asian_handicap: tuple[HandicapLine, ...]
    next_goal: NextGoal
    clean_sheet: TwoWay  # home: the away side does not score
    expected_goals: TwoWay  # of the whole of regular time, goals so far included


def derive_markets(dist: ScoreDistribution) -> Markets:
    """Derive every market of regular time from one distribution of the goals to come, and the score as it stands.

    All probabilities are multiples of 2**-50 in [0, 1]; what must sum to one does so exactly. Once nothing more can
    happen every value is 0 or 1.

    Raises:
        ValueError: The distribution is none: see `on_lattice`; or the next goal does not go with it.
    """
    return derive_all([dist])[0]


def derive_all(dists: Sequence[ScoreDistribution]) -> list[Markets]:
    """Do so for one or more distributions: the same values, for a third of the time where there are many."""
    values = at.market_values(stacked(dists)).tolist()
    return [read_markets(dist.score, row) for dist, row in zip(dists, values, strict=True)]


def read_markets(score: Score, values: Sequence[float]) -> Markets:
    """Read the markets of a match that stands at `score` from its row of `market_values`."""
    home, away = score.home, score.away
    level, win = away - home, away - home + 1  # goals that home must have more of, of those to come
    return Markets(
        one_x_two=ThreeWay(
            home=values[at.DIFFERENCE.at_least(win)],
            draw=values[at.DIFFERENCE.exactly(level)],
            away=values[at.DIFFERENCE.below(level)],
        ),
        double_chance=DoubleChance(
            home_or_draw=values[at.DIFFERENCE.at_least(level)],
            draw_or_away=values[at.DIFFERENCE.below(win)],
            home_or_away=values[at.DECIDED],
        ),
        draw_no_bet=_draw_no_bet(values),
        totals=_totals(home + away, values),
        both_teams_to_score=_both_teams_to_score(home, away, values),
        correct_score=tuple(
            ExactScore(home + more_home, away + more_away, values[at.cell(more_home, more_away)])
            for more_home, more_away in product(range(at.SCORES_AHEAD + 1), repeat=2)
        ),
        other_score=values[at.OTHER_SCORE],
        asian_handicap=_asian_handicap(home - away, values),
        next_goal=NextGoal(home=values[at.NEXT_HOME], none=values[at.NO_GOAL], away=values[at.NEXT_AWAY]),
        clean_sheet=TwoWay(home=0.0 if away else values[at.AWAY_BLANK], away=0.0 if home else values[at.HOME_BLANK]),
        expected_goals=TwoWay(home=values[at.HOME_EXPECTED], away=values[at.AWAY_EXPECTED]),
    )


def _draw_no_bet(values: Sequence[float]) -> TwoWay | None:
    if values[at.DECIDED] == 0:
        return None
    return TwoWay(home=values[at.HOME_UNLESS_DRAW], away=values[at.AWAY_UNLESS_DRAW])


def _both_teams_to_score(home: int, away: int, values: Sequence[float]) -> YesNo:
    if home and away:
        return YesNo(yes=1.0, no=0.0)
    if home or away:
        missing = (at.AWAY_SCORES, at.AWAY_BLANK) if home else (at.HOME_SCORES, at.HOME_BLANK)
        return YesNo(yes=values[missing[0]], no=values[missing[1]])
    return YesNo(yes=values[at.BOTH_SCORE], no=values[at.NOT_BOTH_SCORE])


def _totals(goals: int, values: Sequence[float]) -> tuple[TotalLine, ...]:
    return tuple(
        TotalLine(line=line, over=values[over], push=values[push], under=values[under])
        for line, over, push, under in _total_places(goals)
    )


def _asian_handicap(difference: int, values: Sequence[float]) -> tuple[HandicapLine, ...]:
    return tuple(
        HandicapLine(
            line=line,
            win=values[win],
            half_win=values[half_win],
            push=values[push],
            half_loss=values[half_loss],
            loss=values[loss],
        )
        for line, win, half_win, push, half_loss, loss in _handicap_places(difference)
    )


@lru_cache(maxsize=256)
def _total_places(goals: int) -> tuple[tuple[float, int, int, int], ...]:
    """Return line by line where over, push and under are; a quarter line is half a stake on each neighbour."""
    places = []
    for line in total_lines(goals):
        k, quarters = divmod(round((line - goals) * 4), 4)  # the line lies between k and k + 1 goals to come
        over, push, under = (
            (at.TOTAL.at_least(k + 1), at.TOTAL.exactly(k), at.TOTAL.below(k)),
            (at.TOTAL.at_least(k + 1), at.TOTAL.half_exactly(k), at.TOTAL.half_below(k)),
            (at.TOTAL.at_least(k + 1), at.ZERO, at.TOTAL.below(k + 1)),
            (at.TOTAL.half_at_least(k + 1), at.TOTAL.half_exactly(k + 1), at.TOTAL.below(k + 1)),
        )[quarters]
        places.append((line, over, push, under))
    return tuple(places)


@lru_cache(maxsize=256)
def _handicap_places(difference: int) -> tuple[tuple[float, int, int, int, int, int], ...]:
    """Return line by line where win, half win, push, half loss and loss of a stake on home are.

    The difference beats a handicap when it is above minus the line. Of a quarter line's two half stakes one can be
    returned: it is half won if the other wins then, half lost if it loses.
    """
    places = []
    for line in handicap_lines(difference, difference):
        k, quarters = divmod(round((-line - difference) * 4), 4)  # between k and k + 1 goals more than now
        returned, half_win, push, half_loss = (
            (k, at.ZERO, at.DIFFERENCE.exactly(k), at.ZERO),
            (k, at.ZERO, at.ZERO, at.DIFFERENCE.exactly(k)),
            (None, at.ZERO, at.ZERO, at.ZERO),
            (k + 1, at.DIFFERENCE.exactly(k + 1), at.ZERO, at.ZERO),
        )[quarters]
        win = at.DIFFERENCE.at_least(k + 1 if returned is None else returned + 1)
        loss = at.DIFFERENCE.below(k + 1 if returned is None else returned)
        places.append((line, win, half_win, push, half_loss, loss))
    return tuple(places)


def total_lines(goals: int) -> tuple[float, ...]:
    """Return the lines of the totals market once `goals` have fallen; a line never goes while goals stand.

    >>> total_lines(0)[:4], total_lines(0)[-5:]
    ((0.5, 0.75, 1.0, 1.25), (4.75, 5.5, 6.5, 7.5, 8.5))
    """
    quarters = np.arange(0.5, goals + LINES_ABOVE + 0.25, 0.25).tolist()
    return (*quarters, *np.arange(math.ceil(quarters[-1]) + 0.5, ALL_HALF_LINES_TO + 0.5, 1.0).tolist())


def handicap_lines(low: int, high: int) -> tuple[float, ...]:
    """Return the handicaps shown for present differences from `low` to `high` (home minus away).

    >>> handicap_lines(2, 2)[0], handicap_lines(2, 2)[-1]
    (-5.0, 3.0)
    """
    bottom, top = -max(high, 0) - HANDICAPS_AROUND, -min(low, 0) + HANDICAPS_AROUND
    return tuple(np.arange(bottom, top + 0.25, 0.25).tolist())


def settle(score: Score) -> dict[str, str]:
    """Return what wins in each market at the final `score` of regular time.

    Keys are the market, with its line or selection where it has several. Whole lines may end in `push`. On quarter
    lines of totals `half_over` means that half of a stake on over wins and the other half is returned, while one on
    under loses half; `half_under` is its mirror. Handicaps say what happens to a stake on home. Every line is there
    that was shown at a score which led to this one.

    >>> settle(Score(2, 1))["asian_handicap -1.25"], settle(Score(2, 1))["over_under 2.75"]
    ('half_loss', 'half_over')
    """
    home, away = score.home, score.away
    result = "home" if home > away else "away" if away > home else "draw"
    settled = {
        "1x2": result,
        "double_chance home_or_draw": _yes(home >= away),
        "double_chance draw_or_away": _yes(away >= home),
        "double_chance home_or_away": _yes(home != away),
        "draw_no_bet": "push" if result == "draw" else result,
        "both_teams_to_score": _yes(home > 0 and away > 0),
        "correct_score": f"{home}-{away}",
        "next_goal": "none",
        "clean_sheet home": _yes(away == 0),
        "clean_sheet away": _yes(home == 0),
    }
    for line in total_lines(home + away):
        settled[f"over_under {line:g}"] = _total_result(home + away - line)
    for line in handicap_lines(-away, home):
        settled[f"asian_handicap {line:g}"] = _handicap_result(home - away + line)
    return settled


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"


def _total_result(margin: float) -> str:
    if abs(margin) > 0.25:
        return "over" if margin > 0 else "under"
    return "push" if margin == 0 else "half_over" if margin > 0 else "half_under"


def _handicap_result(margin: float) -> str:
    if abs(margin) > 0.25:
        return "win" if margin > 0 else "loss"
    return "push" if margin == 0 else "half_win" if margin > 0 else "half_loss"
