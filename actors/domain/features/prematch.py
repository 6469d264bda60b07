"""What is known of a match before its kick-off and does not come by its feed. Every field may be missing.

Ratings are those of the model notes, "The recipe": `go` from goals, `cp` from goals and shots, `im` from earlier
matches' closing prices, `st` shots on target, `sh` shots, `co` corners. Whoever fills it knows earlier days only.
"""

import math
from typing import Annotated, Any, get_args, get_type_hints

from msgspec import Meta, Struct

from actors.domain.features.describe import SIDES, Feature, Group


def _known(group: Group, unit: str, definition: str, low: float = -math.inf, high: float = math.inf) -> Meta:
    return Meta(description=definition, extra={"group": group, "unit": unit, "range": (low, high)})


def _log(definition: str) -> Meta:
    return _known("ratings", "log rate", definition, -4, 4)


def _residual(definition: str) -> Meta:
    return _known("form", "goals", definition, -5, 5)


Maybe = float | None


class TeamBefore(Struct, frozen=True, kw_only=True):
    """What is known of one side."""

    go_attack: Annotated[Maybe, _log("attack rating from goals")] = None
    go_defence: Annotated[Maybe, _log("defence rating from goals")] = None
    go_variance: Annotated[Maybe, _known("ratings", "squared log rate", "variance of both together", 0, 4)] = None
    cp_attack: Annotated[Maybe, _log("attack rating from goals and shots")] = None
    cp_defence: Annotated[Maybe, _log("defence rating from goals and shots")] = None
    cp_variance: Annotated[Maybe, _known("ratings", "squared log rate", "variance of both together", 0, 4)] = None
    im_attack: Annotated[Maybe, _log("attack rating from earlier closing prices")] = None
    im_defence: Annotated[Maybe, _log("defence rating from earlier closing prices")] = None
    im_variance: Annotated[Maybe, _known("ratings", "squared log rate", "variance of both together", 0, 4)] = None
    st_attack: Annotated[Maybe, _log("attack rating from shots on target")] = None
    st_defence: Annotated[Maybe, _log("defence rating from shots on target")] = None
    sh_attack: Annotated[Maybe, _log("attack rating from shots")] = None
    sh_defence: Annotated[Maybe, _log("defence rating from shots")] = None
    co_attack: Annotated[Maybe, _log("attack rating from corners")] = None
    co_defence: Annotated[Maybe, _log("defence rating from corners")] = None
    home_effect: Annotated[Maybe, _log("this team's own home advantage beyond the league's")] = None
    goal_residual_75: Annotated[Maybe, _residual("goal difference above expectation, fading by .75 a match")] = None
    goal_residual_90: Annotated[Maybe, _residual("goal difference above expectation, fading by .9 a match")] = None
    shot_residual_75: Annotated[Maybe, _residual("shot-based difference above expectation, by .75 a match")] = None
    shot_residual_90: Annotated[Maybe, _residual("shot-based difference above expectation, by .9 a match")] = None
    points_75: Annotated[Maybe, _known("form", "points", "points a match, fading by .75", 0, 3)] = None
    points_90: Annotated[Maybe, _known("form", "points", "points a match, fading by .9", 0, 3)] = None
    draws_90: Annotated[Maybe, _known("form", "share", "share of draws, fading by .9 a match", 0, 1)] = None
    total_goals_90: Annotated[Maybe, _known("form", "goals", "goals of both sides, fading by .9 a match", 0, 20)] = None
    venue_residual: Annotated[Maybe, _residual("goal difference above expectation at this venue, home or away")] = None
    unbeaten: Annotated[Maybe, _known("form", "matches", "matches since the last defeat", 0, 200)] = None
    reds_last_match: Annotated[Maybe, _known("form", "cards", "red cards in the match before", 0, 11)] = None
    points_per_match: Annotated[Maybe, _known("form", "points", "this season so far", 0, 3)] = None
    goal_difference_per_match: Annotated[Maybe, _known("form", "goals", "this season so far", -20, 20)] = None
    rank: Annotated[Maybe, _known("form", "place", "place in the table", 1, 40)] = None
    gap_to_top: Annotated[Maybe, _known("form", "points", "points a match behind the first", -3, 3)] = None
    gap_to_drop: Annotated[Maybe, _known("form", "points", "points a match above the third last", -3, 3)] = None
    matches_played: Annotated[Maybe, _known("schedule", "matches", "this season so far", 0, 80)] = None
    days_since_last: Annotated[Maybe, _known("schedule", "days", "since the last match", 0, 4_000)] = None
    days_since_third_last: Annotated[Maybe, _known("schedule", "days", "since the third last match", 0, 4_000)] = None
    matches_in_14_days: Annotated[Maybe, _known("schedule", "matches", "in the 14 days before", 0, 14)] = None
    players: dict[str, float] = {}  # player id -> possession value and expected goals added for each 90 minutes
    last_starters: tuple[str, ...] = ()  # player ids of the line-up of the match before


class PreMatch(Struct, frozen=True, kw_only=True):
    """What is known of a match."""

    home: TeamBefore = TeamBefore()
    away: TeamBefore = TeamBefore()
    go_mu: Annotated[Maybe, _known("league", "log goals", "mean of a side's log goals (go)", -2, 2)] = None
    go_home: Annotated[Maybe, _known("league", "log goals", "home advantage (go)", -1, 1)] = None
    cp_mu: Annotated[Maybe, _known("league", "log goals", "mean of a side's log goals (cp)", -2, 2)] = None
    cp_home: Annotated[Maybe, _known("league", "log goals", "home advantage (cp)", -1, 1)] = None
    im_mu: Annotated[Maybe, _known("league", "log goals", "mean of a side's log goals (im)", -2, 2)] = None
    im_home: Annotated[Maybe, _known("league", "log goals", "home advantage (im)", -1, 1)] = None
    league_draws: Annotated[Maybe, _known("league", "share", "share of draws in the last 380 matches", 0, 1)] = None
    league_goals: Annotated[Maybe, _known("league", "goals", "goals a match in the last 380 matches", 0, 10)] = None
    tier: Annotated[Maybe, _known("league", "tier", "tier of the league, 1 is the highest", 1, 6)] = None
    season_share: Annotated[Maybe, _known("schedule", "share", "share of the season's days gone", 0, 1)] = None
    month: Annotated[Maybe, _known("schedule", "month", "month of kick-off", 1, 12)] = None
    weekday: Annotated[Maybe, _known("schedule", "day", "0 is Monday", 0, 6)] = None
    hour_utc: Annotated[Maybe, _known("schedule", "hour", "hour of kick-off, UTC", 0, 24)] = None
    meetings: Annotated[Maybe, _known("head_to_head", "matches", "earlier meetings at this venue", 0, 200)] = None
    meeting_residual: Annotated[
        Maybe, _known("head_to_head", "goals", "mean goal difference above expectation in them", -10, 10)
    ] = None
    meeting_goals: Annotated[Maybe, _known("head_to_head", "goals", "mean goals of both sides in them", 0, 20)] = None
    referee_residual: Annotated[
        Maybe, _known("league", "goals", "home goal difference above expectation under this referee, shrunk", -5, 5)
    ] = None


def _described(kind: type[Struct], prefix: str, of: str) -> tuple[tuple[str, Feature], ...]:
    """Return (field, feature) for each number in a Struct."""
    found = []
    for field, hint in get_type_hints(kind, include_extras=True).items():
        meta: Any = next((each for each in get_args(hint) if isinstance(each, Meta)), None)
        if meta is None:
            continue
        told = meta.extra
        feature = Feature(
            name=f"{prefix}{field}",
            definition=f"{meta.description}{of}",
            unit=told["unit"],
            source="before",
            group=told["group"],
            range=told["range"],
        )
        found.append((field, feature))
    return tuple(found)


_TEAM = {side: _described(TeamBefore, f"{side}_", f"; {side} team") for side in SIDES}
_MATCH = _described(PreMatch, "", "")
FILTERS = ("go", "cp", "im")
_RATES = (
    ("home_rate", "goals expected of home", "goals", (0.0, 20.0)),
    ("away_rate", "goals expected of away", "goals", (0.0, 20.0)),
    ("supremacy", "log rate of home less that of away", "log rate", (-8.0, 8.0)),
    ("level", "log rates of both added", "log rate", (-8.0, 8.0)),
)
BEFORE_FEATURES: tuple[Feature, ...] = (
    *(feature for side in SIDES for _, feature in _TEAM[side]),
    *(feature for _, feature in _MATCH),
    *(
        Feature(
            name=f"{rating}_{name}",
            definition=f"{definition} by the ratings {rating}, before kick-off",
            unit=unit,
            source="before",
            group="ratings",
            range=(low, high),
        )
        for rating in FILTERS
        for name, definition, unit, (low, high) in _RATES
    ),
)


def before_values(prematch: PreMatch) -> list[float]:
    """Return the values of BEFORE_FEATURES; NaN is missing."""
    values = []
    for side in SIDES:
        team: TeamBefore = getattr(prematch, side)
        values += [_number(getattr(team, field)) for field, _ in _TEAM[side]]
    values += [_number(getattr(prematch, field)) for field, _ in _MATCH]
    for rating in FILTERS:
        values += _expected(prematch, rating)
    return values


def _expected(prematch: PreMatch, rating: str) -> list[float]:
    home, away = prematch.home, prematch.away
    mu, advantage = (_number(getattr(prematch, f"{rating}_{name}")) for name in ("mu", "home"))
    attack, defence = f"{rating}_attack", f"{rating}_defence"
    half = advantage / 2 + (home.home_effect or 0.0)
    home_eta = mu + half + _number(getattr(home, attack)) - _number(getattr(away, defence))
    away_eta = mu - half + _number(getattr(away, attack)) - _number(getattr(home, defence))
    return [math.exp(home_eta), math.exp(away_eta), home_eta - away_eta, home_eta + away_eta]


def _number(value: float | None) -> float:
    return math.nan if value is None else value
