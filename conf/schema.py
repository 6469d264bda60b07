"""The typed configuration. What is not said here does not exist: an unknown key stops the start, by its full name.

Not frozen: Hydra could then lay neither YAML nor overrides over it. Defaults stand here once, the YAML beside it only
says what an option makes different. Paths are relative to the folder in which the program is started.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from conf.checks import MISSING, need, need_port, need_positive, need_rate, need_text, need_whole
from conf.retrain import RetrainConfig
from conf.services import ServicesConfig
from conf.stores import OPTIONS, FeedConfig, StoreConfig, ViewConfig

_PROXIES = ("EveryNode", "HeadOnly")


@dataclass
class DataConfig:
    """Where source data lies and where this machine keeps what it makes."""

    root: str = "../shared/data"  # recorded matches, results and odds (data.root); only read
    folder: str = "data"  # what a run makes: log, stores, run folders

    def __post_init__(self) -> None:
        need_text("data.root", self.root)
        need_text("data.folder", self.folder)


@dataclass
class MatchConfig:
    """How one live match is run."""

    snapshot_every_records: int = 200
    snapshot_every_s: float = 5.0
    read_batch: int = 256
    conflate_behind_records: int = 256  # a batch this full means the match is behind: ticks' forecasts are left out
    predict_timeout_s: float = 10.0
    priors: bool = True  # ratings and form, by the results of data.root and of the log, speak where there are no prices

    def __post_init__(self) -> None:
        need_whole("match.snapshot_every_records", self.snapshot_every_records)
        need_positive("match.snapshot_every_s", self.snapshot_every_s)
        need_whole("match.read_batch", self.read_batch, most=10_000)
        need_whole("match.conflate_behind_records", self.conflate_behind_records)
        need_positive("match.predict_timeout_s", self.predict_timeout_s)


@dataclass
class SupervisorConfig:
    """When matches are leased, judged stuck, and let go."""

    lease_before_s: float = 24 * 3600.0  # before kick-off
    retire_after_s: float = 60.0  # settled and without a new record for so long
    retire_unfinished_after_s: float = 6 * 3600.0  # not settled, as long past kick-off and without a new record
    stalled_after_s: float = 15.0  # records wait, none is read; or no answer
    start_timeout_s: float = 60.0
    standbys: int = 1  # processes that own a match at once while Ray starts its own again

    def __post_init__(self) -> None:
        need_whole("supervisor.standbys", self.standbys, least=0)
        names = "lease_before_s retire_after_s retire_unfinished_after_s stalled_after_s start_timeout_s"
        for name in names.split():
            need_positive(f"supervisor.{name}", getattr(self, name))


@dataclass
class ReplayConfig:
    """Which recorded matches are played as live feeds, how fast, and what real feeds do to them."""

    enabled: bool = True
    speed: float = 10.0  # 1 is real time, 0 as fast as it goes
    loop: bool = True  # begin anew when a match is over, as a new fixture
    matches: list[str] = field(default_factory=list)  # files or ids such as wyscout:2499841; none means the demo
    seed: int | None = None  # of the noise; without it there is none
    delay_ms: int = 0  # mean extra latency
    reorder: float = 0.0  # rates are probabilities per record unless said otherwise
    duplicate: float = 0.0
    gap: float = 0.0
    correction: float = 0.0  # per goal and card
    taken_back: float = 0.0  # per period: a goal that a review takes back
    simulated_odds: bool = False

    def __post_init__(self) -> None:
        need(0 <= self.speed < math.inf, "replay.speed", "a finite number of at least 0", self.speed)
        for index, match in enumerate(self.matches):
            need_text(f"replay.matches[{index}]", match)
        rates = ("reorder", "duplicate", "gap", "correction", "taken_back")
        for name in rates:
            need_rate(f"replay.{name}", getattr(self, name))
        need_whole("replay.delay_ms", self.delay_ms, least=0, most=60_000)
        is_noisy = self.simulated_odds or self.delay_ms > 0 or any(getattr(self, name) > 0 for name in rates)
        if self.seed is None:
            need(not is_noisy, "replay.seed", "a whole number where noise or simulated odds are on", None)
        else:
            need_whole("replay.seed", self.seed, least=0)


@dataclass
class ModelConfig:
    """One option of the `model` group: the version that the first start commits, and a later one where it changed."""

    folder: str = MISSING  # weights.safetensors and manifest.json

    def __post_init__(self) -> None:
        need_text("model.folder", self.folder)


@dataclass
class ServeConfig:
    """One option of the `serve` group: addresses, replicas, and the bound of every queue."""

    host: str = "127.0.0.1"
    port: int = 8000
    api_replicas: int = 1
    push_port: int = 8002  # streams past Serve's proxy: push replicas share it, the kernel chooses; 0: they have none
    push_replicas: int = 1  # fixed: a change of replicas would cut streams
    forecaster_min_replicas: int = 1
    forecaster_max_replicas: int = 2
    # Autoscaling. What is averaged over follows a rush within seconds and no single burst; growth waits little, since
    # requests queue meanwhile; shrinking waits for as long as lulls last, since a start costs seconds of CPU.
    target_ongoing: float = 16.0  # requests through Serve per forecaster replica: half of what a batch took
    target_busy: float = 0.6  # of a core per replica, whichever the door: the rest is for what a new one takes to come
    look_back_s: float = 5.0
    upscale_delay_s: float = 3.0
    downscale_delay_s: float = 60.0
    batch_rows: int = 32  # the one padded shape of inference: a value never depends on its batch
    batch_requests: int = 128  # rows computed in one go: the longest that a match's forecast waits for requests
    batch_wait_ms: float = 0.0  # none: what comes while one batch is computed makes the next one; 2 ms did not pay
    fast_port: int = 8001  # of the forecaster replicas' own listener, past Serve's proxy; 0: they have none
    fast_requests: int = 2_000  # of one connection, then it is ended, so that load moves to new replicas
    fast_connections: int = 8_000  # per replica, of the 20,000 files that it may open; beyond: 429
    fast_waiting: int = 512  # what-ifs per replica that wait for the model, 60 ms of work; beyond: 429
    max_ongoing: int = 256  # per replica
    max_queued: int = 1_024  # beyond it: 429
    max_streams: int = 10_000  # per push replica: 2 KB each, and a process may open 20,000 files on many machines
    predict_timeout_s: float = 2.0
    proxies: str = "EveryNode"  # or HeadOnly: on which nodes of Ray HTTP is taken
    tail_per_partition: int = 300  # published records held for resuming, 8 KB each; older ones are read from the log

    def __post_init__(self) -> None:
        need_text("serve.host", self.host)
        need_port("serve.port", self.port)
        counts = "api_replicas push_replicas batch_rows batch_requests max_ongoing max_queued max_streams"
        counts += " fast_requests fast_connections fast_waiting"
        for name in ("fast_port", "push_port"):
            if getattr(self, name) != 0:
                need_port(f"serve.{name}", getattr(self, name))
        for name in (*counts.split(), "forecaster_min_replicas", "tail_per_partition"):
            need_whole(f"serve.{name}", getattr(self, name))
        need_whole("serve.forecaster_max_replicas", self.forecaster_max_replicas, least=self.forecaster_min_replicas)
        need(self.proxies in _PROXIES, "serve.proxies", " or ".join(_PROXIES), self.proxies)
        for name in ("target_ongoing", "target_busy", "look_back_s", "upscale_delay_s", "downscale_delay_s"):
            need_positive(f"serve.{name}", getattr(self, name))
        need(0 <= self.batch_wait_ms <= 1_000, "serve.batch_wait_ms", "between 0 and 1000", self.batch_wait_ms)
        need_positive("serve.predict_timeout_s", self.predict_timeout_s)


@dataclass
class RayConfig:
    """Ray on this machine, or one that runs on several already: what follows the address is then its operator's.

    More logical CPUs than cores, given in small fractions: else batch work waits for ever.
    """

    address: str = "local"  # or host:port of a running head node; matches are spread over its nodes
    num_cpus: int = 16
    object_store_mb: int = 256
    dashboard_port: int = 8265
    metrics_port: int = 8090  # pinned, so that Prometheus finds it

    def __post_init__(self) -> None:
        need_text("ray.address", self.address)
        need_whole("ray.num_cpus", self.num_cpus)
        need_whole("ray.object_store_mb", self.object_store_mb, least=80)  # Ray refuses less than 75 MiB
        need_port("ray.dashboard_port", self.dashboard_port)
        need_port("ray.metrics_port", self.metrics_port)


@dataclass
class Config:
    """The root: everything that `python -m cluster.launch` takes."""

    profile: str = MISSING  # which of the options below belong together
    data: DataConfig = field(default_factory=DataConfig)
    feed: FeedConfig = MISSING
    store: StoreConfig = MISSING
    view: ViewConfig = MISSING
    services: ServicesConfig = field(default_factory=ServicesConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    model: ModelConfig = MISSING
    serve: ServeConfig = field(default_factory=ServeConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)

    def __post_init__(self) -> None:
        ports = {
            "serve.port": self.serve.port,
            "serve.fast_port": self.serve.fast_port,
            "serve.push_port": self.serve.push_port,
            "ray.dashboard_port": self.ray.dashboard_port,
            "ray.metrics_port": self.ray.metrics_port,
        }
        taken: dict[int, str] = {}
        for key, port in ports.items():
            if port == 0:  # there is no such listener
                continue
            need(port not in taken, key, f"another port than {taken.get(port)}", port)
            taken[port] = key


@cache
def register() -> None:
    """Make the schemas known to Hydra; doing it again changes nothing."""
    from hydra.core.config_store import ConfigStore  # 5 MB, in each of all processes that get a configuration

    store = ConfigStore.instance()
    store.store(name="base_config", node=Config)
    options: dict[str, dict[str, Any]] = {
        **OPTIONS,
        "model": {"base_model": ModelConfig},
        "serve": {"base_serve": ServeConfig},
        "retrain": {"base_retrain": RetrainConfig},
    }
    for group, nodes in options.items():
        for name, node in nodes.items():
            store.store(group=group, name=name, node=node)
