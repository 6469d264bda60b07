"""Builds what the parts are given, in the process where they run. The one place that knows every implementation."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray.exceptions import RayError

from actors.domain.errors import ModelRejected
from actors.domain.health import HealthReport
from actors.domain.past import PastStates
from actors.machines.fixtures import SupervisorSettings
from actors.machines.replay import ReplayPlan
from actors.session import MatchPorts, MatchSettings
from actors.snapshots import PatientSnapshots
from cluster.held_models import load_kept
from cluster.live_models import LiveModels
from cluster.match_inputs import LoggedInputs
from cluster.patient_forecaster import PatientForecaster
from cluster.player import PlayerSettings
from cluster.serve_metrics import RayCounters
from cluster.stores import Stores
from conf.schema import Config
from serve_app.deps import AppDeps, ForecasterSettings, Limits, ListenerSettings, Predict, PredictAs, PushAddress

if TYPE_CHECKING:  # only forecasters load torch
    from training.network import TorchForecaster

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
            predict=PatientForecaster(self.sockets, self.config.match.predict_timeout_s),
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

    @property
    def sockets(self) -> Path:
        """Where forecaster replicas answer the matches of their machine: a short path, since a socket's is bounded."""
        return Path(tempfile.gettempdir()) / f"touchline-{os.getuid()}-{self.config.serve.port}"

    def app_deps(self, app: str, replica: str) -> AppDeps:
        """Make what one replica of a deployment of the app works with; it asks the forecaster by Ray."""
        from cluster.served import ServedForecaster

        serve = self.config.serve
        served = ServedForecaster(serve.predict_timeout_s, _REPLAY_WITHIN_S, serve.max_queued)
        return self.hosted_deps(app, replica, served.predict, served.predict_as)

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
            sockets=self.sockets,
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
