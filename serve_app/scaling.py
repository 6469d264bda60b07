"""What Serve scales forecasters by: its own count of requests, and how busy a replica says it is.

Serve does not see what comes through the replicas' own listener, so each reports the share of a core that its event
loop took. Delays and bounds are those of the deployment's `autoscaling_config`.
"""

import math
import time
from collections.abc import Callable
from typing import Any

BUSY = "busy"
TARGET_BUSY = 0.5  # of a core: as much again fits in while another replica starts


class Busy:
    """The share of a core that the calling thread took since it was last asked."""

    def __init__(
        self, cpu_s: Callable[[], float] = time.thread_time, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu_s, self._now_s = cpu_s, now_s
        self._before = cpu_s(), now_s()

    def share(self) -> float:
        """Return it, from 0 to 1; 0 if no time has passed."""
        (cpu_before, before), (cpu, now) = self._before, (self._cpu_s(), self._now_s())
        self._before = cpu, now
        return min(1.0, (cpu - cpu_before) / (now - before)) if now > before else 0.0


def replicas_wanted(context: Any) -> tuple[int, dict[str, Any]]:
    """Return how many replicas the load needs (Ray Serve's AutoscalingContext), and no state of our own."""
    by_requests = context.total_num_requests / context.config.get_target_ongoing_requests()
    by_load = sum((context.aggregated_metrics or {}).get(BUSY, {}).values()) / TARGET_BUSY
    return max(1, math.ceil(max(by_requests, by_load))), {}
