"""The app on embedded stores in a process of its own, killed and started as a test likes.

`python -m tests.cluster.page_server FOLDER PORT` is that process.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import uvicorn
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory
from actors.adapters.memory_view import MemoryView
from actors.domain.distribution import ForecastInputs, Intervals, Prediction
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS
from serve_app.app import build_app
from serve_app.deps import AppDeps, ServedModels
from tests.conftest import eventually
from tests.unit.fakes import predict
from tests.unit.past import UNTIL, past_states

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = {FEED: 16, FORECASTS: 16, FIXTURES: 1, DEAD_LETTERS: 1}


def open_log(folder: Path) -> SqliteLog:
    """Open the log that test and server share."""
    return SqliteLog(folder / "log", PARTITIONS)


def open_history(folder: Path) -> SqliteHistory:
    """Open the history that test and server share."""
    return SqliteHistory(folder / "history.sqlite")


def predict_surely(inputs: list[ForecastInputs]) -> list[Prediction]:
    """Answer as the fake model does, with intervals."""
    bounds = Intervals(level=0.9, home=(0.5, 0.625), draw=(0.2, 0.3), away=(0.1, 0.25))
    return [replace(each, intervals=bounds) for each in predict(inputs)]


def dependencies(folder: Path) -> AppDeps:
    """Return what the app is a function of: real stores, and a model that needs no torch."""

    async def answer(inputs: list[ForecastInputs]) -> list[Prediction]:
        return predict_surely(inputs)

    history = open_history(folder)
    return AppDeps(
        log=open_log(folder),
        view=MemoryView(1_000),
        history=history,
        what_ifs=history,
        activity=history,
        predict=answer,
        models=lambda: ServedModels(live="fake-1", versions={"fake-1": {"trained_until": UNTIL.isoformat()}}),
        past_states=lambda until: past_states(),
        replica=f"test-{time.monotonic_ns()}",
        monotonic=time.monotonic,
        now=lambda: datetime.now(UTC),
        web=ROOT / "serve_app" / "web",
    )


class PageServer:
    """The server as a process. Its port stays the same from start to start."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> "PageServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        command = [sys.executable, "-m", "tests.cluster.page_server", str(self._folder), str(self._port)]
        with (self._folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        eventually(self._is_ready, timeout_s=30.0, every_s=0.1)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10.0)
            self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        said = (self._folder / "server.log").read_text
        assert self._process.poll() is None, f"the server ended: {said()}"
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2.0) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False


if __name__ == "__main__":
    uvicorn.run(build_app(dependencies(Path(sys.argv[1]))), host="127.0.0.1", port=int(sys.argv[2]), log_level="info")
