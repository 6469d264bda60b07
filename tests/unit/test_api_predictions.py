"""Audit over HTTP: the record of a published forecast, and whether it comes out the same again."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from actors.domain.distribution import ForecastInputs, Prediction, Runtime
from actors.domain.forecast import encode_published
from serve_app.deps import ServedModels
from serve_app.messages import PublishedRecord
from tests.unit.api_world import MATCH, World, a_forecast, a_world, predict_one, serving

FORECASTS = [a_forecast(seq=seq) for seq in (3, 4)]
URL = f"/v1/predictions/{MATCH}@3"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.keep(*FORECASTS)
        yield world


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with a_world(tmp_path_factory.mktemp("world")) as world:
        world.keep(*FORECASTS)
        with serving(world) as client:
            yield client


def test_the_record_holds_the_logged_forecast_its_hashes_and_its_inputs(client: TestClient) -> None:
    answer = client.get(URL)
    record = msgspec.json.decode(answer.content, type=PublishedRecord)
    assert record.forecast == FORECASTS[0]
    assert encode_published(FORECASTS[0]) in answer.content
    assert (record.row_hash, record.inputs) == (FORECASTS[0].row_hash, FORECASTS[0].inputs)


def test_percent_encoded_ids_work(client: TestClient) -> None:
    assert client.get("/v1/predictions/wyscout%3A2499841%404").json()["seq"] == 4
    assert client.post("/v1/predictions/wyscout%3A2499841%404/replay").json()["identical"]


@pytest.mark.parametrize(
    "name", [f"{MATCH}@5", "nobody:1@3", "wi-test-1-0-0", "wi-", "wi-x-1", "wi-test-1-0-99999999999", "@", "☃@3", "%00"]
)
def test_what_was_never_predicted_is_404(client: TestClient, name: str) -> None:
    for answer in (client.get(f"/v1/predictions/{name}"), client.post(f"/v1/predictions/{name}/replay")):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_replay_of_the_same_model_is_identical(client: TestClient) -> None:
    assert client.post(f"{URL}/replay").json() == {
        "identical": True,
        "prediction_id": f"{MATCH}@3",
        "model_version": "baseline-1",
        "runtime": {"recorded": {"torch": "2.13.0", "cpu_capability": "TEST"},
                    "here": {"torch": "2.13.0", "cpu_capability": "TEST"}},
        "largest_difference": 0.0,
        "note": "every value has the same bits",
    }  # fmt: skip


def test_a_replay_on_other_hardware_says_so_with_the_difference(world: World) -> None:
    async def elsewhere(inputs: list[ForecastInputs]) -> list[Prediction]:
        predictions = [predict_one(msgspec.structs.replace(each, clock_ms=each.clock_ms + 1)) for each in inputs]
        runtime = Runtime(torch="2.13.0", cpu_capability="OTHER")
        return [msgspec.structs.replace(each, runtime=runtime) for each in predictions]

    with serving(world, predict=elsewhere) as client:
        answer = client.post(f"{URL}/replay").json()
    assert not answer["identical"]
    assert 0 < answer["largest_difference"] < 1e-3
    assert answer["note"].startswith("other hardware")


def test_a_model_version_that_is_not_held_is_a_conflict_naming_those_that_are(world: World) -> None:
    world.models = ServedModels(live="baseline-2", versions={"baseline-2": {}})
    with serving(world) as client:
        answer = client.post(f"{URL}/replay")
    assert (answer.status_code, answer.json()["held"]) == (409, ["baseline-2"])
    assert "baseline-1" in answer.json()["detail"]


def test_a_prediction_of_a_version_that_is_kept_is_replayed_by_that_version_whatever_is_live(world: World) -> None:
    world.models = ServedModels(
        live="later-1", epoch=2, previous="baseline-1", versions={"later-1": {}, "baseline-1": {}}
    )

    async def live(inputs: list[ForecastInputs]) -> list[Prediction]:
        return [msgspec.structs.replace(predict_one(each), model_version="later-1") for each in inputs]

    async def named(version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
        return [msgspec.structs.replace(predict_one(each), model_version=version) for each in inputs]

    with serving(world, predict=live, predict_as=named) as client:
        answer = client.post(f"{URL}/replay").json()
        shown = client.get("/v1/models").json()
    assert (answer["identical"], answer["model_version"]) == (True, "baseline-1")
    assert (shown["live"], shown["epoch"], shown["previous"]) == ("later-1", 2, "baseline-1")


def test_inputs_that_are_gone_or_changed_are_a_conflict(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.keep(FORECASTS[0], snapshots=False)
        with serving(world) as client:
            assert client.get(URL).json()["inputs"] is None
            gone = client.post(f"{URL}/replay")
    assert (gone.status_code, "does not hold" in gone.json()["detail"]) == (409, True)
