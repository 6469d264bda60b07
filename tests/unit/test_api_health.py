"""What `GET /v1/models` says of a model's health: by the description, and null with a reason where nothing is known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import msgspec
import pytest

from actors.domain.drift import InputDrift
from actors.domain.health import Estimate, HealthReport, LiveHealth, PhaseHealth
from serve_app.deps import ServedModels
from serve_app.health import age_of, health_of
from serve_app.openapi import document
from tests.unit.api_world import MODEL, World, a_world, serving

NOW = datetime(2026, 5, 30, 12, tzinfo=UTC)
SCORE = Estimate(value=0.6, low=0.5, high=0.7)
LIVE = LiveHealth(
    scored_matches=40,
    phases=(
        PhaseHealth(
            minute=45,
            matches=40,
            log_loss=SCORE,
            rps=Estimate(value=0.1, low=None, high=None),
            calibration_error=0.1,
            calibration_error_by_chance=0.15,
            slope=None,
        ),
    ),
    drift=(
        InputDrift(input="league", psi=0.3, threshold=0.2, shifted=True, matches=40, missing=0.0, missing_at_fit=0.1),
    ),
)
REPORT = HealthReport(at=NOW, window_days=60, served=LIVE, versions={MODEL: LIVE})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.models = ServedModels(
            live=MODEL,
            versions={MODEL: {"trained_until": "2026-05-20"}, "new-1": {}},
            committed={MODEL: NOW - timedelta(days=2)},
        )
        yield world


async def known() -> HealthReport:
    return REPORT


def test_health_is_told_as_the_description_says(world: World) -> None:
    with serving(world, health=known, now=lambda: NOW) as client:
        answer = client.get("/v1/models").json()
    described = msgspec.json.decode(msgspec.json.encode(document()))
    content = described["paths"]["/v1/models"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**content, "components": described["components"]}).validate(answer)
    old, new = answer["models"]
    assert old["health"]["age"] == {
        "trained_until": "2026-05-20",
        "days": 10.5,
        "committed_at": "2026-05-28T12:00:00Z",
        "committed_days": 2.0,
    }
    assert old["health"]["live"] == msgspec.json.decode(msgspec.json.encode(LIVE))
    assert (new["health"]["live"]["drift"], new["health"]["age"]["days"]) == (None, None)
    assert new["health"]["live"]["phases_reason"] == "live matches have not been looked at yet"


def test_without_a_report_the_age_is_still_told() -> None:
    held = ServedModels(live=MODEL, versions={MODEL: {"trained_until": "2026-05-29"}})
    found = health_of(MODEL, held, None, NOW)
    assert (found.age.days, found.at, found.live.phases) == (1.5, None, None)
    assert found.live.phases_reason != "" != found.live.drift_reason


@pytest.mark.parametrize("trained_until", [None, "", "yesterday", 20, {}])
def test_a_manifest_that_names_no_date_has_no_age(trained_until: object) -> None:
    assert age_of(trained_until, None, NOW).days is None
