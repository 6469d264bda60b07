"""What cannot start says so in one sentence, quickly, with exit code 2, and leaves nothing behind."""

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bench.running import free_ports, on
from cluster.processes import only_one
from cluster.services.servers import Services

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "training" / "models" / "baseline-2017-12-01"
QUICKLY_S = 15.0  # of CPU time, which a busy machine does not stretch; one to four are usual


@dataclass
class Ended:
    """How a start ended."""

    code: int
    err: str
    out: str
    cpu_s: float
    left: list[str]  # processes of its session that still ran


class Launcher:
    """Starts `python -m cluster.launch` on ports and a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.fast, self.push, self.dashboard, self.metrics = free_ports(5)

    def __call__(self, *overrides: str) -> Ended:
        ours = [
            f"data.folder={self.folder}",
            "data.root=/nowhere",
            f"serve.port={self.port}",
            f"serve.fast_port={self.fast}",
            f"serve.push_port={self.push}",
            f"ray.dashboard_port={self.dashboard}",
            f"ray.metrics_port={self.metrics}",
        ]
        named = {override.partition("=")[0] for override in overrides}
        defaults = [option for option in ours if option.partition("=")[0] not in named]
        before_s = _cpu_of_children()
        process = subprocess.Popen(
            [sys.executable, "-m", "cluster.launch", *defaults, *overrides],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=120)
            left = [each.name() for each in _session(process.pid)]
            return Ended(process.returncode, err, out, _cpu_of_children() - before_s, left)
        finally:
            for each in _session(process.pid):
                each.kill()
            process.communicate()


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _session(leader: int) -> list[psutil.Process]:
    """Return what runs in the session of a process that was started with one of its own."""
    return [each for each in psutil.process_iter() if _session_of(each.pid) == leader]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def launch(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path / "data")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def refused(ended: Ended, sentence: str) -> None:
    """One sentence and nothing else on stderr, exit code 2, soon, and nothing left running."""
    assert (ended.code, ended.err) == (2, f"{sentence}\n")
    assert ended.left == []
    assert ended.cpu_s < QUICKLY_S
    assert "Ray" not in ended.out  # it was not even begun


@pytest.mark.parametrize(
    "key", ["serve.port", "serve.fast_port", "serve.push_port", "ray.dashboard_port", "ray.metrics_port"]
)
def test_a_port_in_use(launch: Launcher, taken: int, key: str) -> None:
    refused(
        launch(f"{key}={taken}"), f"{key}={taken} cannot be used on 127.0.0.1: Address already in use; choose another"
    )


def test_two_ports_that_are_one(launch: Launcher) -> None:
    refused(
        launch(f"ray.dashboard_port={launch.port}"),
        f"ray.dashboard_port must be another port than serve.port, was {launch.port}",
    )


def test_a_file_where_the_data_folder_should_be(launch: Launcher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = launch(f"data.folder={tmp_path}/file")
    assert ended.err.startswith(f"the run folder {tmp_path}/file")
    refused(ended, ended.err.splitlines()[0])
    assert ended.err.endswith("cannot be written: Not a directory\n")


def test_a_data_folder_on_a_file_system_that_takes_none(launch: Launcher) -> None:
    """/proc refuses even root, as a read-only file system does."""
    ended = launch("data.folder=/proc/touchline")
    refused(ended, ended.err.splitlines()[0])
    assert ended.err.startswith("the run folder /proc/touchline")
    assert "cannot be written" in ended.err


def test_a_store_folder_that_cannot_be_written(launch: Launcher) -> None:
    refused(
        launch("store.folder=/proc/touchline"),
        "the data folder /proc/touchline cannot be written: No such file or directory",
    )


def test_a_data_folder_that_another_touchline_uses(launch: Launcher) -> None:
    with only_one(launch.folder):
        refused(launch(), f"the data folder {launch.folder} is in use by another Touchline")


def test_a_mistyped_key(launch: Launcher) -> None:
    refused(launch("replay.sped=2"), "replay.sped: there is no such key; did you mean replay.speed?")


def test_a_value_that_is_none(launch: Launcher) -> None:
    refused(
        launch("supervisor.retire_unfinished_after_s=0"),
        "supervisor.retire_unfinished_after_s must be a finite number above 0, was 0.0",
    )


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (b"", "an empty file"),
        (b"<html>no</html>", "a file that begins with '<html>no</html>'"),
        (None, "nothing readable (no such file or directory)"),
    ],
)
def test_a_match_file_that_is_no_match(launch: Launcher, tmp_path: Path, content: bytes | None, came: str) -> None:
    path = tmp_path / "match.json"
    if content is not None:
        path.write_bytes(content)
    expected = "a match file of wyscout, statsbomb, betfair or a provider that kloppy reads"
    refused(launch(f"replay.matches=[{path}]"), f"match.json: expected {expected}, received {came}")


def test_a_match_that_is_named_twice(launch: Launcher) -> None:
    demo = ROOT / "cluster" / "demo" / "wyscout_2499841.json.xz"
    refused(
        launch(f"replay.matches=[{demo},{demo}]"),
        "replay.matches names wyscout:2499841 twice; each match is played once at a time",
    )


def test_a_match_of_a_data_root_that_is_not_there(launch: Launcher) -> None:
    ended = launch("replay.matches=['wyscout:2499719']")
    refused(ended, ended.err.splitlines()[0])
    assert "/nowhere" in ended.err


@pytest.mark.needs_data
def test_a_match_that_data_root_does_not_have(launch: Launcher, data_root: Path) -> None:
    ended = launch("replay.matches=['wyscout:1']", f"data.root={data_root}")
    refused(ended, ended.err.splitlines()[0])
    assert ended.err.startswith(f"{data_root}: expected one of the ")
    assert ended.err.endswith("matches of wyscout, received 'wyscout:1'\n")


def test_a_model_that_is_not_there(launch: Launcher, tmp_path: Path) -> None:
    refused(
        launch(f"model.folder={tmp_path}/none"),
        f"model.folder={tmp_path}/none holds no readable manifest.json: [Errno 2] No such file or directory: "
        f"'{tmp_path}/none/manifest.json'",
    )


def test_a_model_that_is_not_the_one_its_manifest_describes(launch: Launcher, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODEL, tmp_path / "model"))
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    refused(
        launch(f"model.folder={folder}"),
        f"model.folder={folder}: weights.safetensors is not the file that its manifest describes",
    )
    weights.unlink()
    refused(
        launch(f"model.folder={folder}"),
        f"model.folder={folder} holds no readable weights.safetensors: No such file or directory",
    )


@pytest.mark.parametrize("manifest", ["{", "[]", '{"model_version": 7}'])
def test_a_manifest_that_is_none(launch: Launcher, tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    ended = launch(f"model.folder={tmp_path}")
    refused(ended, ended.err.splitlines()[0])
    assert ended.err.startswith(f"model.folder={tmp_path} holds")


def test_a_log_with_another_number_of_partitions(launch: Launcher) -> None:
    topic = launch.folder / "log" / "feed.v1"
    topic.mkdir(parents=True)
    (topic / "partitions").write_text("7\n")
    refused(
        launch(),
        f"{launch.folder}/log holds feed.v1 with 7 partitions, not 48; set it back or use another folder",
    )


class TestServers:
    """On the cluster profile: what is not there, or is another server, is one sentence before Ray is begun."""

    @pytest.fixture
    def cluster(self, services: Services) -> list[str]:
        return on(services.config, "start")

    @pytest.mark.real_store
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ("feed.servers=['127.0.0.1:1']", "feed.servers=127.0.0.1:1: Kafka did not answer within 10 s"),
            ("store.port=1", "Cassandra at 127.0.0.1:1 could not be reached: tried to connect for"),
            ("view.port=1", "Redis at 127.0.0.1:1"),
        ],
    )
    def test_a_server_that_is_not_there(self, launch: Launcher, cluster: list[str], wrong: str, said: str) -> None:
        key = wrong.partition("=")[0]
        ended = launch(*(option for option in cluster if not option.startswith(f"{key}=")), wrong)
        refused(ended, ended.err.splitlines()[0])
        assert ended.err.startswith(said)

    @pytest.mark.real_store
    def test_topics_with_another_number_of_partitions(self, launch: Launcher, cluster: list[str]) -> None:
        launch(*cluster, "view.port=1")  # makes the topics, and then finds no Redis
        ended = launch(*cluster, "feed.partitions=49")
        refused(ended, ended.err.splitlines()[0])
        assert re.search(r"start\.(feed|forecasts)\.v1 with 48 partitions, not 49", ended.err)

    @pytest.mark.real_store
    def test_a_ray_that_is_not_there(self, launch: Launcher, cluster: list[str]) -> None:
        ended = launch(*cluster, "ray.address=127.0.0.1:1")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err == "ray.address=127.0.0.1:1: nobody listens there (Connection refused)\n"
