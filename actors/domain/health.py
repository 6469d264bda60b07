"""What is said of a model's health: how it scored live, how its inputs have moved, how old it is."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from actors.domain.drift import InputDrift

NOT_ASKED = "live matches are not looked at here, or have not been yet"


class Estimate(Struct, frozen=True, kw_only=True):
    """A value and its 95 % interval, null where there are too few matches for one."""

    value: float
    low: float | None
    high: float | None


class PhaseHealth(Struct, frozen=True, kw_only=True):
    """The forecasts in force at one minute, scored by the result of regular time; one for each of `matches` matches.

    `calibration_error` is the largest of home, draw, away; `calibration_error_by_chance` is what it would exceed once
    in twenty times if every forecast were perfect. `slope` is 1 where forecasts are as sure as they may be, below 1
    where they are too sure.
    """

    minute: int
    matches: int
    log_loss: Estimate
    rps: Estimate
    calibration_error: float
    calibration_error_by_chance: float
    slope: Estimate | None  # null where there are too few matches


class PhaseComparison(Struct, frozen=True, kw_only=True):
    """Scores of a candidate less those of what was served, on the same matches: below 0 the candidate did better."""

    minute: int
    matches: int
    log_loss: Estimate
    rps: Estimate


class LiveHealth(Struct, frozen=True, kw_only=True):
    """What live matches say of a model; a part is null where there is nothing yet, and its reason says so."""

    scored_matches: int = 0
    phases: tuple[PhaseHealth, ...] | None = None
    phases_reason: str = ""
    drift: tuple[InputDrift, ...] | None = None
    drift_reason: str = ""


class HealthReport(Struct, frozen=True, kw_only=True):
    """The last look at live matches. `served` is of all forecasts, whichever version made them."""

    at: datetime
    window_days: int
    served: LiveHealth
    versions: Mapping[str, LiveHealth]


class ModelAge(Struct, frozen=True, kw_only=True):
    """How old a model is: days since what it was fitted on ends, and since it was last committed."""

    trained_until: str | None
    days: float | None
    committed_at: datetime | None
    committed_days: float | None


class ModelHealth(Struct, frozen=True, kw_only=True):
    """Health of one version. `at`: when live matches were last looked at; null where they were not."""

    age: ModelAge
    at: datetime | None
    window_days: int | None
    live: LiveHealth
