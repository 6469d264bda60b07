"""What moved the latest forecast of a match, since the one before it and since kick-off."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.explain import Explanation, Said, explain, path
from actors.domain.forecast import Forecast
from actors.domain.markets import ThreeWay, derive_all
from actors.domain.ports import History
from serve_app.body import Shown
from serve_app.freshness import Freshness
from serve_app.messages import ExplanationAnswer

PAGE_ROWS = 1_000
Predict = Callable[[list[ForecastInputs]], Awaitable[list[Prediction]]]


class _Result(Struct, frozen=True):
    one_x_two: ThreeWay


class _Row(Struct, frozen=True):
    """The part of a logged forecast that is explained: a tenth of the time that all of it takes to decode."""

    prediction_id: str
    seq: int
    model_version: str
    inputs: ForecastInputs
    markets: _Result


_rows = msgspec.json.Decoder(_Row)


async def explained(shown: Shown, freshness: Freshness, history: History, predict: Predict) -> ExplanationAnswer:
    """Explain a forecast by those that history has before it.

    Raises:
        StoreUnavailable, NoModel, Overloaded: As history and forecaster say.
    """
    forecast = shown.forecast
    told = await asyncio.to_thread(_before, history, forecast)
    start = _kick_off(told)
    return ExplanationAnswer(
        match_id=forecast.match_id,
        prediction_id=forecast.prediction_id,
        seq=forecast.seq,
        as_of=forecast.as_of,
        model_version=forecast.model_version,
        freshness=freshness,
        since_last=await _between(told[-2:], predict),
        since_kick_off=None if start is None else await _between(told[start:], predict),
    )


def _before(history: History, forecast: Forecast) -> list[Said]:
    """Return the forecasts of the match by seq, this one last: history is written a moment after it is shown."""
    told, after = list[Said](), -1
    while rows := history.predictions(forecast.match_id, after, PAGE_ROWS):
        told += [_said(_rows.decode(row.forecast)) for row in rows if row.seq < forecast.seq]
        after = rows[-1].seq
    return [*told, _said(forecast)]


def _said(forecast: Forecast | _Row) -> Said:
    return Said(
        prediction_id=forecast.prediction_id,
        seq=forecast.seq,
        model_version=forecast.model_version,
        inputs=forecast.inputs,
        one_x_two=forecast.markets.one_x_two,
    )


def _kick_off(told: Sequence[Said]) -> int | None:
    """Return the place of the last forecast before kick-off, or of the first there is; None while none is behind it."""
    if told[-1].inputs.period == 0:
        return None
    return max((place for place, said in enumerate(told) if said.inputs.period == 0), default=0)


async def _between(told: Sequence[Said], predict: Predict) -> Explanation | None:
    if len(told) < 2:
        return None
    steps = await asyncio.to_thread(path, [said.inputs for said in told])
    predictions = await predict([told[0].inputs, *(step.inputs for step in steps)])
    chances = await asyncio.to_thread(_chances, predictions)
    return explain(told[0], told[-1], steps, chances, predictions[0].model_version)


def _chances(predictions: Sequence[Prediction]) -> list[ThreeWay]:
    return [markets.one_x_two for markets in derive_all([prediction.distribution for prediction in predictions])]
