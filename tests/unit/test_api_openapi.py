"""The description says what the app does: checked by types, by a validator, and by requests made from it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from starlette.routing import Route
from starlette.testclient import TestClient

from serve_app.deps import ServedModels
from serve_app.openapi import OPERATIONS, document
from tests.unit.api_world import (
    MATCH,
    MODEL,
    World,
    a_fixture,
    a_forecast,
    a_price,
    a_world,
    listening,
    opened,
    serving,
)
from tests.unit.past import UNTIL, past_states

NOT_DESCRIBED = {"/openapi.json", "/docs", "/docs/{name}", "/"}
KNOWN = {"match_id": MATCH, "prediction_id": f"{MATCH}@3"}
BOUNDED = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("world")) as world:
        world.announce(a_fixture())
        world.models = ServedModels(live=MODEL, versions={MODEL: {"trained_until": UNTIL.isoformat()}})
        world.publish(opened(), a_forecast(seq=3, price=a_price()))
        world.keep(a_forecast(seq=3))
        yield world


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with serving(world, past_states=lambda until: past_states()) as client:
        yield client


@pytest.fixture(scope="module")
def described(world: World) -> Iterator[Any]:
    with listening(world) as address:
        yield schemathesis.openapi.from_url(f"{address}/openapi.json").exclude(path="/v1/stream")  # it never ends


@pytest.mark.parametrize("name", [each.name for each in OPERATIONS if each.name != "stream"])
def test_requests_made_from_the_description_get_what_it_says(described: Any, name: str) -> None:
    operation = described.find_operation_by_id(name)

    @given(case=operation.as_strategy(), known=st.booleans())
    @BOUNDED
    def ask(case: schemathesis.Case, known: bool) -> None:
        if known:  # else nearly every answer would be 404
            case.path_parameters.update({key: KNOWN[key] for key in case.path_parameters})
        case.call_and_validate(checks=CHECKS)

    ask()


def test_every_route_is_described_with_its_methods(client: TestClient) -> None:
    routes = {
        (route.path, method.lower())
        for route in client.app.routes  # type: ignore[attr-defined]
        if isinstance(route, Route) and route.path not in NOT_DESCRIBED
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert routes == {(each.path, each.method) for each in OPERATIONS}


def test_the_description_is_served_as_it_is_generated(client: TestClient) -> None:
    answer = client.get("/openapi.json")
    assert (answer.headers["content-type"], answer.json()["openapi"]) == ("application/json", "3.1.0")
    assert answer.json() == _as_json(document())


def _as_json(value: Any) -> Any:
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(value))


BATCH: list[dict[str, Any]] = [{}, {"match_id": "nobody:1"}, {"reds": [1, 0]}]
EXAMPLES = [
    ("list_matches", "GET", "/v1/matches", None),
    ("get_match", "GET", f"/v1/matches/{MATCH}", None),
    ("get_forecast", "GET", f"/v1/matches/{MATCH}/forecast", None),
    ("what_if", "POST", f"/v1/matches/{MATCH}/forecast", {"score": [1, 0]}),
    ("get_timeline", "GET", f"/v1/matches/{MATCH}/forecasts", None),
    ("get_inputs", "GET", f"/v1/matches/{MATCH}/inputs", None),
    ("explain", "GET", f"/v1/matches/{MATCH}/explanation", None),
    ("compare", "GET", f"/v1/matches/{MATCH}/comparables", None),
    ("batch", "POST", "/v1/forecasts:batch", {"items": [{"match_id": MATCH, **each} for each in BATCH]}),
    ("get_prediction", "GET", f"/v1/predictions/{MATCH}@3", None),
    ("replay", "POST", f"/v1/predictions/{MATCH}@3/replay", None),
    ("list_models", "GET", "/v1/models", None),
    ("list_features", "GET", "/v1/features", None),
    ("health", "GET", "/healthz", None),
    ("readiness", "GET", "/readyz", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "path", "body"), EXAMPLES)
def test_a_good_answer_is_what_the_description_says(
    client: TestClient, name: str, method: str, path: str, body: Any
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 200
    described = document()
    operation = next(
        each for methods in described["paths"].values() for each in methods.values() if each["operationId"] == name
    )
    content = operation["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**content, "components": described["components"]}
    jsonschema.Draft202012Validator(_as_json(whole)).validate(answer.json())


def test_every_operation_has_an_example_here() -> None:
    assert {each[0] for each in EXAMPLES} | {"stream"} == {each.name for each in OPERATIONS}


def test_the_page_of_the_description_loads_nothing_from_elsewhere(client: TestClient, tmp_path: Path) -> None:
    page = client.get("/docs").text
    assert "http:" not in page
    assert "https:" not in page
    assert "<style" not in page
    assert " onload" not in page
