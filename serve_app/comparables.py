"""The past states most like a match's latest forecast, and what happened next."""

import asyncio
import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta

from actors.domain.comparables import comparables, present_of
from actors.domain.errors import SetupError
from actors.domain.forecast import Forecast
from actors.domain.past import PastStates
from serve_app.body import Shown
from serve_app.deps import ServedModels
from serve_app.freshness import Freshness
from serve_app.messages import ComparablesAnswer
from serve_app.problem import Problem

logger = logging.getLogger(__name__)

LoadPast = Callable[[date], PastStates]
_KEPT = 2  # cut-offs, so that a swap of models forth and back loads nothing anew; some 10 MB each


class PastMatches:
    """Past states by the day until which a model may know them, loaded when first asked for and by nobody twice."""

    def __init__(self, load: LoadPast) -> None:
        self._load = load
        self._loading: dict[date, asyncio.Task[PastStates]] = {}

    async def until(self, day: date) -> PastStates:
        """Return the states of all matches before a day; who asks while they are loaded waits without a thread.

        Raises:
            Problem: 404, this server has no past matches.
        """
        task = self._loading.pop(day, None)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(asyncio.to_thread(self._load, day))
        self._loading[day] = task
        while len(self._loading) > _KEPT:
            del self._loading[next(iter(self._loading))]
        try:
            return await asyncio.shield(task)
        except SetupError as error:
            logger.warning("No past matches", extra={"problem": str(error)})
            raise Problem(404, "no past matches here: data.root must hold understat/*.parquet") from error


async def compared(
    shown: Shown, kick_off: datetime | None, freshness: Freshness, models: ServedModels, past: PastMatches
) -> ComparablesAnswer:
    """Compare a forecast with what its model and the day of its match may know.

    Raises:
        Problem: 404, this server has no past matches, or does not say until when the model was trained.
    """
    forecast = shown.forecast
    trained_until = models.versions.get(forecast.model_version, {}).get("trained_until")
    if trained_until is None:
        raise Problem(404, f"no past matches: until when {forecast.model_version} was trained is not known here")
    states = await past.until(date.fromisoformat(trained_until))
    present = present_of(forecast.inputs, forecast.markets.expected_goals)
    found = await asyncio.to_thread(comparables, states, forecast.inputs, present, _day(forecast, kick_off))
    reason = found if isinstance(found, str) else None
    return ComparablesAnswer(
        match_id=forecast.match_id,
        prediction_id=forecast.prediction_id,
        seq=forecast.seq,
        as_of=forecast.as_of,
        model_version=forecast.model_version,
        freshness=freshness,
        comparables=None if isinstance(found, str) else found,
        comparables_reason=reason,
    )


def _day(forecast: Forecast, kick_off: datetime | None) -> date:
    """Return a day that is not after that of kick-off: past matches are of earlier ones."""
    return (kick_off or forecast.as_of.occurred_at - timedelta(days=1)).date()
