"""Health as metrics: set is what is known, under few and bounded labels."""

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

import cluster.health_metrics as health_metrics
from actors.domain.health import LiveHealth
from cluster.health_metrics import HealthMetrics
from serve_app.deps import ServedModels
from tests.unit.api_world import MODEL
from tests.unit.test_api_health import LIVE, NOW, REPORT

SET: dict[tuple[str, str], float] = {}


class FakeGauge:
    """Remembers what was set, by name and label."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...] = ()) -> None:
        self._name, self._keys = name, tag_keys

    def set(self, value: float, tags: Mapping[str, str] = {}) -> None:
        assert tuple(tags) == self._keys
        SET[self._name, "".join(tags.values())] = value


@pytest.fixture(autouse=True)
def gauges(monkeypatch: pytest.MonkeyPatch) -> None:
    SET.clear()
    monkeypatch.setattr(health_metrics, "Gauge", FakeGauge)


def test_scores_come_by_minute_and_drift_by_input() -> None:
    held = ServedModels(live=MODEL, versions={MODEL: {"trained_until": "2026-05-20"}}, committed={MODEL: NOW})
    HealthMetrics()(REPORT, held)
    assert SET["touchline_live_log_loss", "45"] == 0.6
    assert SET["touchline_live_scored_matches", "45"] == 40
    assert ("touchline_live_calibration_slope", "45") not in SET
    assert SET["touchline_input_stability_index", "league"] == 0.3
    assert SET["touchline_inputs_shifted", ""] == 1
    assert SET["touchline_model_age_seconds", ""] > 0
    assert ("touchline_model_committed_age_seconds", "") in SET


def test_what_is_not_known_is_not_set() -> None:
    nothing = replace(REPORT, served=LiveHealth(), versions={})
    HealthMetrics()(nothing, ServedModels(live=None, versions={}))
    assert SET == {}
    HealthMetrics()(replace(REPORT, served=LIVE), ServedModels(live="other-1", versions={}))
    assert not any(name == "touchline_input_stability_index" for name, _ in SET)
