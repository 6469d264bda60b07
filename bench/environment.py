"""The environment of what benches measure us against: bench/requirements.txt, with ours beneath. Made once."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from bench.running import REPO

_FOLDER = REPO / ".venv-bench"
_REQUIREMENTS = REPO / "bench" / "requirements.txt"


def environment() -> Path:
    """Return its Python, and make it first if it is not there or other packages are wanted now."""
    python = _FOLDER / "bin" / "python"
    stamp = _FOLDER / f"installed-{hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    if not stamp.exists():
        venv.create(_FOLDER, clear=True)
        site = _FOLDER / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        (site / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*command, "--no-deps", "-r", str(_REQUIREMENTS)], check=True)
        stamp.touch()
    return python


if __name__ == "__main__":
    environment()
