"""Starts Touchline: `python -m cluster.launch` (options as in conf/, such as `replay.speed=1`). `make run` calls it."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.domain.errors import ForecastingError, SetupError
from cluster.checks import need_matches, need_model
from cluster.command import split
from cluster.processes import end_children, need_listener, need_port, only_one, reap, remember_children
from cluster.retraining import Retraining
from conf.ray import OF_EVERY_RAY, tell_ray
from conf.run import run
from conf.schema import Config

logger = logging.getLogger("touchline.launch")
console = Console(highlight=False, soft_wrap=True)

LOCAL = "local"  # ray.address: a Ray of our own on this machine
_LOOK_EVERY_S = 5.0
_APPS = {"api": "/", "push-sse": "/v1/stream", "push-ws": "/v1/ws"}  # of Serve, and the paths that each takes
_ASK_EVERY_S = 0.5  # whether they run
_SERVES_WITHIN_S = 300.0
_PRUNE_EVERY_S = 600.0
_HEADROOM = 100  # requests above the most streams, so that the app itself can answer 429
_LOAD_EVERY_S = 1.0  # handles report their load to autoscaling; Ray's ten seconds would come before every delay
_STOP_WITHIN_S = 9.0  # then what is left is ended: Ctrl-C promises 15 s
SETTINGS_OF_RAY = {
    **OF_EVERY_RAY,
    "RAY_worker_niceness": "0",  # else workers run at nice 15 and any other program on the machine delays forecasts
    "RAY_SERVE_EVENT_LOOP_MONITORING_INTERVAL_S": "3600",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # A node that hangs is given up after six seconds, not after half a minute; one that ends is noticed at once.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_timeout_ms_task_wait_for_death_info": "50",  # else a standby hears of a death a second later,
    "RAY_core_worker_internal_heartbeat_ms": "200",  # and up to another second: who waits is looked at so often
    "OMP_NUM_THREADS": "1",  # a product of small matrices takes five times as long where threads share it
    "RAY_prestart_worker_first_driver": "0",  # nothing here runs as a task, and each idle worker is two seconds of CPU
    "RAY_enable_worker_prestart": "0",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
}


def main(config: Config) -> None:
    """Run until told to stop.

    Raises:
        SetupError: It cannot start as configured.
    """
    folder, stop = Path(config.store.folder).resolve(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with only_one(folder):
        if left := reap(folder):
            console.print(f"Ended {left} processes that an earlier start left behind")
        need_port(config.serve.host, config.serve.port, "serve.port")
        for name in ("fast_port", "push_port"):
            if port := getattr(config.serve, name):
                need_port(config.serve.host, port, f"serve.{name}")
        if config.ray.address == LOCAL:
            need_port(config.serve.host, config.ray.dashboard_port, "ray.dashboard_port")
            need_port(config.serve.host, config.ray.metrics_port, "ray.metrics_port")
        elif config.profile == "embedded":
            raise SetupError(f"ray.address={config.ray.address}: nodes cannot share files; set profile=cluster")
        need_model(Path(config.model.folder).resolve())
        if config.replay.enabled:
            need_matches(config.replay.matches, Path(config.data.root).resolve())
        try:
            _serve_until(stop, config, folder)
        finally:
            end_children()
    console.print("Stopped.")


def _serve_until(stop: threading.Event, config: Config, folder: Path) -> None:
    system = System(config, stop)
    try:
        for step, start in system.steps():
            if stop.is_set():
                break
            began = time.monotonic()
            console.print(f"  {step} ...", end="")
            start()
            remember_children(folder)
            console.print(f" {time.monotonic() - began:.1f} s")
        else:
            _say_where(config)
        while not stop.wait(_LOOK_EVERY_S):
            remember_children(folder)
            system.keep_house()
    finally:
        console.print("Stopping ...")
        _within(_STOP_WITHIN_S, system.stop)


def _say_where(config: Config) -> None:
    base = f"http://{config.serve.host}:{config.serve.port}"
    console.print("\n[bold]Touchline is ready.[/bold]")
    console.print(f"  Page            {base}/")
    console.print(f"  API description {base}/docs")
    if config.serve.fast_port:
        console.print(f"  Fast port       http://{config.serve.host}:{config.serve.fast_port} (the same API)")
    if config.serve.push_port:
        console.print(
            f"  Streams         http://{config.serve.host}:{config.serve.push_port}/v1/stream (the same as the API's)"
        )
    if config.ray.address == LOCAL:
        dashboard = f"http://{config.serve.host}:{config.ray.dashboard_port}"
        console.print(f"  Ray dashboard   {dashboard} (its token: ~/.ray/auth_token)")
        console.print(f"  Metrics         http://{config.serve.host}:{config.ray.metrics_port}/metrics")
    console.print(f"  Data folder     {config.store.folder}")
    if config.replay.enabled:
        speed = f"{config.replay.speed:g} times real speed" if config.replay.speed else "full speed"
        console.print(f"  Matches play at {speed} (replay.speed=1 for real time)")
    console.print("Ctrl-C stops it; starting again goes on from the log.")


def _within(limit_s: float, act: Callable[[], None]) -> None:
    """Do something, for at most so long: what it was doing is then ended from outside."""
    worker = threading.Thread(target=act, name="stopping", daemon=True)
    worker.start()
    worker.join(limit_s)
    if worker.is_alive():
        logger.warning("Not stopped in time, ending what is left", extra={"limit_s": limit_s})


class System:
    """Everything that runs, in the order in which it starts; it stops the other way round."""

    def __init__(self, config: Config, stop: threading.Event) -> None:
        self._config, self._stop = config, stop
        self._actors: dict[str, Any] = {}
        self._pruned_at = time.monotonic()
        self._retraining = Retraining(config, split(sys.argv[1:])[1])

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """Return (what it is, how to start it)."""
        steps: list[tuple[str, Callable[[], None]]] = [
            ("Log and stores", self._open_stores),
            ("Ray and its dashboard", self._start_ray),
            ("Ray Serve", self._start_serve),
            ("Forecaster (PyTorch)", self._wait_for_forecaster),
            ("History writer and fixture supervisor", self._start_actors),
            ("HTTP and push", partial(self._wait_for, *_APPS)),
        ]
        return [*steps, ("Matches", self._start_player)] if self._config.replay.enabled else steps

    def stop(self) -> None:
        """Stop feeds first, then matches, then all that is left; Serve is not asked to drain, since all of it goes."""
        import ray

        if not ray.is_initialized():
            return
        for name in ("player", "supervisor"):
            self._call(name, "stop")
        stopping = [match.stop.remote() for match in self._matches()]
        _, hanging = ray.wait(stopping, num_returns=len(stopping), timeout=3.0) if stopping else ([], [])
        if hanging:
            logger.warning("Matches did not stop in time", extra={"matches": len(hanging)})
        for name in ("history", "health", "priors"):
            self._call(name, "stop")
        if self._config.ray.address != LOCAL:  # the nodes stay, so what is ours on them must go
            self._leave_nodes()
        ray.shutdown()

    def _leave_nodes(self) -> None:
        import ray
        from ray import serve

        for match in self._matches():
            ray.kill(match)
        serve.shutdown()

    def keep_house(self) -> None:
        """Retrain when due; remove what the log has kept for long enough: history keeps its own rows for ever."""
        self._retraining.tend()
        if time.monotonic() - self._pruned_at < _PRUNE_EVERY_S:
            return
        self._pruned_at = time.monotonic()
        try:
            self._wiring.stores.prune_log()
        except ForecastingError as error:  # a log that is busy or full is no reason to stop
            logger.warning("Log not pruned", extra={"problem": str(error)})

    def _matches(self) -> list[Any]:
        import ray

        named = ray.util.list_named_actors(all_namespaces=True)
        return [ray.get_actor(**actor) for actor in named if actor["name"].startswith("match:")]

    def _call(self, name: str, method: str) -> None:
        import ray

        actor = self._actors.get(name)
        if actor is None:
            return
        try:
            ray.get(getattr(actor, method).remote(), timeout=3.0)
        except ray.exceptions.RayError as error:
            logger.warning("Not stopped cleanly", extra={"actor": name, "problem": repr(error)})

    def _start_ray(self) -> None:
        import ray

        config = self._config.ray
        ours: dict[str, Any] = {
            "namespace": "touchline",
            "logging_level": logging.WARNING,
            "log_to_driver": False,
            "logging_config": ray.LoggingConfig(encoding="JSON", log_level="INFO"),
            "runtime_env": {"env_vars": {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}},
        }
        if config.address != LOCAL:
            need_listener(config.address, "ray.address")  # Ray itself would wait for minutes
            ray.init(address=config.address, **ours)
            return
        self._start_local_node(ours)

    def _start_local_node(self, ours: dict[str, Any]) -> None:
        """Start Ray here, once more where its node did not come up within the 30 s that it has; raises SetupError."""
        for is_last in (False, True):
            try:
                self._init_local(ours)
                break
            except Exception as error:
                if "timed out during startup" not in str(error):
                    raise
                end_children()  # what did start holds the ports
                if is_last:
                    raise SetupError("Ray's node did not start within 30 s, twice: its machine is too busy") from error
                logger.warning("Ray's node did not start in time, starting it again")

    def _init_local(self, ours: dict[str, Any]) -> None:
        import ray

        config = self._config.ray
        ray.init(
            address=LOCAL,
            num_cpus=config.num_cpus,
            object_store_memory=config.object_store_mb * 1024 * 1024,
            include_dashboard=True,
            dashboard_host=self._config.serve.host,
            dashboard_port=config.dashboard_port,
            _metrics_export_port=config.metrics_port,
            _node_ip_address=self._config.serve.host,
            **ours,
        )

    def _open_stores(self) -> None:
        tell_ray(SETTINGS_OF_RAY)
        from cluster.wiring import Wiring

        self._wiring = Wiring(self._config)
        self._wiring.stores.prepare()
        self._model_version = self._wiring.stores.keep_model(Path(self._config.model.folder).resolve())

    def _start_serve(self) -> None:
        """Have Serve start all its processes at once."""
        import ray
        from ray import serve

        from actors.models import ModelRegistry

        logging.getLogger("ray.serve").setLevel(logging.WARNING)  # what it says at INFO is for its own developers
        config = self._config.serve
        plain = {"num_cpus": 0.01, "max_restarts": -1, "max_concurrency": 4}
        registry = ray.remote(ModelRegistry).options(name="model_registry", **plain)
        self._actors["registry"] = registry.remote(self._wiring.stores.log, self._model_version)
        http = {"host": config.host, "port": config.port, "request_timeout_s": None}
        serve.start(proxy_location=config.proxies, http_options=http)
        serve.run_many([self._forecaster(), *self._apps()], wait_for_applications_running=False)

    def _forecaster(self) -> Any:
        from ray import serve

        from cluster.served import FORECASTER_APP
        from serve_app.forecaster import Forecaster

        config = self._config.serve
        forecaster = serve.deployment(Forecaster).options(
            name="Forecaster",
            ray_actor_options={"num_cpus": 0.5},
            max_ongoing_requests=config.max_ongoing,
            max_queued_requests=config.max_queued,
            health_check_period_s=1,
            autoscaling_config={
                "min_replicas": config.forecaster_min_replicas,
                "max_replicas": config.forecaster_max_replicas,
                "policy": {
                    "policy_function": "serve_app.scaling:ByLoad",
                    "policy_kwargs": {"target_busy": config.target_busy},
                },
                "target_ongoing_requests": config.target_ongoing,
                "metrics_interval_s": _LOAD_EVERY_S,
                "look_back_period_s": config.look_back_s,
                "upscale_delay_s": config.upscale_delay_s,
                "downscale_delay_s": config.downscale_delay_s,
            },
        )
        wiring = self._wiring
        bound = forecaster.bind(
            self._actors["registry"], wiring.load_model, wiring.hosted_deps, wiring.forecaster_settings()
        )
        return serve.RunTarget(bound, name=FORECASTER_APP, route_prefix=None)

    def _apps(self) -> list[Any]:
        from ray import serve

        from serve_app.deployments import Api

        config, targets = self._config.serve, []
        for name, prefix in _APPS.items():
            is_api = name == "api"
            app = serve.deployment(serve.ingress()(Api)).options(
                name=name,
                num_replicas=config.api_replicas if is_api else config.push_replicas,
                ray_actor_options={"num_cpus": 0.1},
                max_ongoing_requests=config.max_ongoing if is_api else config.max_streams + _HEADROOM,
                health_check_period_s=1,
            )
            targets.append(serve.RunTarget(app.bind(self._wiring.app_deps), name=name, route_prefix=prefix))
        return targets

    def _wait_for_forecaster(self) -> None:
        from cluster.served import FORECASTER_APP

        self._wait_for(FORECASTER_APP)

    def _wait_for(self, *names: str) -> None:
        """Wait until these applications run, or we are told to stop; raises SetupError where one takes too long."""
        from ray import serve

        waiting, deadline = list(names), time.monotonic() + _SERVES_WITHIN_S
        while waiting and not self._stop.wait(_ASK_EVERY_S):
            apps = serve.status().applications
            for name in waiting:
                if name in apps and apps[name].status == "DEPLOY_FAILED":
                    raise RuntimeError(f"{name} did not start: {apps[name].message}")
            waiting = [name for name in waiting if name not in apps or apps[name].status != "RUNNING"]
            if waiting and time.monotonic() > deadline:
                raise SetupError(f"{', '.join(waiting)} did not start within {_SERVES_WITHIN_S:g} s")

    def _start_actors(self) -> None:
        import ray

        from actors.history_writer import HistoryWriter
        from actors.supervisor import FixtureSupervisor
        from cluster.health_metrics import HealthMetrics
        from cluster.health_task import HealthTask
        from cluster.prior_task import PriorTask
        from cluster.runner import RayMatchRunner
        from cluster.wiring import HEALTH_ACTOR

        wiring = self._wiring
        plain = {"num_cpus": 0.01, "max_restarts": -1, "max_concurrency": 4}
        history = ray.remote(HistoryWriter).options(name="history_writer", **plain)
        self._actors["history"] = history.remote(wiring.stores.log, wiring.stores.history)
        health = ray.remote(HealthTask).options(name=HEALTH_ACTOR, **plain)
        self._actors["health"] = health.remote(wiring.stores.log, wiring.stores.history, HealthMetrics)
        if self._config.match.priors:
            stores, root = wiring.stores, Path(self._config.data.root).resolve()
            priors = ray.remote(PriorTask).options(name="priors", **plain)
            self._actors["priors"] = priors.remote(stores.log, stores.history, stores.snapshots, root)
        supervisor = ray.remote(FixtureSupervisor).options(name="fixture_supervisor", **plain)
        runner = partial(RayMatchRunner, wiring)
        self._actors["supervisor"] = supervisor.remote(wiring.stores.log, runner, wiring.supervisor_settings())

    def _start_player(self) -> None:
        import ray

        from cluster.feeds import read_feeds
        from cluster.player import FeedPlayer

        replay = self._config.replay
        feeds = partial(read_feeds, list(replay.matches), Path(self._config.data.root).resolve())
        player = ray.remote(FeedPlayer).options(name="feed_player", num_cpus=0.01, max_restarts=-1, max_concurrency=4)
        self._actors["player"] = player.remote(self._wiring.stores.log, feeds, self._wiring.player_settings())


if __name__ == "__main__":
    sys.exit(run(main, expected=(ForecastingError,)))
