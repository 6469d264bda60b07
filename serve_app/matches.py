"""Reading matches: the list, one match, its latest forecast, its timeline, its inputs."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from actors.domain.distribution import ForecastInputs
from actors.domain.errors import StoreUnavailable, Unknown
from actors.domain.events import BEFORE_KICK_OFF, Clock
from actors.domain.features import Extracted
from actors.domain.forecast import Forecast, PriceView
from actors.domain.ports import History, PredictionRow, ViewEntry
from actors.domain.summary import Phase
from serve_app.body import Shown, read_forecast, show, shown_price
from serve_app.cursor import BadCursor, decode_place, encode_place
from serve_app.deps import MatchInputs
from serve_app.features import CATALOGUE
from serve_app.freshness import Freshness, State
from serve_app.match_features import match_inputs
from serve_app.messages import (
    ClockView,
    InputsAnswer,
    InputValue,
    MatchItem,
    MatchPage,
    TimelineItem,
    TimelinePage,
)
from serve_app.view import FixtureReader, ForecastReader

_LENGTH_MIN = {1: (0, 45), 2: (45, 45), 3: (90, 15), 4: (105, 15)}  # period -> (minutes before it, its minutes)
STATUSES: Mapping[str, tuple[Phase, ...]] = {
    "live": ("live", "break"),
    "scheduled": ("scheduled",),
    "finished": ("finished", "postponed", "abandoned"),
}
_UNKNOWN_KICK_OFF = datetime(1970, 1, 1, tzinfo=UTC)


def label(clock: Clock, phase: Phase) -> str:
    """Return match time as a scoreboard writes it, the running minute.

    >>> label(Clock(1, 46 * 60_000 + 5_000), "live"), label(Clock(2, 0), "live"), label(Clock(1, 2_800_000), "break")
    ("45+2'", "46'", 'HT')
    """
    if phase in ("finished", "postponed", "abandoned"):
        return {"finished": "FT"}.get(phase, "")
    if phase == "break":
        return "HT" if clock.period in (1, 2) and not (clock.period == 2 and clock.ms) else "break"
    if clock.period == 5:
        return "pens"
    if clock.period == 0:
        return ""
    before, length = _LENGTH_MIN[clock.period]
    minute = clock.ms // 60_000 + 1
    return f"{before + minute}'" if minute <= length else f"{before + length}+{minute - length}'"


class Matches:
    """What can be read about matches, from the view first and history behind it."""

    def __init__(
        self,
        reader: ForecastReader,
        fixtures: FixtureReader,
        history: History,
        now: Callable[[], datetime],
        extract: MatchInputs,
    ) -> None:
        self._reader, self._fixtures, self._history, self._now = reader, fixtures, history, now
        self._extract = extract

    def freshness(self, shown: Shown) -> Freshness:
        """Return how fresh a forecast is; one that left the view is final, or was given up in play."""
        forecast = shown.forecast
        if self._reader.shown(forecast.match_id) is not None:
            return self._reader.freshness(forecast.match_id)
        age_s = max(0.0, (self._now() - forecast.stamps.published).total_seconds())
        state: State = "FRESH" if forecast.phase in STATUSES["finished"] else "SUSPENDED"
        return Freshness(state=state, age_s=round(age_s, 3), feed_silent_s=None, own_lag_s=None)

    async def latest(self, match_id: str) -> Shown:
        """Return the latest forecast, of a match that left the view the last one of its chain.

        Raises:
            Unknown: There is no such match, or no forecast of it yet.
        """
        shown = self._reader.shown(match_id)
        if shown is None:
            shown = await asyncio.to_thread(self._last_in_history, match_id)
        if shown is None:
            known = self._fixtures.get(match_id) is not None
            raise Unknown("forecast yet of match" if known else "match", match_id)
        return shown

    def page(self, status: str | None, cursor: str | None, limit: int) -> MatchPage:
        """Return matches by kick-off and id; raises BadCursor."""
        after = _page_place(cursor)
        items = sorted((self._item(match_id) for match_id in self._ids()), key=_place_of)
        phases = STATUSES.get(status or "")
        rest = [item for item in items if _place_of(item) > after and (phases is None or item.phase in phases)]
        more = len(rest) > limit
        return MatchPage(matches=rest[:limit], next_cursor=_cursor_of(rest[limit - 1]) if more else None)

    async def item(self, match_id: str) -> MatchItem:
        """Return one match; raises Unknown."""
        if self._reader.shown(match_id) is None and self._fixtures.get(match_id) is None:
            return self._item(match_id, await self.latest(match_id))
        return self._item(match_id)

    def _ids(self) -> set[str]:
        waiting = {fixture.match_id for fixture in self._fixtures.all() if fixture.status == "scheduled"}
        return waiting | set(self._reader.matches())

    def _item(self, match_id: str, shown: Shown | None = None) -> MatchItem:
        fixture, shown = self._fixtures.get(match_id), shown or self._reader.shown(match_id)
        forecast = shown.forecast if shown else None
        freshness = self.freshness(shown) if shown else None
        in_view = self._reader.shown(match_id) is not None
        phase = self._reader.phase(match_id) if in_view or forecast is None else forecast.phase
        clock = self._reader.clock(match_id) or (forecast.as_of.clock if forecast else BEFORE_KICK_OFF)
        return MatchItem(
            match_id=match_id,
            home=forecast.home if forecast else fixture.home.name if fixture else "",
            away=forecast.away if forecast else fixture.away.name if fixture else "",
            competition=forecast.competition if forecast else fixture.competition if fixture else "",
            kick_off=fixture.kick_off if fixture else None,
            phase=phase,
            score=forecast.score if forecast else None,
            extra_time=forecast.extra_time if forecast else None,
            shoot_out=forecast.shoot_out if forecast else None,
            cards=forecast.cards if forecast else None,
            clock=ClockView(period=clock.period, ms=clock.ms, label=label(clock, phase)),
            status=forecast.status if forecast else None,
            reasons=forecast.reasons if forecast else (),
            freshness=freshness,
            headline=forecast.markets.one_x_two if forecast else None,
            price=shown_price(forecast, freshness) if forecast and freshness else None,
            model_version=forecast.model_version if forecast else None,
            seq=forecast.seq if forecast else None,
            prediction_id=forecast.prediction_id if forecast else None,
        )

    async def timeline(self, match_id: str, cursor: str | None, limit: int) -> TimelinePage:
        """Return forecasts from history, oldest first; raises Unknown, BadCursor, StoreUnavailable."""
        after = _timeline_place(cursor)
        rows = await asyncio.to_thread(self._history.predictions, match_id, after, limit)
        if not rows and self._fixtures.get(match_id) is None:
            await self.latest(match_id)
        items = await asyncio.to_thread(lambda: [timeline_item(read_forecast(row.forecast)) for row in rows])
        more = encode_place("t", str(rows[-1].seq)) if len(rows) == limit else None
        return TimelinePage(forecasts=items, next_cursor=more)

    async def inputs(self, match_id: str) -> InputsAnswer:
        """Return the inputs of the latest forecast with their age; raises Unknown."""
        shown = await self.latest(match_id)
        forecast, freshness = shown.forecast, self.freshness(shown)
        found, reason = await self._catalogued(match_id, forecast.seq)
        return InputsAnswer(
            match_id=match_id,
            prediction_id=forecast.prediction_id,
            seq=forecast.seq,
            as_of=forecast.as_of,
            model_version=forecast.model_version,
            feature_snapshot_id=forecast.feature_snapshot_id,
            freshness=freshness,
            inputs=input_values(forecast.inputs, forecast, freshness),
            match_inputs=None if found is None else match_inputs(found),
            match_inputs_reason=reason,
        )

    async def _catalogued(self, match_id: str, seq: int) -> tuple[Extracted | None, str | None]:
        """Return the catalogue's inputs as of a feed offset, or why they cannot be had."""
        fixture = self._fixtures.get(match_id)
        if fixture is None:
            return None, "the fixture is not known any more"
        try:
            found = await asyncio.to_thread(self._extract, fixture, seq)
        except StoreUnavailable as error:
            return None, f"the match's feed cannot be read now: {error}"
        return found, None if found else "the log does not hold the match's feed any more"

    def _last_in_history(self, match_id: str) -> Shown | None:
        """Return the last forecast of a chain: the one of its newest head, or what was written behind it."""
        heads = self._history.heads(match_id)
        after = heads[-1].seq - 1 if heads else -1
        last: PredictionRow | None = None
        while rows := self._history.predictions(match_id, after, 1_000):
            last, after = rows[-1], rows[-1].seq
        if last is None:
            return None
        forecast = read_forecast(last.forecast)
        entry = ViewEntry(
            match_id=match_id, epoch=forecast.epoch, seq=last.seq, partition=0, offset=0, value=last.forecast
        )
        return show(entry, forecast, 0.0)


def input_values(inputs: ForecastInputs, forecast: Forecast, freshness: Freshness) -> list[InputValue]:
    """Return each input with its age: of the state as the feed is silent, of prices against the forecast's event."""
    values = {"prior": None, **msgspec.to_builtins(inputs)}
    ages = {"feed": freshness.feed_silent_s, "odds": _price_age_s(forecast.price, forecast), "fixture": None}
    return [
        InputValue(
            name=feature.name,
            value=values[feature.name],
            unit=feature.unit,
            source=feature.source,
            age_s=None if values[feature.name] is None else ages.get(feature.source),
        )
        for feature in CATALOGUE
    ]


def _price_age_s(price: PriceView | None, forecast: Forecast) -> float | None:
    """Both stamps are the provider's: wall clocks of two hosts are never compared. In play, the anchor is older."""
    if price is None or price.in_play:
        return None
    return max(0.0, (forecast.as_of.occurred_at - price.occurred_at).total_seconds())


def timeline_item(forecast: Forecast) -> TimelineItem:
    """Return a forecast in short."""
    return TimelineItem(
        seq=forecast.seq,
        prediction_id=forecast.prediction_id,
        clock=forecast.as_of.clock,
        occurred_at=forecast.as_of.occurred_at,
        phase=forecast.phase,
        status=forecast.status,
        reasons=forecast.reasons,
        trigger=forecast.trigger,
        score=forecast.score,
        cards=forecast.cards,
        one_x_two=forecast.markets.one_x_two,
        price_fair=forecast.price.fair if forecast.price else None,
        model_version=forecast.model_version,
    )


def _place_of(item: MatchItem) -> tuple[str, str]:
    kick_off = (item.kick_off or _UNKNOWN_KICK_OFF).astimezone(UTC)
    return kick_off.isoformat(timespec="microseconds"), item.match_id


def _cursor_of(item: MatchItem) -> str:
    return encode_place("m", "|".join(_place_of(item)))


def _page_place(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    kick_off, _, match_id = decode_place("m", cursor).partition("|")
    return kick_off, match_id


def _timeline_place(cursor: str | None) -> int:
    if cursor is None:
        return -1
    place = decode_place("t", cursor)
    if not place.isdecimal() or len(place) > 18:
        raise BadCursor("it names no place of a timeline")
    return int(place)
