"""The whole system as a user starts it, on ports and a data folder of its own, to be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from cluster.services.servers import Services
from cluster.stores import Stores
from conf.run import load, setting
from conf.services import CassandraServiceConfig, KafkaServiceConfig, RedisServiceConfig, ServicesConfig

REPO = Path(__file__).resolve().parents[1]
_STARTS_WITHIN_S = 180.0


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class System:
    """`python -m cluster.launch` in a process of its own."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.folder = folder
        port, fast, push, dashboard, metrics = free_ports(5)
        self.base = f"http://127.0.0.1:{port}"
        self.fast = f"http://127.0.0.1:{fast}"
        self.push = f"http://127.0.0.1:{push}"
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.options = [
            setting("data.folder", folder),
            f"serve.port={port}",
            f"serve.push_port={push}",
            f"serve.fast_port={fast}",
            f"ray.dashboard_port={dashboard}",
            f"ray.metrics_port={metrics}",
            *options,
        ]
        # One for all: each request of `httpx.get` makes a client that reads all certificates there are, 20 ms.
        self._http = httpx.Client(base_url=self.base, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
        self._process: subprocess.Popen[str] | None = None
        self.output = folder.with_suffix(".out")
        self.config = load(self.options)

    @property
    def stores(self) -> Stores:
        """What it writes to, to be opened by others too."""
        return Stores(self.config)

    def start(self, *more: str) -> None:
        """Start it and wait until it is ready; fail with its output if it is not."""
        with self.output.open("a") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cluster.launch", *self.options, *more],
                cwd=REPO,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not ready:\n{self.output.read_text()[-4000:]}")
            time.sleep(0.2)

    @property
    def pid(self) -> int:
        """The process that started all the others."""
        assert self._process is not None
        return self._process.pid

    def is_ready(self) -> bool:
        """Say whether the API says so."""
        try:
            return self.get("/readyz", timeout_s=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def get(self, path: str, timeout_s: float = 10.0) -> httpx.Response:
        """Ask its API, on a connection of its own; raises `httpx.HTTPError` where no answer comes."""
        return self._http.get(path, timeout=timeout_s)

    def processes(self, title: str) -> list[psutil.Process]:
        """Return our processes whose title contains `title`, such as `ray::MatchActor`."""
        assert self._process is not None
        return titled(psutil.Process(self._process.pid).children(recursive=True), title)

    def kill_everything(self, *others: psutil.Process) -> None:
        """SIGKILL to every process at once, and to others that are ours too."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        kill_at_once([root, *root.children(recursive=True), *others])
        self._process.wait(timeout=10)

    def stop(self) -> float:
        """Ctrl-C; return how many seconds it took to end, after which nothing of it may be left."""
        if self._process is None or self._process.poll() is not None:
            return 0.0
        family = psutil.Process(self._process.pid).children(recursive=True)
        began = time.monotonic()
        os.kill(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(timeout=30)
        finally:
            for process in family:
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    process.kill()
        return time.monotonic() - began


def local_servers(folder: Path) -> ServicesConfig:
    """Return a set of servers on free ports of this machine, with its data in `folder`.

    Java's second compiler is off: it takes half of the CPU of a start and of the minutes behind it, which is as long
    as these servers run.
    """
    kafka, controller, cassandra, storage, redis = free_ports(5)
    return ServicesConfig(
        folder=str(folder),
        jars=str(REPO / ".jars"),
        java_options=["-XX:TieredStopAtLevel=1"],
        start_timeout_s=300.0,  # beside whole evenings on a slow machine
        kafka=KafkaServiceConfig(port=kafka, controller_port=controller),
        cassandra=CassandraServiceConfig(port=cassandra, storage_port=storage),
        redis=RedisServiceConfig(port=redis),
    )


@contextmanager
def servers_of_its_own() -> Iterator[Services]:
    """Run Kafka, Cassandra and Redis for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        services = Services(local_servers(Path(folder) / "services"), lambda _: None)
        try:
            services.up()
            yield services
        finally:
            services.down()


def on(services: ServicesConfig, name: str) -> list[str]:
    """Return the options of a system on these servers, apart from all others by its name."""
    return [
        "profile=cluster",
        f"feed.servers=['{services.host}:{services.kafka.port}']",
        f"feed.topic_prefix={name}.",
        f"store.hosts=['{services.host}']",
        f"store.port={services.cassandra.port}",
        f"store.keyspace={name}",
        f"view.port={services.redis.port}",
        f"view.prefix={name}",
    ]


def kill_at_once(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL to all, which are stopped before, or some would see others go."""
    family = list(processes)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in family:
            with suppress(psutil.NoSuchProcess):  # a worker that Ray let go meanwhile
                process.send_signal(number)


def titled(processes: Iterable[psutil.Process], title: str) -> list[psutil.Process]:
    """Return those whose command line contains `title`."""
    return [process for process in processes if title in _title(process)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def running(folder: Path, options: list[str]) -> Iterator[System]:
    """Yield a started system and stop it behind the test."""
    system = System(folder, options)
    try:
        system.start()
        yield system
    finally:
        system.stop()
