"""The `retrain` group: when a new model is fitted, what it is judged on, and how much worse it may be nowhere."""

import math
import re
from dataclasses import dataclass, field

from conf.checks import need, need_positive, need_whole

SUITES = ("prematch", "live_understat", "live_wyscout")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@dataclass
class RetrainConfig:
    """One option of the `retrain` group; `python -m training.retrain` reads it, and the running system its schedule."""

    every_h: float = 0.0  # 0: only on demand
    at: str | None = None  # HH:MM, UTC: the time of day; every_h is then whole days
    champion: str = ""  # a model's folder; none: what is live, or model.folder where nothing is
    suites: list[str] = field(default_factory=lambda: ["prematch", "live_understat"])
    holdout_matches: int = 1_000  # of each suite, the newest; the candidate is fitted on what was before all of them
    least_matches: int = 300  # of each suite, where the champion knows some of those
    log_loss_tolerance: float = 0.005
    rps_tolerance: float = 0.002
    calibration_tolerance: float = 0.01
    swap: bool = True  # an accepted candidate is served; else only the decision is written
    seed: int = 0

    def __post_init__(self) -> None:
        need(0 <= self.every_h < math.inf, "retrain.every_h", "a finite number of at least 0", self.every_h)
        if self.at is not None:
            need(_CLOCK.fullmatch(self.at) is not None, "retrain.at", "a time of day such as '03:30'", self.at)
            need(self.every_h % 24 == 0, "retrain.every_h", "a multiple of 24 where retrain.at is given", self.every_h)
        need(bool(self.suites), "retrain.suites", "a list that is not empty", self.suites)
        for index, suite in enumerate(self.suites):
            need(suite in SUITES, f"retrain.suites[{index}]", " or ".join(SUITES), suite)
        need_whole("retrain.least_matches", self.least_matches)
        need_whole("retrain.holdout_matches", self.holdout_matches, least=self.least_matches)
        for name in ("log_loss_tolerance", "rps_tolerance", "calibration_tolerance"):
            need_positive(f"retrain.{name}", getattr(self, name))
        need_whole("retrain.seed", self.seed, least=0)
