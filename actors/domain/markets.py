"""Every market of a match, derived from one score distribution, so that they always agree with each other."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct

from actors.domain.distribution import ScoreDistribution
from actors.domain.events import Score
from actors.domain.grid import (
    FIRST_DIFFERENCE,
    LATTICE,
    MAX_COLUMN,
    TOLERANCE,
    GridSums,
    IntArray,
    grid_sums,
    one_x_two,
)

ALL_HALF_LINES_TO = 8.5  # totals: half lines from 0.5 to here are always there
LINES_ABOVE = 4.75  # totals: every quarter step from 0.5 to here above the goals that have been scored
HANDICAPS_AROUND = 3.0  # handicaps: every quarter step this far around level, and around the present difference
SCORES_AHEAD = 5  # correct score: up to so many more goals of each side


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
        ValueError: The distribution is none: see `grid_sums`; or the next goal does not go with it.
    """
    sums = grid_sums(dist.remaining)
    home, away = dist.score.home, dist.score.away
    result = _three_way(sums, home - away)
    listed, other = _correct_score(sums, home, away)
    return Markets(
        one_x_two=result,
        double_chance=DoubleChance(
            home_or_draw=result.home + result.draw,
            draw_or_away=result.draw + result.away,
            home_or_away=result.home + result.away,
        ),
        draw_no_bet=_draw_no_bet(result),
        totals=_totals(sums, home + away),
        both_teams_to_score=_both_teams_to_score(sums, home, away),
        correct_score=listed,
        other_score=other,
        asian_handicap=_asian_handicap(sums, home - away),
        next_goal=_next_goal(dist, float(sums.cells[0, 0])),
        clean_sheet=TwoWay(
            home=1.0 - float(sums.away[1]) if away == 0 else 0.0,
            away=1.0 - float(sums.home[1]) if home == 0 else 0.0,
        ),
        expected_goals=TwoWay(home=home + float(sums.home[1:].sum()), away=away + float(sums.away[1:].sum())),
    )


def _three_way(sums: GridSums, difference: int) -> ThreeWay:
    home, draw, away = one_x_two(sums, difference).tolist()
    return ThreeWay(home=home, draw=draw, away=away)


def _draw_no_bet(result: ThreeWay) -> TwoWay | None:
    decided = result.home + result.away
    if decided == 0:
        return None
    home = round(result.home / decided * LATTICE) / LATTICE
    return TwoWay(home=home, away=1.0 - home)


def _both_teams_to_score(sums: GridSums, home: int, away: int) -> YesNo:
    home_scores = 1.0 if home else float(sums.home[1])
    away_scores = 1.0 if away else float(sums.away[1])
    neither = 0.0 if home or away else float(sums.cells[0, 0])
    yes = home_scores + away_scores - (1.0 - neither)
    return YesNo(yes=yes, no=1.0 - yes)


def _correct_score(sums: GridSums, home: int, away: int) -> tuple[tuple[ExactScore, ...], float]:
    window = sums.cells[: SCORES_AHEAD + 1, : SCORES_AHEAD + 1]
    listed = tuple(
        ExactScore(home + more_home, away + more_away, probability)
        for more_home, row in enumerate(window.tolist())
        for more_away, probability in enumerate(row)
    )
    return listed, 1.0 - float(window.sum())


def _next_goal(dist: ScoreDistribution, none: float) -> NextGoal:
    """Home as the model has it, nobody as the grid has it, away the rest."""
    missing = 1.0 - none - dist.next_home - dist.next_away
    if not abs(missing) <= 2 * TOLERANCE or min(dist.next_home, dist.next_away) < 0:  # NaN fails too
        raise ValueError("the next goal's probabilities must be at least 0 and sum to 1 with that of no goal")
    home = min(round(dist.next_home * LATTICE) / LATTICE, 1.0 - none)
    return NextGoal(home=home, none=none, away=1.0 - none - home)


class _Lines(Struct, frozen=True):
    """Lines of a market and, for the two halves of a stake on each, the columns of P(above) and P(not below)."""

    lines: tuple[float, ...]
    above: IntArray  # (2, lines)
    not_below: IntArray  # (2, lines)


def _columns(lines: Sequence[float], present: int, first: int, last: int) -> _Lines:
    """Where outcomes `present` + k stand against each line, in a table whose columns are P(k at least `first`...)."""
    quarters = np.rint(np.array(lines) * 4).astype(np.int64)
    halves = np.stack((quarters - quarters % 2, quarters + quarters % 2))  # a quarter line is two half stakes
    above = np.clip(halves // 4 + 1 - present - first, 0, last)
    not_below = np.clip(-(-halves // 4) - present - first, 0, last)
    return _Lines(tuple(lines), above, not_below)


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


@lru_cache(maxsize=256)
def _total_columns(goals: int) -> _Lines:
    return _columns(total_lines(goals), goals, 0, MAX_COLUMN)


@lru_cache(maxsize=256)
def _handicap_columns(difference: int) -> _Lines:
    """The difference beats a handicap when it is above minus the line, so that is what the columns are for."""
    lines = handicap_lines(difference, difference)
    columns = _columns([-line for line in lines], difference, FIRST_DIFFERENCE, MAX_COLUMN)
    return _Lines(lines, columns.above, columns.not_below)


def _totals(sums: GridSums, goals: int) -> tuple[TotalLine, ...]:
    columns = _total_columns(goals)
    overs = sums.total[columns.above].sum(axis=0) / 2
    unders = 1.0 - sums.total[columns.not_below].sum(axis=0) / 2
    pushes = 1.0 - overs - unders
    rows = zip(columns.lines, overs.tolist(), pushes.tolist(), unders.tolist(), strict=True)
    return tuple(TotalLine(line=line, over=over, push=push, under=under) for line, over, push, under in rows)


def _asian_handicap(sums: GridSums, difference: int) -> tuple[HandicapLine, ...]:
    """Read both half stakes of each line: won when both win, half won when one wins and one is returned, and so on."""
    columns = _handicap_columns(difference)
    above, not_below = sums.difference[columns.above], sums.difference[columns.not_below]
    win, any_win = np.minimum(*above), np.maximum(*above)
    safe, not_lost = np.minimum(*not_below), np.maximum(*not_below)
    values = np.stack((win, any_win - win, safe - any_win, not_lost - safe, 1.0 - not_lost), axis=-1)
    return tuple(
        HandicapLine(line=line, win=row[0], half_win=row[1], push=row[2], half_loss=row[3], loss=row[4])
        for line, row in zip(columns.lines, values.tolist(), strict=True)
    )


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
