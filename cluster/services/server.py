"""One server process: started apart from whoever starts it, found again by its pid, asked to end and waited for."""

import contextlib
import json
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psutil

from actors.domain.errors import SetupError
from cluster.processes import same

_LOOK_EVERY_S = 0.05
_TAIL_LINES = 15
_KILLED_WITHIN_S = 10.0


class ServerFailed(SetupError):
    """A server did not start or did not end; `tail` is what its log said last."""

    def __init__(self, problem: str, log: str, tail: tuple[str, ...]) -> None:
        super().__init__(f"{problem}; its log is {log}")
        self.args = (problem, log, tail)
        self.log, self.tail = log, tail


class Server(ABC):
    """What is common to all of them. A pid file says which process it is and when that began: pids are used again."""

    name: str

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self.folder, self.host, self.port = folder / self.name, host, port
        self.log = self.folder / "server.log"
        self._pid_file = self.folder / "pid.json"
        self._child: subprocess.Popen[bytes] | None = None  # if it was started here: its end is ours to take note of

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Write what the server needs to its folder and return the command that runs it."""

    @abstractmethod
    def answer(self) -> str:
        """Make a real request and return the server's version; any exception means that it is not ready."""

    def process(self) -> psutil.Process | None:
        """Return the running process; a pid file whose process is gone, or is another one, counts for nothing."""
        if self._child is not None:
            self._child.poll()  # it may have ended by itself
        try:
            pid, created = json.loads(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return same(pid, created)

    def start(self, timeout_s: float) -> str:
        """Start it unless it runs, wait until it answers, and return its version.

        Raises:
            ServerFailed: It ended, or did not answer in time.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.process() is None:
                self._pid_file.unlink(missing_ok=True)
                self._launch(list(self.command()))
        except OSError as error:
            raise self.failed(f"{self.name}: {self.folder} cannot be written ({error.strerror})") from error
        return self._wait_until_ready(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end and wait; end it for good after that. Say whether it ran."""
        process = self.process()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                process.send_signal(signal.SIGCONT)  # one that was stopped would not hear
                process.send_signal(signal.SIGTERM)
                if not self._ended(process, timeout_s):
                    process.kill()
                    self._ended(process, timeout_s)
        self._pid_file.unlink(missing_ok=True)
        return process is not None

    def kill(self) -> None:
        """End it at once, as a crash would; its data stays."""
        process = self.process()
        if process is not None:
            process.kill()
            self._ended(process, _KILLED_WITHIN_S)

    def tail(self, lines: int = _TAIL_LINES) -> tuple[str, ...]:
        """Return the last lines of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 200 * lines))
                return tuple(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ()

    def run_once(self, command: Sequence[str], what: str, timeout_s: float) -> None:
        """Run a command of the server's own to its end.

        Raises:
            ServerFailed: It failed.
        """
        with self.log.open("ab") as log:
            try:
                code = subprocess.run(command, stdout=log, stderr=log, timeout=timeout_s, check=False).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if code:
            raise self.failed(f"{self.name}: {what} failed")

    def failed(self, problem: str) -> ServerFailed:
        """Return the error that names the log and shows its end."""
        return ServerFailed(problem, str(self.log), self.tail())

    def _launch(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            process = self._child = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever started it
            )
        draft = self._pid_file.with_suffix(".new")
        try:
            draft.write_text(json.dumps([process.pid, psutil.Process(process.pid).create_time()]))
            draft.replace(self._pid_file)
        except OSError:  # nobody would find it again
            process.kill()
            process.wait()
            raise

    def _wait_until_ready(self, timeout_s: float) -> str:
        began, problem = time.monotonic(), "nothing answered"
        while time.monotonic() - began < timeout_s:
            if self.process() is None:
                raise self.failed(f"{self.name} ended {time.monotonic() - began:.0f} s after its start")
            try:
                with socket.create_connection((self.host, self.port), timeout=1.0):
                    pass  # before that, a client would only log that it cannot connect
                return self.answer()
            except Exception as error:  # noqa: BLE001  whatever it was, it is not ready yet
                problem = " ".join(str(error).split()) or repr(error)
            time.sleep(_LOOK_EVERY_S)
        raise self.failed(f"{self.name} did not answer on {self.host}:{self.port} within {timeout_s:g} s ({problem})")

    def _ended(self, process: psutil.Process, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                if self._child is not None:
                    self._child.wait()
                return True
            time.sleep(_LOOK_EVERY_S)
        return False
