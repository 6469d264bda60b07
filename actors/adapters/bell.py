"""Bells: how a process that appended to the embedded log wakes the processes that wait for it.

A bell is a file of eight bytes. Whoever commits writes the partition's new end into it, afterwards; whoever waits lets
the kernel watch it (inotify). The number is a hint and never trusted to be right, only to differ: no two commits ring
the same one. Nothing is lost with a bell that was never rung: listeners look for themselves once a second.
"""

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_NAP_S = 0.005  # between two looks at the bells where inotify is missing or exhausted
_SIZE = 8


class Bell:
    """One partition's bell, made by whoever needs it first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # a closed handle's number may belong to another file already
        self._handle: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def ring(self, end: int) -> None:
        """Say that a commit is visible. A full disk must not turn a durable append into an error."""
        with self._lock, suppress(OSError):
            if self._handle is not None:
                os.pwrite(self._handle, end.to_bytes(_SIZE, "little"), 0)

    def last_rung(self) -> bytes:
        with self._lock:
            return b"" if self._handle is None else os.pread(self._handle, _SIZE, 0)

    def close(self) -> None:
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


class Listener:
    """Sleeps until one of several bells rings. Belongs to one thread at a time.

    It watches from its creation on: a bell rung before `wait`, even long before, ends the wait at once.
    """

    def __init__(self, bells: Iterable[Path]) -> None:
        self._watch = _watch(bells)

    def wait(self, timeout_s: float) -> None:
        """Return when a bell rang, at the timeout, or (without inotify) after a nap: the caller looks and decides."""
        if self._watch is None:
            time.sleep(min(timeout_s, _NAP_S))
        else:
            self._watch.wait(timeout_s)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()


class _Inotify:
    def __init__(self, bells: Iterable[Path]) -> None:
        from inotify_simple import INotify, flags

        self._inotify = INotify(nonblocking=True)
        try:
            for bell in bells:
                self._inotify.add_watch(bell, flags.MODIFY)
        except OSError:
            self._inotify.close()
            raise

    def wait(self, timeout_s: float) -> None:
        self._inotify.read(timeout=max(1, round(timeout_s * 1000)))

    def close(self) -> None:
        self._inotify.close()


def _watch(bells: Iterable[Path]) -> _Inotify | None:
    """Arm inotify; None where the system has none, or no more of it (128 instances per user are usual)."""
    with suppress(ImportError, OSError):
        return _Inotify(bells)
    return None
