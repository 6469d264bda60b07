"""What is known of a match before its kick-off and does not come by its feed: ratings, form, schedule, earlier prices.

Every number may be missing. The ratings are those of the model notes, "The recipe". Whoever fills this in knows earlier
days only; the names are those of the columns that training computes.
"""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct

from actors.domain.features.describe import SIDES, UNBOUNDED, Feature, Group

_SIGNALS: Mapping[str, str] = MappingProxyType(
    {
        "go": "goals",
        "gof": "goals, quick to follow",
        "ht": "half-time goals",
        "cp": "goals and shots",
        "cpf": "goals and shots, quick to follow",
        "cps": "goals and shots, slow to follow",
        "st": "shots on target",
        "sh": "shots",
        "co": "corners",
        "im": "earlier closing prices",
        "im2": "earlier closing prices, and goals and shots",
        "im3": "earlier closing prices, and goals and shots, slow to follow",
    }
)
_IN_DETAIL = ("go", "cp", "im", "im2", "im3")
_DETAILS = (
    ("attack_home", "attack of home", "log rate", -4.0, 4.0),
    ("defence_home", "defence of home", "log rate", -4.0, 4.0),
    ("attack_away", "attack of away", "log rate", -4.0, 4.0),
    ("defence_away", "defence of away", "log rate", -4.0, 4.0),
    ("variance", "variances of both teams added", "squared log rate", 0.0, 10.0),
    ("home", "home advantage, the team's own included", "log rate", -2.0, 2.0),
)
_AVERAGED = (
    ("goal_residual", "goal difference above what ratings expected", "goals", -10.0, 10.0),
    ("comp_residual", "shot-based difference above what ratings expected", "goals", -10.0, 10.0),
    ("points", "points a match", "points", 0.0, 3.0),
    ("draws", "share of draws", "share", 0.0, 1.0),
    ("total", "goals of both sides", "goals", 0.0, 20.0),
)
_DECAYS = (("fast", 0.75), ("slow", 0.9))
_TABLE: tuple[tuple[str, str, str, Group, float, float], ...] = (
    ("venue_residual", "goal difference above expectation at this venue", "goals", "form", -10, 10),
    ("points_a_match", "points a match this season", "points", "form", 0, 3),
    ("goal_difference_a_match", "goal difference a match this season", "goals", "form", -30, 30),
    ("rank", "place in the table, as a share of the league's teams", "share", "form", 0, 1),
    ("gap_to_top", "points a match behind the first", "points", "form", 0, 3),
    ("gap_to_third_last", "points a match above the third last", "points", "form", -3, 3),
    ("season_played", "matches of the season played, in units of 38", "share", "schedule", 0, 2),
    ("rest_days", "days since the last match, 60 at most", "days", "schedule", 0, 60),
    ("rest_days_third", "days since the third last match, 120 at most", "days", "schedule", 0, 120),
    ("streak", "matches won in a row, negative: lost", "matches", "form", -100, 100),
    ("reds_last", "red cards in the match before", "cards", "form", 0, 11),
)
_MATCH: tuple[tuple[str, str, str, Group, float, float], ...] = (
    (
        "head_to_head",
        "home's goal difference above expectation in earlier meetings, fading",
        "goals",
        "head_to_head",
        -10,
        10,
    ),
    ("referee_home", "home's goal difference above expectation under this referee, shrunk", "goals", "league", -5, 5),
    ("year_sine", "sine of the time of year", "sine", "schedule", -1, 1),
    ("year_cosine", "cosine of the time of year", "cosine", "schedule", -1, 1),
    ("weekend", "1 on Saturday and Sunday", "flag", "schedule", 0, 1),
    ("hour", "hour of kick-off, local", "hour", "schedule", 0, 24),
    *((f"tier_{tier}", f"1 in a league of tier {tier}", "flag", "league", 0, 1) for tier in range(1, 6)),
)
_RATES = (("home_rate", "goals expected of home"), ("away_rate", "goals expected of away"))


class PreMatch(Struct, frozen=True, kw_only=True):
    """What is known of a match. Player ids are those of the provider whose line-ups come by the feed.

    Raises:
        ValueError: `numbers` names what the catalogue does not have.
    """

    numbers: dict[str, float] = {}  # by the name in the catalogue; missing where it is left out, or NaN
    home_form: dict[str, float] = {}  # player id -> expected goals and possession value added in 90 minutes
    away_form: dict[str, float] = {}
    home_starters: tuple[str, ...] = ()  # of the match before
    away_starters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := self.numbers.keys() - GIVEN:
            raise ValueError(f"the catalogue has no {min(unknown)!r} among what is known before kick-off")


def _feature(
    name: str, definition: str, unit: str, group: Group, low: float = UNBOUNDED[0], high: float = UNBOUNDED[1]
) -> Feature:
    return Feature(name=name, definition=definition, unit=unit, source="before", group=group, range=(low, high))


def _ratings() -> Iterable[Feature]:
    for signal, of in _SIGNALS.items():
        yield _feature(
            f"{signal}_supremacy", f"log rate of home less away by ratings of {of}", "log rate", "ratings", -10, 10
        )
        yield _feature(f"{signal}_total", f"log rates of both added by ratings of {of}", "log rate", "ratings", -10, 10)
        if signal in _IN_DETAIL:
            for name, what, unit, low, high in _DETAILS:
                group: Group = "league" if name == "home" else "ratings"
                yield _feature(f"{signal}_{name}", f"{what} by ratings of {of}", unit, group, low, high)


def _form() -> Iterable[Feature]:
    for side in SIDES:
        for speed, decay in _DECAYS:
            for name, what, unit, low, high in _AVERAGED:
                definition = f"{what}; {side} team, fading by {decay:g} a match"
                yield _feature(f"{side}_{name}_{speed}", definition, unit, "form", low, high)
        for name, what, unit, group, low, high in _TABLE:
            yield _feature(f"{side}_{name}", f"{what}; {side} team", unit, group, low, high)
    for name, what, unit, group, low, high in _MATCH:
        yield _feature(name, what, unit, group, low, high)


_GIVEN: tuple[Feature, ...] = (*_ratings(), *_form())
GIVEN = frozenset(feature.name for feature in _GIVEN)
BEFORE_FEATURES: tuple[Feature, ...] = (
    *_GIVEN,
    *(
        _feature(
            f"{signal}_{name}", f"{what} in the whole match by ratings of {_SIGNALS[signal]}", "goals", "ratings", 0, 20
        )
        for signal in _IN_DETAIL
        for name, what in _RATES
    ),
)


def before_values(prematch: PreMatch) -> list[float]:
    """Return the values of BEFORE_FEATURES; NaN is missing."""
    numbers = prematch.numbers
    values = [numbers.get(feature.name, math.nan) for feature in _GIVEN]
    for signal in _IN_DETAIL:
        supremacy, total = (numbers.get(f"{signal}_{name}", math.nan) for name in ("supremacy", "total"))
        values += [math.exp((total + supremacy) / 2), math.exp((total - supremacy) / 2)]
    return values
