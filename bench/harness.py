"""What every bench shares: percentiles, where and on what it ran, one JSON line."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np


def spread_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 and max in milliseconds.

    >>> spread_ms([0.001, 0.002, 0.003])["p50_ms"]
    2.0
    """
    values = np.asarray(seconds) * 1000
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    named = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": values.max()}
    return {name: round(float(value), 3) for name, value in named.items()}


def report(bench: str, config: dict[str, Any], result: dict[str, Any]) -> None:
    """Print a bench's one line."""
    print(
        json.dumps({"bench": bench, "config": config, **result, "commit": _commit(), "machine": _machine()}), flush=True
    )


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    memory_gb = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {"cores": os.cpu_count(), "memory_gb": memory_gb, "cpu": platform.processor() or platform.machine()}
