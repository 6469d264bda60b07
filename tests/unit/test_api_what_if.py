"""What-ifs: other states and prices, answered by the network, recorded, looked up and replayed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from actors.domain.distribution import ForecastInputs, GoalAt, Intervals, Prediction
from actors.domain.errors import MalformedMarket, NoModel, Overloaded, StoreUnavailable
from actors.domain.events import Score
from actors.domain.ports import WhatIfStore
from serve_app.deps import Limits, ServedModels
from serve_app.messages import WhatIfAnswer, WhatIfRecord
from serve_app.what_if import goals_of
from tests.conftest import eventually
from tests.unit.api_world import MATCH, World, a_fixture, a_forecast, a_world, opened, predict_one, serving
from tests.unit.test_what_if_rows import an_older_record

URL = f"/v1/matches/{MATCH}/forecast"
BATCH = "/v1/forecasts:batch"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=30))
        yield world


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with serving(world) as client:
        yield client


FELL = (GoalAt(1, 600_000, "away"), GoalAt(1, 900_000, "home"), GoalAt(2, 300_000, "home"))
NOW = {"period": 2, "clock_ms": 400_000, "home_goals": 2, "away_goals": 1, "goals": FELL}


@pytest.mark.parametrize(
    ("changes", "goals"),
    [
        pytest.param({}, FELL, id="as it is"),
        pytest.param({"goals": None}, None, id="not known when they fell"),
        pytest.param({"home_goals": 1}, FELL[:2], id="one less"),
        pytest.param({"home_goals": 3}, (*FELL, GoalAt(2, 400_000, "home")), id="one more"),
        pytest.param({"clock_ms": 300_000}, FELL, id="at the very goal"),
        pytest.param(
            {"period": 1, "clock_ms": 700_000}, (FELL[0], *[GoalAt(1, 700_000, "home")] * 2), id="the clock back"
        ),
    ],
)
def test_goals_go_with_the_score_and_the_clock(changes: dict[str, Any], goals: tuple[GoalAt, ...] | None) -> None:
    assert goals_of(ForecastInputs(**{**NOW, **changes})) == goals


def test_a_what_if_changes_what_is_named_and_nothing_else(client: TestClient) -> None:
    change = {
        "score": [2, 1],
        "clock": {"period": 2, "ms": 60_000},
        "reds": [0, 1],
        "prices": {"1x2": [1.5, 4.2, 7], "over_under": {"line": 2.5, "over": 1.9, "under": 2.0}},
    }
    answer = client.post(URL, json=change)
    assert answer.status_code == 200
    body = msgspec.json.decode(answer.content, type=WhatIfAnswer)
    expected = ForecastInputs(
        period=2,
        clock_ms=60_000,
        home_goals=2,
        away_goals=1,
        away_reds=1,
        anchor_1x2=(1.5, 4.2, 7.0),
        anchor_over_under=(2.5, 1.9, 2.0),
    )
    assert body.inputs == expected
    assert body.markets.one_x_two.home > 0.7
    assert answer.json()["changed"]["home_goals"] == {"from": 0, "to": 2}
    assert (body.based_on, body.seq, body.model_version) == (f"{MATCH}@30", 30, "baseline-1")


def test_a_what_if_of_nothing_is_the_forecast_itself(client: TestClient) -> None:
    body = client.post(URL, json={}).json()
    assert body["changed"] == {}
    assert body["markets"] == client.get(URL).json()["markets"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scroe": [1, 0]}, "scroe"),
        ({"score": [1]}, "score"),
        ({"score": [1, -1]}, "score[1]"),
        ({"score": [1, 2.5]}, "score[1]"),
        ({"score": [1, 10**30]}, "score[1]"),
        ({"clock": {"period": 6, "ms": 0}}, "clock.period"),
        ({"clock": {"period": 1, "ms": -5}}, "clock.ms"),
        ({"reds": [0, 12]}, "reds[1]"),
        ({"prices": {"1x2": [1.0, 2, 3]}}, "prices.1x2[0]"),
        ({"prices": {"1x2": [1.5, 2, 1e9]}}, "prices.1x2[2]"),
        ({"prices": {"corners": 3}}, "prices.corners"),
        ({"prices": {"over_under": {"line": 2.5, "over": 1.9}}}, "prices.over_under"),
        ([], "body"),
        ("{", "body"),
    ],
)
def test_a_wrong_body_is_refused_naming_the_field(client: TestClient, body: Any, field: str) -> None:
    answer = client.post(URL, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["field"] == field


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"score":[NaN,1]}', b"[" * 100_000, b'{"score":[1e400,0]}'])
def test_what_is_no_json_is_refused(client: TestClient, raw: bytes) -> None:
    answer = client.post(URL, content=raw[:60_000], headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["field"]


def test_an_answer_can_be_looked_up_and_replayed_at_once_and_after_it_was_written(
    world: World, client: TestClient
) -> None:
    answer = client.post(URL, json={"score": [1, 0]}).json()
    url = f"/v1/predictions/{answer['prediction_id']}"
    assert client.get(url).json()["what_if"] == answer
    eventually(lambda: world.history.what_ifs("test-1", 0))
    record = client.get(url)
    assert record.json()["what_if"] == answer
    msgspec.json.decode(record.content, type=WhatIfRecord)
    replay = client.post(f"{url}/replay").json()
    assert (replay["identical"], replay["largest_difference"]) == (True, 0.0)


def test_an_answer_carries_intervals_where_the_model_has_them_and_says_why_where_not(world: World) -> None:
    bounds = Intervals(level=0.9, home=(0.6, 0.7), draw=(0.2, 0.3), away=(0.05, 0.1))

    async def with_intervals(inputs: list[ForecastInputs]) -> list[Prediction]:
        return [msgspec.structs.replace(predict_one(each), intervals=bounds) for each in inputs]

    with serving(world) as client:
        without = client.post(URL, json={}).json()
    assert (without["intervals"], "no ensemble" in without["intervals_reason"]) == (None, True)
    with serving(world, predict=with_intervals) as client:
        answer = client.post(URL, json={"score": [1, 0]}).json()
        replay = client.post(f"/v1/predictions/{answer['prediction_id']}/replay").json()
    assert (answer["intervals"]["home"], answer["intervals_reason"]) == ([0.6, 0.7], "")
    assert replay["identical"]


def test_another_replica_finds_what_was_written(world: World, client: TestClient, tmp_path: Path) -> None:
    name = client.post(URL, json={"score": [1, 0]}).json()["prediction_id"]
    eventually(lambda: world.history.what_ifs("test-1", 0))
    with serving(world, replica="test#2") as other:
        assert other.get(f"/v1/predictions/{name}").json()["prediction_id"] == name


def test_a_thousand_what_ifs_are_one_request_and_one_row(world: World, client: TestClient) -> None:
    items = [{"match_id": MATCH, "clock": {"period": 1, "ms": 1_000 * number}} for number in range(1_000)]
    results = client.post(BATCH, json={"items": items}).json()["results"]
    assert [each["what_if"]["inputs"]["clock_ms"] for each in results] == list(range(0, 1_000_000, 1_000))
    eventually(lambda: world.history.what_ifs("test-1", 0))
    assert len(world.history.what_ifs("test-1", 0) or b"") < 100 * 1_000
    assert client.get(f"/v1/predictions/{results[999]['what_if']['prediction_id']}").status_code == 200


def test_a_batch_answers_each_item_by_itself(client: TestClient) -> None:
    items = [{"match_id": MATCH}, {"match_id": "nobody:1"}, {"match_id": MATCH, "score": [0, 3]}]
    latest, problem, what_if = client.post(BATCH, json={"items": items}).json()["results"]
    assert latest["forecast"]["seq"] == 30
    assert (problem["problem"]["status"], "nobody:1" in problem["problem"]["detail"]) == (404, True)
    assert what_if["what_if"]["markets"]["one_x_two"]["away"] > 0.9


@pytest.mark.parametrize("count", [0, 1_001, 10_000])
def test_a_batch_of_too_many_or_none_is_refused(client: TestClient, count: int) -> None:
    answer = client.post(BATCH, json={"items": [{"match_id": MATCH}] * count})
    assert (answer.status_code, answer.json()["field"]) == (422, "items")


class _Broken:
    """A store that does not answer."""

    def __init__(self) -> None:
        self.tries = 0
        self.heals = False
        self.kept: dict[tuple[str, int], bytes] = {}

    def write_what_ifs(self, replica: str, batch: int, payload: bytes) -> None:
        self.tries += 1
        if not self.heals:
            raise StoreUnavailable("history", "write_what_ifs", "down")
        self.kept[replica, batch] = payload

    def what_ifs(self, replica: str, batch: int) -> bytes | None:
        return self.kept.get((replica, batch))


def test_a_full_record_refuses_with_429_and_takes_again_once_the_store_answers(tmp_path: Path) -> None:
    store: WhatIfStore = (broken := _Broken())
    with a_world(tmp_path, limits=Limits(what_ifs_waiting=3)) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=30))
        with serving(world, what_ifs=store) as client:
            names = [client.post(URL, json={}).json()["prediction_id"] for _ in range(3)]
            refused = client.post(URL, json={})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            broken.heals = True
            eventually(lambda: client.post(URL, json={}).status_code == 200)
            assert all(client.get(f"/v1/predictions/{name}").status_code == 200 for name in names)


def test_what_waits_is_written_at_shutdown(world: World) -> None:
    with serving(world) as client:
        client.post(URL, json={})
    assert world.history.what_ifs("test-1", 0) is not None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoModel("none committed"), 503),
        (Overloaded("forecaster", 100, 2.5), 429),
        (MalformedMarket("1x2", "a book of 40 %"), 422),
        (RuntimeError("a secret of the inside"), 500),
    ],
)
def test_what_the_forecaster_says_becomes_a_problem(world: World, error: Exception, status: int) -> None:
    async def failing(inputs: list[ForecastInputs]) -> list[Prediction]:
        raise error

    with serving(world, predict=failing) as client:
        answer = client.post(URL, json={})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"]


def test_score_counts_from_the_match_as_it_stands(world: World, client: TestClient) -> None:
    world.publish(a_forecast(seq=31, score=Score(1, 1)))
    eventually(lambda: client.get(URL).json()["seq"] == 31)
    body = client.post(URL, json={"score": [2, 1]}).json()
    assert body["changed"] == {"home_goals": {"from": 1, "to": 2}}


def test_a_record_of_the_older_form_is_found_and_replayed(world: World, client: TestClient) -> None:
    world.history.write_what_ifs("old", 3, msgspec.json.encode([an_older_record("wi-old-3-0")]))
    record = client.get("/v1/predictions/wi-old-3-0").json()
    assert (record["what_if"]["inputs"]["home_goals"], record["identical"]) == (1, None)
    assert client.post("/v1/predictions/wi-old-3-0/replay").json()["identical"]


def test_values_that_come_out_otherwise_are_told_at_a_look_and_at_a_replay(world: World) -> None:
    async def otherwise(version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
        return [predict_one(msgspec.structs.replace(each, clock_ms=each.clock_ms + 60_000)) for each in inputs]

    with serving(world, predict_as=otherwise) as client:
        url = f"/v1/predictions/{client.post(URL, json={'score': [1, 0]}).json()['prediction_id']}"
        record, replay = client.get(url).json(), client.post(f"{url}/replay").json()
    assert record["identical"] is False
    assert replay["identical"] is False
    assert 0 < replay["largest_difference"] < 0.1


def test_a_record_whose_model_is_gone_is_409(world: World) -> None:
    with serving(world) as client:
        url = f"/v1/predictions/{client.post(URL, json={}).json()['prediction_id']}"
        world.models = ServedModels(live="other-2", versions={"other-2": {}})
        answer = client.get(url)
    assert (answer.status_code, answer.json()["held"]) == (409, ["other-2"])


def test_a_damaged_record_is_409(world: World, client: TestClient) -> None:
    world.history.write_what_ifs("bad", 0, b"x\x9c nothing")
    assert client.get("/v1/predictions/wi-bad-0-0").status_code == 409
