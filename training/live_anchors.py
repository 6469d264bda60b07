"""Live matches with the forecast before kick-off in the place of their prices: for what is not to know the market."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from actors.domain.errors import SetupError
from training.live_data import IntArray, LiveMatches
from training.prematch.inputs import prematch_inputs
from training.prematch.model import Known, forecast
from training.prematch.store import read_prematch
from training.prematch.table import ResultTable, load_table


def without_prices(matches: LiveMatches) -> LiveMatches:
    """Return the matches as if nobody had priced them."""
    return replace(
        matches, prices=np.full_like(matches.prices, np.nan), over_under=np.full_like(matches.over_under, np.nan)
    )


def with_forecasts(matches: LiveMatches, prematch: Path, root: Path, until: date, known: Known) -> LiveMatches:
    """Return the matches with fair prices of the forecast before kick-off; none where results lack the match.

    Args:
        prematch: Folder of the model before kick-off.
        until: Results from this day on are not read; those before it move the ratings on, match by match.
        known: What the forecast may know.
    Raises:
        SetupError: The results cannot be read, or the model was trained on what it would forecast.
        ModelRejected: The model's folder is not what it should be.
    """
    manifest, model, _ = read_prematch(prematch)
    if len(matches) and np.datetime64(manifest.trained_until) > matches.day.min():
        raise SetupError(f"{prematch}: trained until {manifest.trained_until}, the first match is before it")
    table = load_table(root)
    table = table.rows(table.day < (until - date(1970, 1, 1)).days)
    places = result_rows(matches, table)
    found = np.flatnonzero(places >= 0)
    rows = places[found]
    inputs = prematch_inputs(table).rows(rows)
    inputs = replace(inputs, play=inputs.play.without("referee_home"))  # a fixture as it is served names none
    answer = forecast(model, table.rows(rows), inputs, known)
    priceless = without_prices(matches)
    prices, over_under = priceless.prices, priceless.over_under
    prices[found] = 1 / answer.outcome
    over_under[found] = 1 / np.stack([answer.over, 1 - answer.over], axis=1)
    return replace(matches, prices=prices, over_under=over_under)


def result_rows(matches: LiveMatches, table: ResultTable) -> IntArray:
    """Return (n,) the row of each match in the results, -1 where there is none of these teams within a few days."""
    keys = zip(matches.league, matches.home, matches.away, strict=True)
    return table.nearest(keys, matches.day.astype(np.int64).tolist())
