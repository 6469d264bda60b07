"""How many forecaster replicas there should be: by what Serve counts, and by how busy they are, whichever the door.

Serve sees what matches ask and what comes through its own ingress, but not what comes to a replica's own listener. So
each replica also says what share of a core its event loop takes, which is everything that it does for anybody. Streams
are held elsewhere (the push deployments) and are no load here.
"""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

BUSY = "busy_share"


class BusyShare:
    """The share of a core that a thread took since it was last asked; ask it on that thread."""

    def __init__(
        self, cpu_s: Callable[[], float] = time.thread_time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu_s, self._monotonic = cpu_s, monotonic
        self._before = (cpu_s(), monotonic())

    def take(self) -> float:
        """Return the share, from 0 to 1, and begin anew."""
        (cpu_s, at), now = self._before, (self._cpu_s(), self._monotonic())
        self._before = now
        return min(1.0, (now[0] - cpu_s) / (now[1] - at)) if now[1] > at else 0.0


class ByLoad:
    """Serve's policy: it bounds the answer, and waits with it, as the autoscaling settings say."""

    def __init__(self, target_busy: float) -> None:
        """Take the share of a core that a replica should be busy."""
        self._target_busy = target_busy

    def __call__(self, context: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
        """Return how many replicas the load wants."""
        shares = (context.aggregated_metrics or {}).get(BUSY, {})
        by_share = sum(shares.values()) / self._target_busy
        by_requests = context.total_num_requests / context.config.target_ongoing_requests
        return math.ceil(max(by_share, by_requests)), {}
