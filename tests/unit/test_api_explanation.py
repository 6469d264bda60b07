"""What moved a forecast, over HTTP."""

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import NoModel, Overloaded
from actors.domain.events import Clock, Score
from actors.domain.explain import log_odds
from actors.domain.forecast import Forecast, feature_snapshot
from actors.domain.markets import ThreeWay, derive_markets
from serve_app.messages import ExplanationAnswer
from tests.unit.api_world import MATCH, MODEL, World, a_fixture, a_forecast, a_world, opened, predict_one, serving

URL = f"/v1/matches/{MATCH}/explanation"
MINUTE_MS = 60_000


def forecast_of(seq: int, inputs: ForecastInputs) -> Forecast:
    """A forecast as the hand-written model makes it."""
    return a_forecast(
        seq=seq,
        inputs=inputs,
        feature_snapshot_id=feature_snapshot(inputs)[0],
        score=Score(inputs.home_goals, inputs.away_goals),
        markets=derive_markets(predict_one(inputs).distribution),
    )


def home(inputs: ForecastInputs) -> float:
    return log_odds(derive_markets(predict_one(inputs).distribution).one_x_two).home


BEFORE = ForecastInputs()
AT_10, AT_23, AT_40 = (ForecastInputs(period=1, clock_ms=minute * MINUTE_MS) for minute in (10, 23, 40))
GOAL = msgspec.structs.replace(AT_23, home_goals=1)
NOW = msgspec.structs.replace(AT_40, home_goals=1)
FORECASTS = [forecast_of(seq, inputs) for seq, inputs in enumerate((BEFORE, AT_10, GOAL, NOW))]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.announce(a_fixture())
        yield world


def told(world: World, *forecasts: Forecast) -> None:
    """Publish forecasts, of which history has all but the newest."""
    world.publish(opened(), *forecasts)
    world.keep(*forecasts[:-1])


def explanation(client: TestClient) -> ExplanationAnswer:
    answer = client.get(URL)
    assert answer.status_code == 200
    return msgspec.json.decode(answer.content, type=ExplanationAnswer)


def test_the_parts_since_kick_off_are_those_of_the_model_step_by_step(world: World) -> None:
    told(world, *FORECASTS)
    with serving(world) as client:
        answer = explanation(client)
    found = answer.since_kick_off
    assert found is not None
    assert (answer.prediction_id, found.since, found.since_clock) == (f"{MATCH}@3", f"{MATCH}@0", Clock(0, 0))
    assert found.change.home == home(NOW) - home(BEFORE)
    assert found.clock.home == pytest.approx(home(AT_23) - home(BEFORE) + home(NOW) - home(GOAL), abs=1e-12)
    (goal,) = found.events
    assert (goal.kind, goal.side, goal.count, goal.clock) == ("goal", "home", 1, Clock(1, 23 * MINUTE_MS))
    assert goal.change.home == home(GOAL) - home(AT_23)
    assert found.model.home == 0.0


def test_the_parts_since_the_last_forecast_are_of_what_happened_since(world: World) -> None:
    told(world, *FORECASTS)
    with serving(world) as client:
        found = explanation(client).since_last
    assert found is not None
    assert (found.since, found.events) == (f"{MATCH}@2", [])
    assert found.clock == found.change


@pytest.mark.parametrize("kept", [1, 3, 4])
def test_however_far_history_is_the_parts_sum_to_the_change(world: World, kept: int) -> None:
    world.publish(opened(), *FORECASTS)
    world.keep(*FORECASTS[:kept])
    with serving(world) as client:
        found = explanation(client).since_kick_off
    assert found is not None
    parts = [found.clock, found.market, found.model, *(event.change for event in found.events)]
    assert found.since == f"{MATCH}@0"
    assert math.fsum(part.home for part in parts) == pytest.approx(found.change.home, abs=1e-9)
    assert math.fsum(part.away for part in parts) == pytest.approx(found.change.away, abs=1e-9)


def test_before_kick_off_and_of_the_first_forecast_there_is_nothing_to_explain(world: World) -> None:
    told(world, FORECASTS[0], forecast_of(1, msgspec.structs.replace(BEFORE, anchor_1x2=(2.0, 3.5, 4.0))))
    with serving(world) as client:
        answer = explanation(client)
    assert answer.since_kick_off is None
    assert answer.since_last is not None
    assert answer.since_last.market == answer.since_last.change


def test_the_only_forecast_has_no_explanation_yet(world: World) -> None:
    world.publish(opened(), FORECASTS[1])
    with serving(world) as client:
        answer = explanation(client)
    assert (answer.since_last, answer.since_kick_off) == (None, None)


def test_a_swap_of_models_is_a_part_of_its_own(world: World) -> None:
    older = msgspec.structs.replace(FORECASTS[0].markets, one_x_two=ThreeWay(home=0.5, draw=0.25, away=0.25))
    told(world, msgspec.structs.replace(FORECASTS[0], model_version="older", markets=older), *FORECASTS[1:])
    with serving(world) as client:
        found = explanation(client).since_kick_off
    assert found is not None
    assert found.model.home == pytest.approx(home(BEFORE), abs=1e-12)  # the older one said even
    assert found.note is None


def test_a_version_that_is_not_run_any_more_is_named(world: World) -> None:
    told(world, *(msgspec.structs.replace(each, model_version="older") for each in FORECASTS))
    with serving(world) as client:
        found = explanation(client).since_kick_off
    assert found is not None
    assert found.note is not None
    assert "older is not run here any more" in found.note
    assert MODEL in found.note


def test_an_unknown_match_is_404(world: World) -> None:
    with serving(world) as client:
        answer = client.get("/v1/matches/nobody:1/explanation")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(("error", "status"), [(NoModel("none"), 503), (Overloaded("forecaster", 100), 429)])
def test_what_the_forecaster_says_becomes_a_problem(world: World, error: Exception, status: int) -> None:
    async def failing(inputs: list[ForecastInputs]) -> list[Prediction]:
        raise error

    told(world, *FORECASTS)
    with serving(world, predict=failing) as client:
        assert client.get(URL).status_code == status
