"""Reading matches over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from actors.domain.distribution import ForecastInputs
from actors.domain.events import Clock, Score
from actors.domain.features import Extracted, PreMatch, extract
from actors.domain.fixtures import Fixture
from actors.domain.forecast import encode_published
from actors.domain.health import NOT_ASKED
from actors.domain.match import new_match
from actors.domain.ports import FORECASTS, NewRecord
from serve_app.deps import Limits
from serve_app.features import CATALOGUE
from serve_app.matches import label
from serve_app.messages import ForecastBody
from tests.conftest import eventually
from tests.unit.api_world import (
    MATCH,
    OTHER,
    World,
    a_fixture,
    a_forecast,
    a_price,
    a_pulse,
    a_world,
    beat_until,
    opened,
    serving,
)

FORECAST = f"/v1/matches/{MATCH}/forecast"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.announce(a_fixture(), a_fixture(OTHER, partition=1))
        yield world


def _becomes(world: World, client: TestClient, state: str, offset: int) -> None:
    def is_so() -> bool:
        return bool(client.get(FORECAST).json()["freshness"]["state"] == state)

    beat_until(world, is_so, a_pulse(offset=offset))


def test_a_forecast_body_is_the_logged_record_with_freshness_behind_it(world: World) -> None:
    forecast = a_forecast(seq=3)
    world.publish(opened(), forecast)
    with serving(world) as client:
        answer = client.get(FORECAST)
    assert answer.status_code == 200
    assert answer.content.startswith(encode_published(forecast)[:-1] + b',"freshness":{')
    assert list(answer.json())[-1] == "freshness"
    msgspec.json.decode(answer.content, type=ForecastBody)


def test_percent_encoded_ids_name_the_same_match(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        assert client.get("/v1/matches/wyscout%3A2499841/forecast").json()["match_id"] == MATCH


def test_a_number_read_at_start_is_suspended_until_its_owner_is_heard(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3), a_pulse(offset=3))
    with serving(world) as client:
        assert client.get(FORECAST).json()["freshness"]["state"] == "SUSPENDED"
        _becomes(world, client, "FRESH", 3)


def test_a_silent_owner_makes_a_number_stale_then_suspended_and_never_fresh(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        _becomes(world, client, "FRESH", 3)
        world.clock.ahead_s += 4
        stale = client.get(FORECAST).json()["freshness"]
        world.clock.ahead_s += 7
        suspended = client.get(FORECAST).json()["freshness"]
    assert (stale["state"], suspended["state"]) == ("STALE", "SUSPENDED")
    assert suspended["age_s"] > stale["age_s"] >= 4


def test_an_edge_is_shown_only_while_the_number_is_fresh(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3, price=a_price()))
    with serving(world) as client:
        assert client.get(FORECAST).json()["price"]["edge"] is None
        _becomes(world, client, "FRESH", 3)
        assert client.get(FORECAST).json()["price"]["edge"] == [0.05, -0.1, -0.1]
        assert client.get("/v1/matches").json()["matches"][0]["price"]["edge"] == [0.05, -0.1, -0.1]
        world.clock.ahead_s += 4
        assert client.get(FORECAST).json()["price"]["edge"] is None
        assert client.get("/v1/matches").json()["matches"][0]["price"]["edge"] is None


@pytest.mark.parametrize("change", [{"status": "VAR_REVIEW"}, {"status": "MODEL_FALLBACK"}])
def test_an_edge_is_not_shown_beside_any_other_status(world: World, change: dict[str, object]) -> None:
    world.publish(opened(), a_forecast(seq=3, price=a_price(), **change))
    with serving(world) as client:
        _becomes(world, client, "FRESH", 3)
        assert client.get(FORECAST).json()["price"]["edge"] is None


def test_a_known_etag_gives_304_until_seq_or_freshness_changes(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        _becomes(world, client, "FRESH", 3)
        tag = client.get(FORECAST).headers["etag"]
        assert tag == '"1-3-F"'
        again = client.get(FORECAST, headers={"If-None-Match": f'"x", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-cache"
        world.clock.ahead_s += 4
        assert client.get(FORECAST, headers={"If-None-Match": tag}).headers["etag"] == '"1-3-T"'
        world.publish(a_forecast(seq=4))
        eventually(lambda: client.get(FORECAST).json()["seq"] == 4)
        assert client.get(FORECAST, headers={"If-None-Match": tag}).status_code == 200


def test_the_list_shows_announced_matches_with_what_is_known_of_them(world: World) -> None:
    world.publish(opened(), a_forecast(seq=2, score=Score(1, 0), price=a_price()))
    with serving(world) as client:
        live, waiting = client.get("/v1/matches").json()["matches"]
        only_live = client.get("/v1/matches?status=live").json()["matches"]
    assert (live["match_id"], live["score"], live["clock"]["label"], live["seq"]) == (MATCH, [1, 0], "3'", 2)
    assert live["headline"]["home"] > live["headline"]["away"]
    assert (waiting["match_id"], waiting["phase"], waiting["headline"]) == (OTHER, "scheduled", None)
    assert [each["match_id"] for each in only_live] == [MATCH]


def test_pages_hold_every_match_once(world: World) -> None:
    names = [f"statsbomb:{number}" for number in range(5)]
    world.announce(*(a_fixture(name) for name in names))
    with serving(world) as client:
        eventually(lambda: len(client.get("/v1/matches").json()["matches"]) == 7)
        seen, cursor = [], ""
        while cursor is not None:
            page = client.get(f"/v1/matches?limit=3{cursor and '&cursor=' + cursor}").json()
            seen += [each["match_id"] for each in page["matches"]]
            cursor = page["next_cursor"]
    assert seen == sorted([*names, MATCH, OTHER])


def test_the_timeline_comes_from_history_oldest_first(world: World) -> None:
    forecasts = [a_forecast(seq=seq) for seq in (1, 4, 9, 11)]
    world.keep(*forecasts)
    with serving(world) as client:
        first = client.get(f"/v1/matches/{MATCH}/forecasts?limit=3").json()
        rest = client.get(f"/v1/matches/{MATCH}/forecasts?limit=3&cursor={first['next_cursor']}").json()
        none_yet = client.get(f"/v1/matches/{OTHER}/forecasts").json()
        unknown = client.get("/v1/matches/nobody:1/forecasts")
    assert [each["seq"] for each in first["forecasts"] + rest["forecasts"]] == [1, 4, 9, 11]
    assert (rest["next_cursor"], none_yet) == (None, {"forecasts": [], "next_cursor": None})
    assert unknown.status_code == 404
    one = first["forecasts"][1]
    assert (one["prediction_id"], one["clock"]) == (f"{MATCH}@4", {"period": 1, "ms": 240_000})


def test_a_match_that_left_the_view_is_answered_from_history(world: World) -> None:
    world.keep(*(a_forecast("gone:1", seq=seq, phase="finished") for seq in (1, 4)))
    with serving(world) as client:
        body = client.get("/v1/matches/gone:1/forecast").json()
        item = client.get("/v1/matches/gone:1").json()
    assert (body["seq"], item["seq"], item["phase"], item["clock"]["label"]) == (4, 4, "finished", "FT")
    assert (body["freshness"]["state"], body["freshness"]["age_s"] > 0) == ("FRESH", True)


def test_a_retired_match_is_forgotten_after_a_while(tmp_path: Path) -> None:
    with a_world(tmp_path, limits=Limits(forget_after_s=60)) as world:
        world.announce(a_fixture(retired=True), a_fixture(OTHER, partition=1))
        world.publish(opened(), a_forecast(seq=3, phase="finished"))
        with serving(world) as client:
            assert client.get(FORECAST).json()["freshness"]["state"] == "FRESH"
            world.clock.ahead_s += 61
            beat_until(world, lambda: client.get(FORECAST).status_code == 404, a_pulse(OTHER, offset=1))


def test_a_zombies_forecast_is_not_shown(world: World) -> None:
    world.publish(opened(epoch=1), opened(epoch=2), a_forecast(seq=5, epoch=2), a_forecast(seq=9, epoch=1))
    with serving(world) as client:
        assert client.get(FORECAST).json()["seq"] == 5


def test_what_cannot_be_read_in_the_log_is_skipped(world: World) -> None:
    world.log.append(
        FORECASTS,
        0,
        [
            NewRecord(key=MATCH, value=b"\xff\x00 no json"),
            NewRecord(key=MATCH, value=None),
            NewRecord(key="somebody:else", value=encode_published(a_forecast(seq=8))),
        ],
    )
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        assert client.get(FORECAST).json()["seq"] == 3


def test_inputs_come_with_unit_source_and_age_and_missing_is_null(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        _becomes(world, client, "FRESH", 3)
        answer = client.get(f"/v1/matches/{MATCH}/inputs").json()
    values = {each["name"]: each for each in answer["inputs"]}
    assert values["clock_ms"]["value"] == 180_000
    assert values["clock_ms"]["age_s"] < 3
    assert (values["anchor_1x2"]["value"], values["anchor_1x2"]["age_s"]) == (None, None)


def test_inputs_of_the_catalogue_are_those_of_the_forecasts_own_record(world: World) -> None:
    asked: list[tuple[str, int]] = []

    def extract_at(fixture: Fixture, seq: int) -> Extracted:
        asked.append((fixture.match_id, seq))
        return extract(new_match(fixture), PreMatch(numbers={"go_supremacy": 0.5}))

    world.publish(opened(), a_forecast(seq=3))
    with serving(world, match_inputs=extract_at) as client:
        _becomes(world, client, "FRESH", 3)
        answer = client.get(f"/v1/matches/{MATCH}/inputs").json()
    values = {each["name"]: each for each in answer["match_inputs"]}
    assert asked[-1] == (MATCH, 3)
    assert (values["go_supremacy"]["value"], values["go_supremacy"]["group"]) == (0.5, "ratings")
    assert (values["home_passes_match"]["value"], values["home_passes_match"]["most"]) == (None, 40.0)
    assert answer["match_inputs_reason"] is None


def test_inputs_that_nobody_can_fold_any_more_are_missing_with_a_reason(world: World) -> None:
    world.publish(opened(), a_forecast(seq=3))
    with serving(world) as client:
        _becomes(world, client, "FRESH", 3)
        answer = client.get(f"/v1/matches/{MATCH}/inputs").json()
    assert (answer["match_inputs"], "log" in answer["match_inputs_reason"]) == (None, True)


def test_the_catalogue_names_every_input_once(world: World) -> None:
    with serving(world) as client:
        features = client.get("/v1/features").json()["features"]
    names = [each["name"] for each in features]
    assert len(names) == len(set(names)) > 500
    assert all(each[key] for each in features for key in each)


def test_the_catalogue_names_every_input_of_the_model() -> None:
    assert [each.name for each in CATALOGUE] == list(ForecastInputs.__struct_fields__)
    for each in CATALOGUE:
        assert all(getattr(each, name) for name in each.__struct_fields__)


def test_before_the_view_is_filled_nothing_is_said_of_matches(world: World) -> None:
    class NotYet:
        def __getattr__(self, name: str) -> object:
            return getattr(world.log, name)

        def end_offsets(self, topic: str) -> dict[int, int]:
            from actors.domain.errors import StoreUnavailable

            raise StoreUnavailable("log", "end_offsets", "not there yet")

    world.models = msgspec.structs.replace(world.models, live=None)
    with serving(world, log=NotYet()) as client:
        for path in ("/readyz", "/v1/matches", FORECAST, f"/v1/matches/{MATCH}", "/v1/stream"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), path
        assert client.get("/healthz").json() == {"status": "alive"}


def test_without_a_model_the_replica_is_not_ready(world: World) -> None:
    world.models = msgspec.structs.replace(world.models, live=None)
    with serving(world) as client:
        eventually(lambda: client.get("/v1/matches").status_code == 200)
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "no model" in answer.json()["detail"]


def test_models_say_which_is_live(world: World) -> None:
    with serving(world) as client:
        answer = client.get("/v1/models").json()
    [model] = answer.pop("models")
    assert answer == {"live": "baseline-1", "epoch": 0, "previous": None}
    health = model.pop("health")
    assert model == {"version": "baseline-1", "live": True, "manifest": {"metrics": {"rps": 0.19}}}
    assert (health["live"]["phases"], health["live"]["phases_reason"]) == (None, NOT_ASKED)


@pytest.mark.parametrize(
    ("clock", "phase", "text"),
    [
        (Clock(0, 0), "scheduled", ""),
        (Clock(1, 0), "live", "1'"),
        (Clock(1, 44 * 60_000 + 59_999), "live", "45'"),
        (Clock(1, 45 * 60_000), "live", "45+1'"),
        (Clock(2, 0), "break", "HT"),
        (Clock(2, 46 * 60_000), "live", "90+2'"),
        (Clock(3, 60_000), "live", "92'"),
        (Clock(4, 15 * 60_000), "live", "120+1'"),
        (Clock(5, 0), "live", "pens"),
        (Clock(2, 50 * 60_000), "finished", "FT"),
    ],
)
def test_match_time_is_written_as_on_a_scoreboard(clock: Clock, phase: str, text: str) -> None:
    assert label(clock, phase) == text  # type: ignore[arg-type]
