"""Every market of a match, derived from one score distribution, so that they always agree with each other."""

from msgspec import Struct


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
    """Goals of both sides against a line; `push` is the stake's share returned (whole and quarter lines)."""

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
