"""From state and prediction to forecast: when an edge may be shown, when markets are settled, what the hash covers."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from actors.domain.assemble import MAX_QUOTE_AGE_MS, Draft, Place, assemble, replace_hash
from actors.domain.distribution import ForecastInputs, Intervals, Runtime
from actors.domain.events import (
    Abandoned,
    Card,
    Clock,
    Correction,
    Event,
    FeedRecord,
    FullTime,
    Goal,
    KickOff,
    Odds,
    PeriodEnd,
    PeriodStart,
    Postponed,
    Retraction,
    Score,
    Tick,
)
from actors.domain.fixtures import Believed, Fixture, Team
from actors.domain.forecast import AsOf, Forecast, Offsets, PriceView, feature_snapshot, row_hash
from actors.domain.markets import derive_markets
from actors.domain.match import MatchState, forecast_inputs, new_match
from actors.machines.match import fold
from actors.machines.status import feed_status
from tests.unit.api_world import KICK_OFF, a_forecast, a_price, predict_one

MATCH = "fake:1"
FIXTURE = Fixture(
    match_id=MATCH,
    kick_off=KICK_OFF,
    home=Team(name="Home"),
    away=Team(name="Away"),
    competition="Cup",
    believed=Believed(events="fake", clock="fake", odds=("book",)),
)
HALF_MS = 46 * 60_000
Told = tuple[Event, Clock] | tuple[Event, Clock, str]


def prices(*values: float | None, suspended: bool = False) -> Odds:
    return Odds(market="1x2", selections=("home", "draw", "away"), prices=values, suspended=suspended)


def state_of(*told: Told) -> MatchState:
    """Fold what was told: (payload, clock), and the event id of what is corrected or taken back."""
    seqs = {"fake": 0, "book": 0}
    records = []
    for number, (payload, clock, *about) in enumerate(told):
        provider = "book" if isinstance(payload, Odds) else "fake"
        seqs[provider] += not isinstance(payload, Tick)
        records.append(
            FeedRecord(
                match_id=MATCH,
                provider=provider,
                provider_seq=seqs[provider],
                event_id=about[0] if about else f"e{number}",
                version=2 if about else 1,
                occurred_at=KICK_OFF,
                received_at=KICK_OFF,
                clock=clock,
                payload=payload,  # type: ignore[arg-type]
            )
        )
    return fold(new_match(FIXTURE), records)


def forecast_of(*told: Told, basis: str = "prices", prev_model: str | None = None) -> Forecast:
    state = state_of(*told)
    status, reasons = feed_status(state)
    inputs = forecast_inputs(state)
    draft = Draft(
        state=state,
        inputs=inputs,
        trigger="tick",
        status=status,
        reasons=reasons,
        occurred=KICK_OFF,
        received=KICK_OFF,
        logged=KICK_OFF,
    )
    prediction = replace(predict_one(inputs), basis=basis)
    place = Place(epoch=3, prev_hash="a" * 64, prev_model=prev_model)
    return assemble(draft, prediction, derive_markets(prediction.distribution), place, KICK_OFF, KICK_OFF)


def edge_of(*told: Told, basis: str = "prices") -> tuple[float, float, float] | None:
    price = forecast_of(*told, basis=basis).price
    assert price is not None
    return price.edge


BOOK = prices(2.1, 3.4, 3.9)
BEFORE = (BOOK, Clock(0, 0))
START = (KickOff(), Clock(1, 0))
FIRST_HALF = (START, (PeriodEnd(), Clock(1, HALF_MS)))
SECOND_HALF = (*FIRST_HALF, (PeriodStart(), Clock(2, 0)))
PLAYED = (*SECOND_HALF, (PeriodEnd(), Clock(2, HALF_MS)))
OVER = (*PLAYED, (FullTime(), Clock(2, HALF_MS)))


def tick(period: int, ms: int) -> Told:
    return Tick(), Clock(period, ms)


def test_the_edge_is_what_a_bet_at_the_price_would_win_on_average() -> None:
    forecast = forecast_of(BEFORE)
    assert forecast.price is not None
    assert forecast.price.edge is not None
    win = forecast.markets.one_x_two
    assert forecast.price.edge == (win.home * 2.1 - 1, win.draw * 3.4 - 1, win.away * 3.9 - 1)
    assert sum(forecast.price.fair) == pytest.approx(1.0)
    assert forecast.price.overround == pytest.approx(1 / 2.1 + 1 / 3.4 + 1 / 3.9 - 1)


def test_before_kick_off_the_price_before_kick_off_may_be_acted_on_and_after_it_never_again() -> None:
    assert edge_of(BEFORE) is not None
    assert edge_of(BEFORE, START, tick(1, 1_000)) is None
    assert edge_of(BEFORE, *FIRST_HALF) is None


def test_a_price_in_play_may_be_acted_on_for_a_minute_of_match_time() -> None:
    quoted = (BOOK, Clock(1, 600_000))
    assert edge_of(START, tick(1, 600_000), quoted) is not None
    assert edge_of(START, quoted, tick(1, 600_000 + MAX_QUOTE_AGE_MS)) is not None
    assert edge_of(START, quoted, tick(1, 600_000 + MAX_QUOTE_AGE_MS + 1_000)) is None


def test_a_price_of_the_first_half_may_not_be_acted_on_in_the_second() -> None:
    early, late = (BOOK, Clock(1, 600_000)), (BOOK, Clock(1, HALF_MS))
    ended, restarted = FIRST_HALF[1], (PeriodStart(), Clock(2, 0))
    assert edge_of(START, early, tick(1, HALF_MS), ended, restarted, tick(2, 30_000)) is None
    assert edge_of(START, late, tick(1, HALF_MS), ended) is not None
    assert edge_of(START, late, tick(1, HALF_MS), ended, restarted, tick(2, 30_000)) is None


def test_a_suspended_market_has_a_price_and_no_edge() -> None:
    assert edge_of((prices(2.1, 3.4, 3.9, suspended=True), Clock(0, 0))) is None
    quoted = (prices(2.1, 3.4, 3.9, suspended=True), Clock(1, 60_000))
    assert edge_of(START, tick(1, 60_000), quoted) is None


def test_what_cannot_be_trusted_has_no_edge() -> None:
    """A lost record, an open review, and a forecast that rests on the league alone."""
    quoted = (BOOK, Clock(1, 60_000))
    trusted = (START, tick(1, 60_000), quoted)
    assert edge_of(*trusted) is not None
    fallback = forecast_of(*trusted, basis="league")
    assert (fallback.status, fallback.reasons) == ("MODEL_FALLBACK", ("no_prices_and_no_ratings",))
    assert fallback.price is not None
    assert fallback.price.edge is None
    skipped = (PeriodStart(), Clock(2, 0))
    assert forecast_of(skipped, tick(2, 1_000), (BOOK, Clock(2, 0))).status == "GAP"
    assert edge_of(skipped, tick(2, 1_000), (BOOK, Clock(2, 0))) is None


@pytest.mark.parametrize("end", [(Postponed(), Clock(0, 0)), (Abandoned(), Clock(1, 60_000))])
def test_a_match_that_is_not_played_has_no_edge(end: Told) -> None:
    begun = () if end[1].period == 0 else (START,)
    assert edge_of(*begun, (BOOK, end[1]), end) is None


def test_once_regular_time_is_over_there_is_nothing_left_to_bet_on() -> None:
    assert edge_of(*PLAYED, (BOOK, Clock(2, HALF_MS))) is None
    extra_time = (*PLAYED, (PeriodStart(), Clock(3, 0)), (BOOK, Clock(3, 0)))
    assert edge_of(*extra_time) is None
    assert edge_of(*OVER, (BOOK, Clock(2, HALF_MS))) is None


@pytest.mark.parametrize("book", [prices(2.1, None, 3.9), prices(1.01, 1.01, 1.01)], ids=["a price missing", "absurd"])
def test_a_book_that_is_not_whole_is_shown_without_pretending(book: Odds) -> None:
    price = forecast_of((book, Clock(0, 0))).price
    assert price is None or sum(price.fair) == pytest.approx(1.0)
    assert forecast_of((prices(2.1, None, 3.9), Clock(0, 0))).price is None


def test_a_fallback_never_hides_a_worse_status() -> None:
    gap = forecast_of((PeriodStart(), Clock(2, 0)), basis="league")
    assert gap.status == "GAP"
    assert "no_prices_and_no_ratings" in gap.reasons


def test_markets_are_settled_once_regular_time_is_over_and_not_before() -> None:
    goal = (Goal(side="home"), Clock(1, 60_000))
    assert forecast_of(START, goal, tick(1, 61_000)).settled is None
    assert forecast_of(START, goal, *SECOND_HALF[1:], tick(2, HALF_MS)).settled is None
    over = forecast_of(START, goal, *PLAYED[1:])
    assert over.settled is not None
    assert over.settled["1x2"] == "home"
    assert forecast_of(START, goal, *OVER[1:]).settled == over.settled


def test_goals_of_extra_time_settle_nothing() -> None:
    extra = (*PLAYED, (PeriodStart(), Clock(3, 0)), (Goal(side="away"), Clock(3, 60_000)), tick(3, 61_000))
    settled = forecast_of(*extra).settled
    assert settled is not None
    assert settled["1x2"] == "draw"


def test_a_correction_after_full_time_settles_anew() -> None:
    goal = (Goal(side="home"), Clock(1, 60_000))
    taken_back = (Retraction(), Clock(1, 60_000), "e1")
    assert forecast_of(START, goal, *OVER[1:]).settled != forecast_of(*OVER).settled
    assert forecast_of(START, goal, *OVER[1:], taken_back).settled == forecast_of(*OVER).settled
    other_side = (Correction(clock=Clock(1, 60_000), event=Goal(side="away")), Clock(1, 60_000), "e1")
    corrected = forecast_of(START, goal, *OVER[1:], other_side)
    assert corrected.settled is not None
    assert corrected.settled["1x2"] == "away"


def test_what_cannot_be_trusted_is_not_settled() -> None:
    unexplained = (Goal(side="home", score=Score(3, 0)), Clock(2, 60_000))
    doubtful = forecast_of(*SECOND_HALF, unexplained, *OVER[3:])
    assert doubtful.status == "GAP"
    assert doubtful.settled is None


def test_an_abandoned_match_is_not_settled() -> None:
    assert forecast_of(*PLAYED, (Abandoned(), Clock(2, HALF_MS))).settled is None
    extra_time = (*PLAYED, (PeriodStart(), Clock(3, 0)), tick(3, 60_000))
    assert forecast_of(*extra_time).settled is not None
    assert forecast_of(*extra_time, (Abandoned(), Clock(3, 60_000))).settled is None


def test_a_forecast_states_its_inputs_its_place_and_its_hash() -> None:
    forecast = forecast_of(BEFORE, START, (Card(side="home", colour="red"), Clock(1, 60_000)), tick(1, 65_000))
    assert (forecast.seq, forecast.prediction_id, forecast.epoch) == (3, "fake:1@3", 3)
    assert forecast.feature_snapshot_id == feature_snapshot(forecast.inputs)[0]
    assert (forecast.offsets.feed, forecast.offsets.odds) == (3, 0)
    assert (forecast.cards["sent_off"], forecast.inputs.home_reds) == (Score(1, 0), 1)
    assert forecast.row_hash == row_hash("a" * 64, forecast)


OTHER_INPUTS = ForecastInputs(period=2, clock_ms=60_000, away_goals=1)
PRICE = a_price()
BASE = a_forecast(seq=4, price=PRICE)
COVERED: dict[str, Any] = {
    "match_id": "other:1",
    "seq": 5,
    "phase": "break",
    "status": "GAP",
    "reasons": ("records_lost",),
    "score": Score(1, 0),
    "model_version": "baseline-2",
    "feature_snapshot_id": "0" * 40,
    "markets": derive_markets(predict_one(OTHER_INPUTS).distribution),
    "intervals": Intervals(level=0.9, home=(0.4, 0.5), draw=(0.2, 0.3), away=(0.2, 0.3)),
    "settled": {"one_x_two": "home"},
    "price": None,
}
COVERED_OF_PRICE: dict[str, Any] = {
    "provider": "other",
    "prices": (2.2, 3.4, 3.9),
    "fair": (0.47, 0.275, 0.255),
    "method": "shin",
    "suspended": True,
    "edge": (0.06, -0.1, -0.1),
}
LATER = KICK_OFF + timedelta(days=400)
UNCOVERED: dict[str, Any] = {
    "epoch": 9,
    "stamps": replace(BASE.stamps, published=LATER, received=LATER, logged=LATER, inferred=LATER, occurred=LATER),
    "as_of": AsOf(clock=BASE.as_of.clock, occurred_at=LATER),
    "price": replace(PRICE, occurred_at=LATER),
    "runtime": Runtime(torch="9", cpu_capability="other"),
    "conflated": 7,
    "row_hash": "f" * 64,
}


@pytest.mark.parametrize("name", COVERED)
def test_another_content_is_another_hash(name: str) -> None:
    assert row_hash(BASE.prev_hash, replace(BASE, **{name: COVERED[name]})) != BASE.row_hash


@pytest.mark.parametrize("name", COVERED_OF_PRICE)
def test_another_price_is_another_hash(name: str) -> None:
    changed = replace(BASE, price=replace(PRICE, **{name: COVERED_OF_PRICE[name]}))
    assert row_hash(BASE.prev_hash, changed) != BASE.row_hash


@pytest.mark.parametrize("name", UNCOVERED)
def test_what_a_crash_can_change_is_not_in_the_hash(name: str) -> None:
    changed = replace(BASE, **{name: UNCOVERED[name]})
    assert changed != BASE
    assert row_hash(BASE.prev_hash, changed) == BASE.row_hash


def test_another_predecessor_is_another_hash() -> None:
    moved = replace_hash(replace(BASE, prev_hash="b" * 64))
    assert moved.row_hash != BASE.row_hash


def test_the_smallest_change_of_any_probability_is_another_hash() -> None:
    win = BASE.markets.one_x_two
    markets = replace(BASE.markets, one_x_two=replace(win, home=win.home * (1 + 2**-52)))
    assert markets != BASE.markets
    assert row_hash(BASE.prev_hash, replace(BASE, markets=markets)) != BASE.row_hash


def test_every_field_of_a_price_is_either_in_the_hash_or_known_not_to_be() -> None:
    known_not_to_be = {"bookmaker", "overround", "in_play", "occurred_at", "match_ms_at"}
    assert set(PriceView.__struct_fields__) == set(COVERED_OF_PRICE) | known_not_to_be
    assert Offsets.__struct_fields__ == ("feed", "odds")


def test_the_first_forecast_of_another_model_says_so_and_its_hash_does_not_cover_it() -> None:
    first, same = forecast_of(BEFORE), forecast_of(BEFORE, prev_model="baseline-1")
    swapped = forecast_of(BEFORE, prev_model="older-1")
    assert (first.swapped_from, same.swapped_from, swapped.swapped_from) == (None, None, "older-1")
    assert swapped.row_hash == first.row_hash
