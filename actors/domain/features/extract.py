"""From a match's state to its inputs: a pure function, whatever was cached on the way, and the only one there is."""

import hashlib
import math
from dataclasses import dataclass

import msgspec
import numpy as np

from actors.domain.distribution import FloatArray
from actors.domain.events import Clock
from actors.domain.features.catalogue import CATALOGUE_ID, catalogue
from actors.domain.features.clock_state import shot_values, since_values, state_values
from actors.domain.features.columns import Columns
from actors.domain.features.moment import Moment, Weights, moment_of
from actors.domain.features.prematch import PreMatch, before_values
from actors.domain.features.prices import latest_books, price_values
from actors.domain.features.squads import incident_values, squad_values
from actors.domain.features.table import Table, table_of
from actors.domain.features.windows import pressure, rates, shares
from actors.domain.match import MatchState, forecast_inputs
from actors.domain.summary import summarise

KICK_OFF = Clock(1, 0)
_SOURCES = ("feed", "odds", "before")
_SOURCE = np.array([_SOURCES.index(feature.source) for feature in catalogue()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The inputs of one match at one clock; (k,) each, in the order of the catalogue."""

    values: FloatArray  # NaN is missing
    ages_s: FloatArray  # seconds of play since the newest word of the value's source; NaN: missing, or does not age


class Extractor:
    """Extracts one match's inputs again and again: what it keeps makes that quick, and changes no value."""

    def __init__(self) -> None:
        self._columns = Columns()
        self._table: Table | None = None
        self._weights = Weights()

    def extract(self, state: MatchState, prematch: PreMatch, at: Clock | None = None) -> Extracted:
        """Return the inputs as they were at a clock, or as they are now.

        Args:
            state: The match with its events as they stand, corrections and retractions included. Its in-play prices
                are the newest only: what is asked of an earlier clock gets the last before kick-off.
            prematch: What was known before kick-off.
            at: What happened by then is known, that very instant included. None: all that the state holds.
        """
        if self._columns.update(state.events) or self._table is None:
            self._table = table_of(self._columns)
            self._weights.update(self._table)
        moment = moment_of(state, prematch, self._table, self._weights, clock_of(state) if at is None else at)
        values = _values(moment)
        return Extracted(values=values, ages_s=_ages(moment, values))


def extract(state: MatchState, prematch: PreMatch, at: Clock | None = None) -> Extracted:
    """Return a match's inputs once; see `Extractor.extract`."""
    return Extractor().extract(state, prematch, at)


def clock_of(state: MatchState) -> Clock:
    """Return the clock by which all that a state holds has happened: that of play, or of an event ahead of it."""
    inputs = forecast_inputs(state)
    now = max(Clock(inputs.period, inputs.clock_ms), KICK_OFF)
    if now.period > 2:
        return now
    said = (*(event.clock for event in state.events.decisive), *(book.clock for book in state.books.values()))
    return max((now, min(state.heard, _END), *(min(clock, _END) for clock in said)))


_END = Clock(2, 90 * 60_000)


def snapshot(extracted: Extracted) -> tuple[str, bytes]:
    """Return the content address of a vector of inputs and its encoding: catalogue and values, null where missing."""
    values = [None if math.isnan(value) else value for value in extracted.values.tolist()]
    encoded = msgspec.json.encode({"catalogue": CATALOGUE_ID, "values": values})
    return hashlib.sha256(encoded).hexdigest()[:40], encoded


def _values(moment: Moment) -> FloatArray:
    summary = summarise(moment.decisive)
    plain = [
        *state_values(moment, summary),
        *since_values(moment),
        *shot_values(moment, summary),
        *incident_values(moment, summary),
        *squad_values(moment),
    ]
    known = [*before_values(moment.prematch), *price_values(moment)]
    return np.concatenate([plain, rates(moment), shares(moment), pressure(moment), known])


def _ages(moment: Moment, values: FloatArray) -> FloatArray:
    newest = int(moment.table.t_ms[moment.rows - 1]) if moment.rows else None
    feed_s = math.nan if newest is None else (moment.now_ms - newest) / 1_000
    quoted = [moment.table.now_ms(book.clock) for book in latest_books(moment).values()]
    odds_s = (moment.now_ms - max(quoted)) / 1_000 if quoted else math.nan
    ages = np.array([feed_s, odds_s, math.nan])[_SOURCE]
    return np.where(np.isnan(values), math.nan, ages)
