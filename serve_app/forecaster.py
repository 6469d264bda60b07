"""The forecaster deployment: PyTorch inference, batched inside the replica, on the committed model only.

Matches ask it over a Unix socket (`serve_app.match_door`), everybody else through its own listener
(`serve_app.listener`): neither by a Ray call. Serve's is left for matches on a machine that has no replica.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve
from ray.exceptions import RayError

from actors.domain.distribution import ForecastInputs, Prediction, Predictions
from actors.domain.models import Orders
from serve_app.batcher import Batcher
from serve_app.deps import AppDeps, ForecasterSettings, ListenerSettings, Predict, PredictAs
from serve_app.hosted import Hosted
from serve_app.match_door import MatchDoor
from serve_app.replica_models import ReplicaModels, ServedModel
from serve_app.scaling import BUSY, BusyShare

logger = logging.getLogger("touchline.models")

MakeDeps = Callable[[str, str, Predict, PredictAs], AppDeps]  # for an app of a name, in a replica of a name

_EVERY_S = 0.5
_EVERY_S_PREPARING = 0.05  # so that all change within this of each other
_ANSWER_WITHIN_S = 2.0
_ANSWER_AT_START_S = 30.0  # the registry may be starting too


class Forecaster:
    """One replica. Loads the committed model, checks its golden vectors, reports; then answers, and swaps when told.

    It goes on with the model it has while no registry answers.
    """

    async def __init__(  # type: ignore[misc]  # Serve awaits constructors
        self,
        registry: Any,
        load: Callable[[str], ServedModel],
        make_deps: MakeDeps,
        settings: ForecasterSettings,
    ) -> None:
        import torch  # 2.6 s, which the process that deploys this does without

        torch.set_num_threads(1)
        self._registry, self._replica = registry, serve.get_replica_context().replica_tag
        self._models = ReplicaModels(self._replica, load)
        self._batcher = Batcher(self._predict_rows, settings.batch_rows)
        self._hosted: Hosted | None = None
        self._door = MatchDoor(self._batcher, settings.sockets, self._replica)
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._work: asyncio.Future[None] | None = None
        while not self._models.is_up_to_date:  # a version may be committed while another is being loaded
            await self._report(_ANSWER_AT_START_S)
            await (self._work or asyncio.sleep(_EVERY_S_PREPARING))
        self._following = asyncio.create_task(self._follow())
        await self._door.open()
        self._busy = BusyShare()
        if settings.listener is not None:
            await self._host(make_deps, settings, settings.listener)

    async def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Return one prediction per input, all by one model, the same whatever else is in the batch."""
        return await self._batcher.predict(inputs, is_match=True)

    async def predict_as(self, version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Return what a version that history keeps predicts, for replays; raises ForecastingError."""

        def replayed() -> list[Prediction]:
            return self._models.get(version).predict(inputs)

        return await asyncio.get_running_loop().run_in_executor(self._aside, replayed)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve asks every second, on the loop whose load this is."""
        return {BUSY: self._busy.take()}

    def check_health(self) -> None:
        """Serve asks every second, and replaces a replica that cannot go on."""
        if self._hosted is not None and (problem := self._hosted.problem()):
            raise RuntimeError(problem)

    def _predict_rows(self, rows: list[ForecastInputs]) -> Predictions:
        return self._models.serving.predict_rows(rows)

    async def _host(self, make_deps: MakeDeps, settings: ForecasterSettings, listener: ListenerSettings) -> None:
        deps = make_deps("forecaster", self._replica, self._batcher.predict, self.predict_as)
        self._hosted = Hosted(deps, self._batcher, listener, settings.batch_rows)
        await self._hosted.start()

    async def _follow(self) -> None:
        while True:
            try:
                orders = await self._report(_ANSWER_WITHIN_S)
                await asyncio.sleep(_EVERY_S_PREPARING if orders.candidate else _EVERY_S)
            except (RayError, TimeoutError) as error:  # a registry that is being started again
                logger.info("Registry does not answer", extra={"problem": repr(error)})
                await asyncio.sleep(_EVERY_S)
            except Exception:  # whatever it was, this replica must hear of the next commit
                logger.exception("Orders not followed")
                await asyncio.sleep(_EVERY_S)

    async def _report(self, within_s: float) -> Orders:
        """Report, and take orders; what takes long is done aside while reports go on."""
        answer = self._registry.report.remote(self._models.report())
        orders: Orders = await asyncio.wait_for(answer, within_s)
        work = self._models.heard(orders)
        if work is not None and (self._work is None or self._work.done()):
            self._work = asyncio.get_running_loop().run_in_executor(self._aside, work)
        return orders

    async def __del__(self) -> None:  # Serve awaits destructors
        """Close the listener, and tell the registry, so that no swap waits for a replica that is gone."""
        self._door.close()
        if self._hosted is not None:
            await self._hosted.close()
        self._batcher.close()
        self._registry.leave.remote(self._replica)
