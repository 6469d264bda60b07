"""Past states like the latest forecast's, over HTTP."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import msgspec
import pytest

from actors.domain.errors import SetupError
from actors.domain.past import PastStates
from serve_app.deps import ServedModels
from serve_app.messages import ComparablesAnswer
from tests.unit.api_world import MATCH, MODEL, World, a_fixture, a_forecast, a_world, opened, serving
from tests.unit.past import FIRST, UNTIL, past_states

URL = f"/v1/matches/{MATCH}/comparables"


class Shelf:
    """Past states to hand out, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked: list[date] = []
        self.missing = False
        self.ready = threading.Event()
        self.ready.set()

    def load(self, until: date) -> PastStates:
        self.asked.append(until)
        self.ready.wait(5)
        if self.missing:
            raise SetupError("/secret/folder/understat/matches.parquet: no such file")
        return past_states()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        world.announce(a_fixture())
        world.models = ServedModels(live=MODEL, versions={MODEL: {"trained_until": UNTIL.isoformat()}})
        world.publish(opened(), a_forecast(seq=3))
        yield world


def test_the_nearest_past_matches_are_named_with_what_happened_next(world: World, shelf: Shelf) -> None:
    with serving(world, past_states=shelf.load) as client:
        answer = client.get(URL)
    assert answer.status_code == 200
    body = msgspec.json.decode(answer.content, type=ComparablesAnswer)
    assert (body.prediction_id, body.model_version, body.comparables_reason) == (f"{MATCH}@3", MODEL, None)
    found = body.comparables
    assert found is not None
    assert [each.distance for each in found.nearest] == sorted(each.distance for each in found.nearest)
    assert found.nearest[0].match.day >= FIRST
    assert found.result.home + found.result.draw + found.result.away == pytest.approx(1)
    assert (found.before, shelf.asked) == (UNTIL, [UNTIL])


def test_those_who_ask_while_it_is_loaded_wait_for_the_one_load(world: World, shelf: Shelf) -> None:
    shelf.ready.clear()
    with serving(world, past_states=shelf.load) as client, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(client.get, URL) for _ in range(3)]
        assert client.get("/healthz").status_code == 200
        shelf.ready.set()
        assert [each.result().status_code for each in answers] == [200, 200, 200]
        assert client.get(URL).status_code == 200
    assert shelf.asked == [UNTIL]


def test_data_that_is_not_there_is_404_without_its_path_and_is_looked_for_again(world: World, shelf: Shelf) -> None:
    shelf.missing = True
    with serving(world, past_states=shelf.load) as client:
        answer = client.get(URL)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert "data.root must hold understat" in answer.json()["detail"]
        assert "secret" not in answer.text
        shelf.missing = False
        assert client.get(URL).status_code == 200


def test_a_model_that_does_not_say_what_it_knows_is_compared_with_nothing(world: World, shelf: Shelf) -> None:
    world.models = ServedModels(live=MODEL, versions={MODEL: {}})
    with serving(world, past_states=shelf.load) as client:
        answer = client.get(URL)
    assert answer.status_code == 404
    assert MODEL in answer.json()["detail"]
    assert shelf.asked == []


def test_matches_of_the_same_day_or_later_are_not_compared_with(world: World, shelf: Shelf) -> None:
    early = a_fixture()
    kick_off = early.kick_off.replace(year=FIRST.year, month=4, day=10)
    world.announce(msgspec.structs.replace(early, kick_off=kick_off))
    with serving(world, past_states=shelf.load) as client:
        found = msgspec.json.decode(client.get(URL).content, type=ComparablesAnswer).comparables
    assert found is not None
    assert (found.before, found.searched) == (kick_off.date(), 50)
    assert all(each.match.day < kick_off.date() for each in found.nearest)


def test_an_unknown_match_is_404(world: World, shelf: Shelf) -> None:
    with serving(world, past_states=shelf.load) as client:
        assert client.get("/v1/matches/nobody:1/comparables").status_code == 404
