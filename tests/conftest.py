"""Fixtures shared by all tests."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from actors.domain.errors import SetupError
from bench.running import local_servers
from cluster.services.servers import Services
from tests.servers import announced

# CI draws the same examples each time, so that a change is judged by what it changed; elsewhere new ones are drawn.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")


NOT_TESTED = "the real Kafka, Cassandra and Redis were not tested"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder laid out like the shared data: TOUCHLINE_DATA, else data/ or ../shared/data beside the repo."""
    here = Path(__file__).resolve().parents[1]
    candidates = [Path(os.environ["TOUCHLINE_DATA"])] if "TOUCHLINE_DATA" in os.environ else []
    for candidate in (*candidates, here / "data", here.parent / "shared" / "data"):
        if (candidate / "results" / "matches.parquet").is_file():
            return candidate
    pytest.skip("no data.root: put the data under data/ or set TOUCHLINE_DATA")


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Real Kafka, Cassandra and Redis, running; a test that ends one starts it again."""
    config = local_servers(tmp_path_factory.mktemp("services"))
    servers = Services(config, lambda _: None)
    try:
        servers.up()
    except SetupError as error:
        servers.down()
        pytest.skip(f"{NOT_TESTED}: {error}")
    try:
        with announced(config):
            yield servers
    finally:
        servers.down()


@pytest.fixture(autouse=True)
def _real_store(request: pytest.FixtureRequest) -> None:
    """Start the servers for whatever is marked as needing them."""
    if request.node.get_closest_marker("real_store"):
        request.getfixturevalue("services")


_left_out: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember which real parts were not tested."""
    if report.skipped and isinstance(report.longrepr, tuple) and NOT_TESTED in report.longrepr[2]:
        _left_out.append(report.longrepr[2].removeprefix("Skipped: "))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """CI must not pass on what it did not test."""
    if _left_out and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """Say it behind everything else, in the last line."""
    if _left_out:
        sys.stderr.write(f"{len(_left_out)} tests were skipped: {_left_out[0]}\n")


def eventually(condition: Callable[[], object], timeout_s: float = 10.0, every_s: float = 0.02) -> None:
    """Wait until `condition` is true; fail with its last value after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {condition!r} gave {value!r}")
        time.sleep(every_s)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: looking through it again and again took 7 % of a run."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
