"""The forecaster as Serve reaches it, on whichever machine. Its import takes 60 MB and a second of CPU."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable, NoModel, Overloaded

FORECASTER_APP = "forecaster"


class ServedForecaster:
    """The app's calls of the forecaster: one try, since a client may ask again. They raise NoModel and Overloaded."""

    def __init__(self, timeout_s: float, replay_s: float, most_queued: int) -> None:
        self._timeout_s, self._replay_s, self._most_queued = timeout_s, replay_s, most_queued
        self._forecaster = _handle()

    async def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        return await self._answered(self._forecaster.predict.remote(inputs), self._timeout_s)

    async def predict_as(self, version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Ask a version that is held, which a replica may have to load first."""
        return await self._answered(self._forecaster.predict_as.remote(version, inputs), self._replay_s)

    async def _answered(self, answer: Awaitable[list[Prediction]], timeout_s: float) -> list[Prediction]:
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except BackPressureError as error:
            raise Overloaded("the forecaster's queue", self._most_queued) from error
        except (RayError, RayServeException, TimeoutError) as error:
            raise NoModel(f"the forecaster did not answer within {timeout_s:g} s") from error


def ask_for_match(inputs: list[ForecastInputs], within_s: float) -> list[Prediction]:
    """Return a prediction per input; blocks; raises ForecasterUnavailable."""
    try:
        answer: list[Prediction] = _handle().predict.remote(inputs).result(timeout_s=max(within_s, 0.0))
    except (RayError, RayServeException, TimeoutError) as error:
        raise ForecasterUnavailable(within_s, repr(error)) from error
    return answer


def _handle() -> Any:
    return serve.get_deployment_handle("Forecaster", app_name=FORECASTER_APP)
