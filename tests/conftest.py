"""Fixtures shared by all tests."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# CI draws the same examples each time, so that a change is judged by what it changed; elsewhere new ones are drawn.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder laid out like the shared data: TOUCHLINE_DATA, else data/ or ../shared/data beside the repo."""
    here = Path(__file__).resolve().parents[1]
    candidates = [Path(os.environ["TOUCHLINE_DATA"])] if "TOUCHLINE_DATA" in os.environ else []
    for candidate in (*candidates, here / "data", here.parent / "shared" / "data"):
        if (candidate / "results" / "matches.parquet").is_file():
            return candidate
    pytest.skip("no data.root: put the data under data/ or set TOUCHLINE_DATA")


def eventually(condition: Callable[[], object], timeout_s: float = 10.0, every_s: float = 0.02) -> None:
    """Wait until `condition` is true; fail with its last value after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {condition!r} gave {value!r}")
        time.sleep(every_s)
