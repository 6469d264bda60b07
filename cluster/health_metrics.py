"""Model health, told to `ray.util.metrics`: of the live version its age and inputs, of all that was served the scores.

Scores are not by version: one is new every day, and their series would never end. `GET /v1/models` has them.
"""

from datetime import UTC, datetime

from ray.util.metrics import Gauge

from actors.domain.health import HealthReport, PhaseHealth
from serve_app.deps import ServedModels
from serve_app.health import age_of

_DAY_S = 86_400.0


class HealthMetrics:
    """Gauges of one process; nothing is set that is not known."""

    def __init__(self) -> None:
        minute = ("minute",)
        self._phases = {
            "log_loss": Gauge("touchline_live_log_loss", "Mean log loss of forecasts in force at a minute", minute),
            "rps": Gauge("touchline_live_rps", "Mean ranked probability score at a minute", minute),
            "error": Gauge("touchline_live_calibration_error", "Largest calibration error at a minute", minute),
            "slope": Gauge("touchline_live_calibration_slope", "Below 1: forecasts are too sure", minute),
            "matches": Gauge("touchline_live_scored_matches", "Matches with a result, scored at a minute", minute),
        }
        self._psi = Gauge("touchline_input_stability_index", "Live against the fit of the live model", ("input",))
        self._shifted = Gauge("touchline_inputs_shifted", "Inputs of the live model beyond their threshold")
        self._age = Gauge("touchline_model_age_seconds", "Since the live model's training data ends")
        self._committed = Gauge("touchline_model_committed_age_seconds", "Since the live model was committed")

    def __call__(self, report: HealthReport, models: ServedModels) -> None:
        """Tell a report."""
        for phase in report.served.phases or ():
            self._tell_phase(phase)
        if models.live is not None:
            self._tell_live(models.live, report, models)

    def _tell_phase(self, phase: PhaseHealth) -> None:
        values = {
            "log_loss": phase.log_loss.value,
            "rps": phase.rps.value,
            "error": phase.calibration_error,
            "slope": None if phase.slope is None else phase.slope.value,
            "matches": phase.matches,
        }
        for name, value in values.items():
            if value is not None:
                self._phases[name].set(value, tags={"minute": str(phase.minute)})

    def _tell_live(self, live: str, report: HealthReport, models: ServedModels) -> None:
        health = report.versions.get(live)
        if health is not None and health.drift is not None:
            self._shifted.set(sum(each.shifted for each in health.drift))
            for each in health.drift:
                self._psi.set(each.psi, tags={"input": each.input})
        trained_until = models.versions.get(live, {}).get("trained_until")
        age = age_of(trained_until, models.committed.get(live), datetime.now(UTC))
        for gauge, days in ((self._age, age.days), (self._committed, age.committed_days)):
            if days is not None:
                gauge.set(days * _DAY_S)
