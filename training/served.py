"""The system that serves, as a retraining needs it: what is live, and the swap to another model."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from actors.domain.errors import SetupError

_WITHIN_S = 300.0  # a swap waits for the registry itself, for 90 s; at the lowest priority its start may take as long
_HISTORY_WITHIN_S = 1800.0  # it reads the last state of every finished match


class Served(Protocol):
    """What a retraining asks for."""

    def champion(self, folder: Path) -> None:
        """Lay the live model out as a folder, which is made; raises SetupError."""
        ...

    def history(self, folder: Path, before: date) -> str:
        """Lay data.root out with the results that its log has and the file has not; return what was added.

        Args:
            folder: Is made.
            before: Of the days of those matches, exclusive.

        Raises:
            SetupError: It cannot be done.
        """
        ...

    def swap(self, folder: Path) -> tuple[bool, str]:
        """Have a model served; return whether it is, and what was said."""
        ...


class CommandLine:
    """The system by its operators' commands: training itself knows neither the log nor history."""

    def __init__(self, overrides: Sequence[str]) -> None:
        """Take the `key=value` options that say which system it is."""
        self._overrides = overrides

    def champion(self, folder: Path) -> None:
        code, said = self._run("cluster.models", "export", str(folder))
        if code:
            raise SetupError(f"the live model cannot be had: {said}")

    def history(self, folder: Path, before: date) -> str:
        words = ("cluster.finished", str(folder), "--before", before.isoformat())
        code, said = self._run(*words, within_s=_HISTORY_WITHIN_S)
        if code:
            raise SetupError(f"history as of {before} cannot be had: {said}")
        return said

    def swap(self, folder: Path) -> tuple[bool, str]:
        code, said = self._run("cluster.models", "swap", str(folder))
        return code == 0, said

    def _run(self, module: str, *words: str, within_s: float = _WITHIN_S) -> tuple[int, str]:
        command = [sys.executable, "-m", module, *words, *self._overrides]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=within_s)
        except subprocess.TimeoutExpired:
            return 2, f"no answer within {within_s:g} s"
        return ended.returncode, " ".join((ended.stdout or ended.stderr).split())
