"""Prices: the first, the last before kick-off and the newest of each market, without the overround, and their moves."""

import math
from functools import lru_cache

from actors.domain.errors import MalformedMarket
from actors.domain.features.describe import PRICE_STALE_S, Feature
from actors.domain.features.moment import Moment
from actors.domain.match import Book, anchor_prices
from actors.domain.overround import fair, overround

_STAGES = {"opening": "first price", "closing": "last price before kick-off", "latest": "newest price"}
_ROWS: tuple[tuple[str, str, str, float, float], ...] = (
    ("home", "probability of home by the {}", "probability", 0, 1),
    ("draw", "probability of a draw by the {}", "probability", 0, 1),
    ("away", "probability of away by the {}", "probability", 0, 1),
    ("home_against_away", "log of home's probability over away's by the {}", "log-odds", -12, 12),
    ("entropy", "uncertainty of the {}", "nats", 0, 1.1),
    ("overround_1x2", "book sum less one of the {}", "share", -1, 2),
    ("line", "total goals line of the {} nearest to 2.5", "goals", 0, 20),
    ("over", "probability of over that line by the {}", "probability", 0, 1),
    ("overround_total", "book sum less one of the {} on that line", "share", -1, 2),
)
_MOVES = (
    ("home", "home"),
    ("draw", "draw"),
    ("away", "away"),
    ("over", "over the total goals line, if the same"),
)
_STAGE_PAIRS = (("opening", "closing"), ("closing", "latest"))
_METHOD = {"probability": "; overround removed by the power method"}


def _feature(name: str, definition: str, unit: str, low: float, high: float, stage: str) -> Feature:
    return Feature(
        name=name,
        definition=definition,
        unit=unit,
        source="odds",
        group="prices",
        range=(low, high),
        staleness_limit_s=PRICE_STALE_S if stage == "latest" else None,
    )


PRICE_FEATURES: tuple[Feature, ...] = (
    *(
        _feature(f"{stage}_{name}", definition.format(said) + _METHOD.get(unit, ""), unit, low, high, stage)
        for stage, said in _STAGES.items()
        for name, definition, unit, low, high in _ROWS
    ),
    *(
        _feature(
            f"{name}_move_{earlier}_to_{later}",
            f"log-odds of {said}: {_STAGES[later]} less {_STAGES[earlier]}",
            "log-odds",
            -12,
            12,
            later,
        )
        for earlier, later in _STAGE_PAIRS
        for name, said in _MOVES
    ),
    _feature("price_in_play", "1 if the newest 1X2 price is of play, 0 if of before", "flag", 0, 1, "latest"),
    _feature("price_suspended", "1 if the market 1X2 is suspended, 0 if open", "flag", 0, 1, "latest"),
)
_Stage = dict[str, float]


def price_values(moment: Moment) -> list[float]:
    """Return the values of PRICE_FEATURES; missing where nobody quoted a whole price."""
    state, newest = moment.state, latest_books(moment)
    stages = {"opening": _stage(state.openings), "closing": _stage(state.anchors), "latest": _stage(newest)}
    values = [stages[stage][name] for stage in _STAGES for name, *_ in _ROWS]
    for earlier, later in _STAGE_PAIRS:
        values += [_move(stages[earlier], stages[later], name) for name, _ in _MOVES]
    book = newest.get("1x2")
    return [*values, *((math.nan, math.nan) if book is None else (float(book.in_play), float(book.suspended)))]


def latest_books(moment: Moment) -> dict[str, Book]:
    """Return the newest book of each market that was not made after the moment, else its last before kick-off."""
    state = moment.state
    return state.anchors | {key: book for key, book in state.books.items() if book.clock <= moment.at}


def _stage(books: dict[str, Book]) -> _Stage:
    found = dict.fromkeys((name for name, *_ in _ROWS), math.nan)
    three, total = anchor_prices(books)
    if three is not None and (p := _fair(three)):
        found |= dict(zip(("home", "draw", "away"), p, strict=True))
        found["home_against_away"] = math.log(p[0] / p[2])
        found["entropy"] = -math.fsum(each * math.log(each) for each in p)
        found["overround_1x2"] = overround(three)
    if total is not None and (p := _fair(total[1:])):
        found |= {"line": total[0], "over": p[0], "overround_total": overround(total[1:])}
    return found


@lru_cache(maxsize=1_024)
def _fair(prices: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return the probabilities; None where the book is so lopsided that one of them is nought."""
    try:
        found = fair(prices)
    except MalformedMarket:
        return None
    return found if min(found) > 0 else None


def _move(earlier: _Stage, later: _Stage, name: str) -> float:
    if name == "over" and earlier["line"] != later["line"]:
        return math.nan
    return _logit(later[name]) - _logit(earlier[name])


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.nan
