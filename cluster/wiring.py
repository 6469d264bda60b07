"""Builds what the parts are given, in the process where they run. The one place that knows every implementation."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable, ModelRejected, NoModel, Overloaded
from actors.domain.health import HealthReport
from actors.domain.past import PastStates
from actors.machines.fixtures import SupervisorSettings
from actors.machines.replay import ReplayPlan
from actors.session import MatchPorts, MatchSettings
from actors.snapshots import PatientSnapshots
from cluster.held_models import load_kept
from cluster.live_models import LiveModels
from cluster.match_inputs import LoggedInputs
from cluster.player import PlayerSettings
from cluster.serve_metrics import RayCounters
from cluster.stores import Stores
from conf.schema import Config
from serve_app.deps import AppDeps, ForecasterSettings, Limits, ListenerSettings, Predict, PredictAs, PushAddress

if TYPE_CHECKING:  # only forecasters load torch
    from training.network import TorchForecaster

FORECASTER_APP = "forecaster"
NAMESPACE = "touchline"
HEALTH_ACTOR = "model_health"
LISTENING = "push-sse"  # the deployment whose replicas listen for streams themselves, of both kinds
_HEALTH_WITHIN_S = 1.0
_OWNER_WITHIN_S = 60.0  # real matches are leased a day ahead; sixteen owners start in 20 s on two cores
_REPLAY_WITHIN_S = 20.0  # a version is loaded in a second, behind a candidate that is being prepared
_WEB = Path(__file__).resolve().parent.parent / "serve_app" / "web"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The configuration, and what it makes. Pickled into every process; opens nothing until asked."""

    config: Config

    @property
    def stores(self) -> Stores:
        """The log, the stores and the view."""
        return Stores(self.config)

    def match_ports(self) -> MatchPorts:
        """Open what a match actor works with."""
        stores = self.stores
        return MatchPorts(
            log=stores.log(),
            snapshots=PatientSnapshots(stores.snapshots),
            predict=self.blocking_predict(),
            archive=stores.history(at_once=False),
        )

    def match_settings(self) -> MatchSettings:
        """Return how matches are run."""
        match = self.config.match
        return MatchSettings(
            snapshot_every_records=match.snapshot_every_records,
            snapshot_every_s=match.snapshot_every_s,
            read_batch=match.read_batch,
            conflate_behind_records=match.conflate_behind_records,
        )

    def blocking_predict(self) -> Callable[[list[ForecastInputs]], list[Prediction]]:
        """Return a call of the forecaster that waits for it, and again if its replica ended, within a bound."""
        handle = self._forecaster()
        timeout_s = self.config.match.predict_timeout_s

        def predict(inputs: list[ForecastInputs]) -> list[Prediction]:
            deadline, wait_s = time.monotonic() + timeout_s, 0.05
            while True:
                try:
                    left_s = max(deadline - time.monotonic(), 0.0)
                    answer: list[Prediction] = handle.predict.remote(inputs).result(timeout_s=left_s)
                    return answer
                except (RayError, RayServeException, TimeoutError) as error:
                    if time.monotonic() + wait_s > deadline:
                        raise ForecasterUnavailable(timeout_s, repr(error)) from error
                    time.sleep(wait_s)
                    wait_s = min(2 * wait_s, 1.0)

        return predict

    def predict(self) -> Predict:
        """Return the app's call of the forecaster: one try, since a client may ask again."""
        handle = self._forecaster()

        async def predict(inputs: list[ForecastInputs]) -> list[Prediction]:
            return await self._answered(handle.predict.remote(inputs), self.config.serve.predict_timeout_s)

        return predict

    def predict_as(self) -> PredictAs:
        """Return the app's call of a version that is held, which a replica may have to load first."""
        handle = self._forecaster()

        async def predict_as(version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
            return await self._answered(handle.predict_as.remote(version, inputs), _REPLAY_WITHIN_S)

        return predict_as

    def _forecaster(self) -> DeploymentHandle[Any]:
        return serve.get_deployment_handle("Forecaster", app_name=FORECASTER_APP)

    async def _answered(self, answer: Awaitable[list[Prediction]], timeout_s: float) -> list[Prediction]:
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except BackPressureError as error:
            raise Overloaded("the forecaster's queue", self.config.serve.max_queued) from error
        except (RayError, RayServeException, TimeoutError) as error:
            raise NoModel(f"the forecaster did not answer within {timeout_s:g} s") from error

    def app_deps(self, app: str, replica: str) -> AppDeps:
        """Make what one replica of a deployment of the app works with; it asks the forecaster by Ray."""
        return self.hosted_deps(app, replica, self.predict(), self.predict_as())

    def hosted_deps(self, app: str, replica: str, predict: Predict, predict_as: PredictAs) -> AppDeps:
        """Make what an app works with in a process that predicts itself."""
        history = self.stores.history(at_once=False)  # live reads do without
        log = self.stores.log()
        models = LiveModels(log, history)
        models.start()
        return AppDeps(
            log=log,
            view=self.stores.view(),
            history=history,
            what_ifs=history,
            activity=history,
            predict=predict,
            predict_as=predict_as,
            models=models.current,
            health=self.health(),
            replica=f"{replica}-{datetime.now(UTC):%Y%m%d%H%M%S}",
            monotonic=time.monotonic,
            now=lambda: datetime.now(UTC),
            web=_WEB,
            limits=Limits(streams=self.config.serve.max_streams),
            counters=RayCounters(app),
            past_states=self.past_states,
            match_inputs=LoggedInputs(self.stores.log, self.stores.snapshots).at,
            push=self._push_address() if app == LISTENING and self.config.serve.push_port else None,
        )

    def _push_address(self) -> PushAddress:
        config = self.config.serve
        return PushAddress(host=config.host, port=config.push_port, api_port=config.port)

    def past_states(self, until: date) -> PastStates:
        """Load what the app compares matches with; only a replica that is asked pays for it. Raises SetupError."""
        from training.past_states import load_past

        return load_past(Path(self.config.data.root).resolve(), until)

    def health(self) -> Callable[[], Awaitable[HealthReport | None]]:
        """Return the app's question for the last look at live matches; who does not answer knows nothing."""

        async def health() -> HealthReport | None:
            try:
                task = await asyncio.to_thread(ray.get_actor, HEALTH_ACTOR, NAMESPACE)
                report: HealthReport | None = await asyncio.wait_for(task.current.remote(), _HEALTH_WITHIN_S)
            except (RayError, ValueError, TimeoutError):  # ValueError: there is none of that name
                return None
            return report

        return health

    def forecaster_settings(self) -> ForecasterSettings:
        """Return how forecaster replicas join requests, and where they listen."""
        config = self.config.serve
        listener = ListenerSettings(
            host=config.host,
            port=config.fast_port,
            requests=config.fast_requests,
            connections=config.fast_connections,
            waiting=config.fast_waiting,
            window_s=config.batch_wait_ms / 1000,
            tasks=config.max_ongoing,
        )
        return ForecasterSettings(
            batch_rows=config.batch_requests,
            listener=listener if config.fast_port else None,
        )

    def supervisor_settings(self) -> SupervisorSettings:
        """Return when matches are leased, judged stuck, and let go."""
        supervisor, feed = self.config.supervisor, self.config.feed
        return SupervisorSettings(
            partitions=feed.partitions,
            shared_partitions=feed.shared_partitions,
            lease_before=timedelta(seconds=supervisor.lease_before_s),
            retire_after_s=supervisor.retire_after_s,
            retire_unfinished_after_s=supervisor.retire_unfinished_after_s,
            stalled_after_s=supervisor.stalled_after_s,
            start_timeout_s=supervisor.start_timeout_s,
        )

    def player_settings(self) -> PlayerSettings:
        """Return how recorded matches are played."""
        replay = self.config.replay
        plan = ReplayPlan(
            seed=replay.seed or 0,
            delay_ms=replay.delay_ms,
            reorder=replay.reorder,
            duplicate=replay.duplicate,
            gap=replay.gap,
            correction=replay.correction,
            taken_back=replay.taken_back,
            simulated_odds=replay.simulated_odds,
        )
        return PlayerSettings(speed=replay.speed, loop=replay.loop, plan=plan, owner_within_s=_OWNER_WITHIN_S)

    def load_model(self, version: str) -> "TorchForecaster":
        """Load a version that history keeps, on whichever node; it has checked its golden vectors then.

        Raises:
            ModelRejected, StoreError: It is not kept, is damaged, or comes out otherwise here.
        """
        history = self.stores.history()
        try:
            row = history.model(version)
        finally:
            history.close()
        if row is None:
            raise ModelRejected(version, "history does not keep it")
        return load_kept(row, self.config.serve.batch_rows)
