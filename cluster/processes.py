"""One Touchline per data folder: a lock, the pids it started, and an end to those that an earlier one left behind."""

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil

from actors.adapters.file_lock import held
from actors.domain.errors import SetupError

_ENDS_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.1
_LISTENS_WITHIN_S = 3.0
_SAME_WITHIN_S = 1.5  # when a process began is told from the boot time, which moves when the clock is set


def only_one(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the data folder's lock.

    Raises:
        SetupError: The folder cannot be written, or another Touchline uses it.
    """
    return held(folder / "run" / "lock", f"the data folder {folder}", " is in use by another Touchline")


def need_port(host: str, port: int, key: str) -> None:
    """Make sure that a port can be had.

    Raises:
        SetupError: It is in use, or the host is not ours.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SetupError(f"{key}={port} cannot be used on {host}: {error.strerror}; choose another") from error


def need_listener(address: str, key: str) -> None:
    """Make sure that somebody listens at host:port.

    Raises:
        SetupError: Nobody does.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_LISTENS_WITHIN_S):
            return
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SetupError(f"{key}={address}: nobody listens there ({reason})") from error


def remember_children(folder: Path) -> None:
    """Write down every process below this one, so that a later start can end what a SIGKILL of ours leaves."""
    children = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            children.append([child.pid, child.create_time()])
    draft = folder / "run" / "children.json.new"
    draft.write_text(json.dumps(children))
    draft.replace(folder / "run" / "children.json")  # whole or not at all: we may be killed on this line


def reap(folder: Path) -> int:
    """End what an earlier start left running; return how many processes that were."""
    try:
        rows = json.loads((folder / "run" / "children.json").read_text())
        left = [process for pid, created in rows if (process := same(pid, created)) is not None]
    except (OSError, ValueError, TypeError):  # there is no such note, or none of ours
        return 0
    end(left)
    return len(left)


def end(processes: list[psutil.Process]) -> None:
    """Ask processes to end, and end those that do not."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)
        processes = _running_after(_ENDS_WITHIN_S, processes)


def _running_after(limit_s: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run after a while; one whose parent does not take note of its end has ended."""
    deadline = time.monotonic() + limit_s
    while processes and time.monotonic() < deadline:
        _, processes = psutil.wait_procs(processes, timeout=_LOOK_EVERY_S)
        processes = [process for process in processes if _is_running(process)]
    return processes


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end_children() -> None:
    """End every process below this one."""
    end(psutil.Process().children(recursive=True))


def same(pid: int, created: float) -> psutil.Process | None:
    """Return the process if it is the one that was started then: pids are used again."""
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - created) < _SAME_WITHIN_S and pid != os.getpid()
        return process if is_same and _is_running(process) else None
    except psutil.NoSuchProcess:
        return None
