"""The catalogue of what the odds-anchored model sees; one entry per field of `ForecastInputs`, checked by a test."""

from serve_app.messages import Feature

_STATE = "as old as the feed is silent; STALE after 3 s, SUSPENDED after 10 s in play"
_FIXED = "fixed before kick-off"
_SHOTS = "0 upwards, or missing until the provider has sent a shot"


def _feature(name: str, definition: str, unit: str, source: str, values: str, staleness: str = _STATE) -> Feature:
    return Feature(name=name, definition=definition, unit=unit, source=source, range=values, staleness=staleness)


CATALOGUE: tuple[Feature, ...] = (
    _feature("league", "code of the league in the team ratings", "code", "fixture", "text or missing", _FIXED),
    _feature("home_team", "key of the home side in the team ratings", "key", "fixture", "text or missing", _FIXED),
    _feature("away_team", "key of the away side in the team ratings", "key", "fixture", "text or missing", _FIXED),
    _feature(
        "period",
        "period of play: 0 before kick-off, 1 and 2 regular time, 3 and beyond: regular time is over",
        "count",
        "feed",
        "0 to 5",
    ),
    _feature("clock_ms", "match time since the period began", "ms", "feed", "0 to 5,400,000"),
    _feature("home_goals", "goals of the home side in regular time", "goals", "feed", "0 to 99"),
    _feature("away_goals", "goals of the away side in regular time", "goals", "feed", "0 to 99"),
    _feature("home_reds", "home players sent off while on the pitch", "players", "feed", "0 to 11"),
    _feature("away_reds", "away players sent off while on the pitch", "players", "feed", "0 to 11"),
    _feature(
        "anchor_1x2",
        "last price before kick-off of home, draw, away; the overround is removed inside the model",
        "decimal odds",
        "odds",
        "three prices above 1, or missing",
        "the last price before kick-off; it does not go stale, later prices do not replace it",
    ),
    _feature(
        "anchor_over_under",
        "last total before kick-off: line, price of over, price of under",
        "goals, decimal odds",
        "odds",
        "a line and two prices above 1, or missing",
        "the last price before kick-off; it does not go stale, later prices do not replace it",
    ),
    _feature("home_shots", "shots of the home side in regular time, own goals apart", "shots", "feed", _SHOTS),
    _feature("away_shots", "shots of the away side in regular time, own goals apart", "shots", "feed", _SHOTS),
    _feature("shots_by", "the provider whose shots are counted", "name", "feed", "text or missing"),
    _feature(
        "goals",
        "period, ms and side of each goal that the score counts, in order",
        "period, ms, side",
        "feed",
        "one entry a goal, or missing",
    ),
    _feature(
        "prior",
        "what ratings and form say of the result and of more than 2.5 goals; speaks where there are no prices",
        "probability",
        "ratings",
        "probabilities with their variant, model and the day of the newest result known, or missing",
        _FIXED,
    ),
)
