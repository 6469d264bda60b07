"""From a match's state and a model's answer to the forecast that is published: pure, so that it can be done again."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import MalformedMarket
from actors.domain.events import Clock, Score
from actors.domain.forecast import (
    NO_ENSEMBLE,
    AsOf,
    Forecast,
    Offsets,
    PriceView,
    Stamps,
    Status,
    feature_snapshot,
    prediction_id,
    row_hash,
    worst,
)
from actors.domain.markets import Markets, ThreeWay, settle
from actors.domain.match import Book, MatchState, forecast_inputs
from actors.domain.overround import fair, overround

MAX_QUOTE_AGE_MS = 60_000  # of match time: an older in-play quote may be stale, so no edge is shown against it
METHOD: Literal["power"] = "power"


class Draft(Struct, frozen=True, kw_only=True):
    """A forecast that is due: all of it but the model's answer."""

    state: MatchState
    inputs: ForecastInputs
    trigger: str
    status: Status
    reasons: tuple[str, ...]
    occurred: datetime
    received: datetime
    logged: datetime
    conflated: int = 0


class Place(Struct, frozen=True, kw_only=True):
    """Where a forecast stands: its owner's epoch, the row it is chained to, and the model version of that row."""

    epoch: int
    prev_hash: str
    prev_model: str | None = None  # None: it is the match's first


def assemble(
    draft: Draft, prediction: Prediction, markets: Markets, place: Place, inferred: datetime, published: datetime
) -> Forecast:
    """Return the forecast to be appended to the log, chained to the one before it; `markets`: the prediction's."""
    state, summary = draft.state, draft.state.summary
    status, reasons = _with_fallback(draft, prediction)
    snapshot_id, _ = feature_snapshot(draft.inputs)
    open_forecast = Forecast(
        match_id=state.match_id,
        epoch=place.epoch,
        seq=state.offset,
        prediction_id=prediction_id(state.match_id, state.offset),
        home=state.home.name,
        away=state.away.name,
        competition=state.competition,
        as_of=AsOf(clock=state.clock, occurred_at=draft.occurred),
        phase=summary.phase,
        status=status,
        reasons=reasons,
        trigger=draft.trigger,
        score=summary.score,
        extra_time=summary.extra_time,
        shoot_out=summary.shoot_out,
        cards={"yellow": summary.yellow, "sent_off": summary.sent_off},
        model_version=prediction.model_version,
        basis=prediction.basis,
        feature_snapshot_id=snapshot_id,
        inputs=draft.inputs,
        markets=markets,
        intervals=prediction.intervals,
        intervals_reason="" if prediction.intervals else NO_ENSEMBLE,
        settled=_settled(state, draft.inputs, draft.status),
        price=price_view(state, markets.one_x_two, status),
        offsets=Offsets(feed=state.offset, odds=max((b.offset for b in state.books.values()), default=None)),
        stamps=Stamps(
            occurred=draft.occurred,
            received=draft.received,
            logged=draft.logged,
            inferred=inferred,
            published=published,
        ),
        runtime=prediction.runtime,
        conflated=draft.conflated,
        swapped_from=place.prev_model if place.prev_model != prediction.model_version else None,
        prev_hash=place.prev_hash,
        row_hash="",
    )
    return replace_hash(open_forecast)


def replace_hash(forecast: Forecast) -> Forecast:
    """Return the forecast with the hash that its content and its predecessor give it."""
    return replace(forecast, row_hash=row_hash(forecast.prev_hash, forecast))


def price_view(state: MatchState, probabilities: ThreeWay, status: Status) -> PriceView | None:
    """Return the 1X2 book beside the forecast; None where no book has all three prices."""
    book = state.books.get("1x2")
    if book is None or len(book.prices) != 3 or not all(book.prices):
        return None
    home, draw, away = (float(price or 0) for price in book.prices)
    try:
        fair_home, fair_draw, fair_away = fair((home, draw, away), METHOD)
    except MalformedMarket:
        return None
    edge = (probabilities.home * home - 1, probabilities.draw * draw - 1, probabilities.away * away - 1)
    return PriceView(
        provider=book.provider,
        bookmaker=book.bookmaker,
        prices=(home, draw, away),
        fair=(fair_home, fair_draw, fair_away),
        method=METHOD,
        overround=overround((home, draw, away)),
        suspended=book.suspended,
        in_play=book.in_play,
        occurred_at=book.occurred_at,
        match_ms_at=book.clock,
        edge=edge if status == "OK" and _may_be_acted_on(state, book) else None,
    )


def _may_be_acted_on(state: MatchState, book: Book) -> bool:
    """Say whether the quote is of now: open, from before kick-off only until kick-off, and of a time still to play."""
    if book.suspended or state.summary.phase not in ("scheduled", "live", "break") or forecast_inputs(state).is_over:
        return False
    if state.summary.phase == "scheduled":
        return not book.in_play
    return book.in_play and _is_recent(book.clock, state.clock)


def _is_recent(then: Clock, now: Clock) -> bool:
    """Say whether a quote is young enough; how old one from before a break is, no clock of the match can tell."""
    return then.period == now.period and now.ms - then.ms <= MAX_QUOTE_AGE_MS


def _with_fallback(draft: Draft, prediction: Prediction) -> tuple[Status, tuple[str, ...]]:
    if prediction.basis == "league":
        return worst([draft.status, "MODEL_FALLBACK"]), (*draft.reasons, "no_prices_and_no_ratings")
    return draft.status, draft.reasons


def _settled(state: MatchState, inputs: ForecastInputs, status: Status) -> dict[str, str] | None:
    """Return the winning selections once regular time is over and its score can be trusted."""
    if not inputs.is_over or status != "OK" or state.summary.phase not in ("finished", "live", "break"):
        return None
    return settle(Score(inputs.home_goals, inputs.away_goals))
