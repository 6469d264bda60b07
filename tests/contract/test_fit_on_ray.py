"""Ray Train keeps a fit's stages as a plain folder does: ended at any time, the run goes on to the same weights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_fit import UNTIL, fitted, weights_of, write_data

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300.0  # beside everything else that tests start
_SIGN = "6/8"  # of the stage in which it is killed: random numbers were drawn before it and are drawn in it


def start(root: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training.fit", f"data.root={root}", f"out={out}", f"until={UNTIL}", "seed=0"]
    environment = {**os.environ, "RAY_worker_niceness": "0"}  # at its own low priority, the tests beside it starve it
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def said_until(process: subprocess.Popen[str], sign: str) -> str:
    """Return what a process says, up to the line that holds a sign or to its end."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if sign in line:
            break
    return said


@pytest.mark.soak
def test_a_run_that_is_killed_goes_on_behind_its_last_stage_to_the_same_weights(tmp_path: Path) -> None:
    root = write_data(tmp_path / "data", matches=20)
    killed = start(root, tmp_path / "model")
    said = said_until(killed, _SIGN)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=LIMIT_S)
    assert _SIGN in said
    assert not (tmp_path / "model").exists()
    again = start(root, tmp_path / "model")
    told, _ = again.communicate(timeout=LIMIT_S)
    assert again.returncode == 0, told
    assert "going on behind stage" in told
    assert weights_of(tmp_path / "model") == weights_of(fitted(root, tmp_path / "unbroken"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "model", "unbroken"]
