"""The replicas' own listener: order, split and slow requests, bounds, and how it goes."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.domain.distribution import ForecastInputs, Prediction
from serve_app.activity import TENANT
from serve_app.deps import Limits
from tests.conftest import eventually
from tests.unit.api_world import MATCH, World, a_fixture, a_forecast, a_world, opened
from tests.unit.listener_world import PATH, RawClient, Replica, client_of, connects, get, post, predict_all, replica


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, limits=Limits(body_timeout_s=0.3)) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=30))
        yield world


@pytest.fixture
def running(world: World) -> Iterator[Replica]:
    with replica(world) as running:
        yield running


@pytest.fixture
def client(running: Replica) -> Iterator[RawClient]:
    with client_of(running) as client:
        yield client


def home_goals(body: bytes) -> int:
    return int(json.loads(body)["inputs"]["home_goals"])


def test_a_what_if_and_a_read_on_one_connection(client: RawClient) -> None:
    client.send(post(b'{"score":[2,1]}'), get())
    what_if, read = client.answer(), client.answer()
    assert (what_if.status, home_goals(what_if.body), read.status) == (200, 2, 200)
    assert json.loads(read.body)["freshness"]["state"] == "SUSPENDED"
    client.send(get(If_None_Match=read.headers["etag"]))
    assert client.answer().status == 304


def test_pipelined_requests_are_answered_in_their_order_whoever_answers_them(client: RawClient) -> None:
    others = [get("/healthz"), get(), get("/v1/matches"), get("/v1/features")]
    asked = [part for n in range(20) for part in (post(b'{"score":[%d,0]}' % n), others[n % 4])]
    client.send(b"".join(asked))
    answers = [client.answer() for _ in asked]
    assert [home_goals(each.body) for each in answers[::2]] == list(range(20))
    assert [sorted(json.loads(each.body))[0] for each in answers[1::2]] == [
        "status",
        "as_of",
        "matches",
        "features",
    ] * 5


def test_a_request_may_come_byte_by_byte(client: RawClient) -> None:
    for byte in post(b'{"score":[3,0]}'):
        client.send(bytes([byte]))
    assert home_goals(client.answer().body) == 3


def test_a_body_may_come_behind_its_head(client: RawClient) -> None:
    head, body = post(b'{"score":[4,0]}')[:-15], b'{"score":[4,0]}'
    client.send(head)
    time.sleep(0.05)
    client.send(body)
    assert home_goals(client.answer().body) == 4


@pytest.mark.parametrize("cut", [10, -5], ids=["head", "body"])
def test_a_request_that_does_not_end_is_ended(client: RawClient, cut: int) -> None:
    client.send(post(b'{"score":[4,0]}')[:cut])
    answer = client.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert client.is_ended()


def test_a_head_without_an_end_is_refused(client: RawClient) -> None:
    client.send(b"GET / HTTP/1.1\r\n", *[b"x: " + b"y" * 1000 + b"\r\n"] * 66)  # the last is the one too many
    assert client.answer().status == 431
    assert client.is_ended()


def test_what_is_no_http_is_refused(client: RawClient) -> None:
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert client.answer().status == 400
    assert client.is_ended()


def test_a_connection_is_ended_after_its_last_request(world: World) -> None:
    with replica(world, requests=3) as running, client_of(running) as client:
        client.send(b"".join((post(b"{}"), get(), post(b"{}"), post(b"{}"))))  # in one piece: what comes later is reset
        answers = [client.answer() for _ in range(3)]
        assert [each.headers.get("connection") for each in answers] == [None, None, "close"]
        assert client.is_ended()


def test_the_last_request_may_be_the_apps(world: World) -> None:
    with replica(world, requests=1) as running, client_of(running) as client:
        client.send(get("/healthz"))
        assert client.answer().headers["connection"] == "close"
        assert client.is_ended()


@pytest.mark.parametrize("request_bytes", [get(Connection="close"), post(b"{}", Connection="close")])
def test_a_client_may_ask_for_the_end(client: RawClient, request_bytes: bytes) -> None:
    client.send(request_bytes)
    assert client.answer().headers["connection"] == "close"
    assert client.is_ended()


def test_what_waits_for_the_model_is_bounded(world: World) -> None:
    with replica(world, waiting=5, window_s=0.2) as running, client_of(running) as client:
        client.send(post(b"{}") * 8)
        answers = [client.answer() for _ in range(8)]
    assert [each.status for each in answers] == [200] * 5 + [429] * 3
    assert (answers[-1].headers["retry-after"], answers[-1].headers["content-type"]) == (
        "1",
        "application/problem+json",
    )


def test_connections_are_bounded(world: World) -> None:
    with replica(world, connections=1) as running, client_of(running) as client:
        client.send(get())
        assert client.answer().status == 200
        with client_of(running) as other:
            other.send(get())
            assert other.answer().status == 429
            assert other.is_ended()


def test_a_failure_of_the_model_is_told_to_all_who_wait(world: World) -> None:
    def failing(inputs: list[ForecastInputs]) -> list[Prediction]:
        raise RuntimeError("a secret of the inside")

    with replica(world, predict=failing) as running, client_of(running) as client:
        client.send(post(b"{}") * 2)
        answers = [client.answer(), client.answer()]
    assert [each.status for each in answers] == [500, 500]
    assert b"secret" not in answers[0].body


def test_what_comes_in_one_turn_is_one_batch_and_matches_come_first(world: World) -> None:
    sizes = list[int]()

    def counting(inputs: list[ForecastInputs]) -> list[Prediction]:
        sizes.append(len(inputs))
        return predict_all(inputs)

    with replica(world, predict=counting, window_s=0.05) as running, client_of(running) as client:
        client.send(post(b"{}") * 40)
        assert {client.answer().status for _ in range(40)} == {200}
    assert sizes == [32, 8]


def test_a_closing_listener_answers_what_it_has_and_lets_others_take_the_rest(world: World) -> None:
    with replica(world, linger_s=0.5) as old, replica(world, port=old.port) as new:
        clients = [RawClient(old.port) for _ in range(40)]
        for each in clients:
            each.send(get())
            assert each.answer().status == 200
        closing = threading.Thread(target=old.close)
        closing.start()
        eventually(lambda: not old.hosted.listens)
        for each in clients:
            each.send(post(b"{}"))
        answers = [each.answer() for each in clients]
        assert {each.status for each in answers} == {200}
        assert any(each.headers.get("connection") == "close" for each in answers)
        closing.join(5)
        assert connects(new.port)
        for each in clients:
            each.close()


def test_requests_are_counted_by_route_and_status(world: World) -> None:
    with replica(world) as running, client_of(running) as client:
        client.send(post(b"{}"), post(b"{"), get(), get("/healthz"))
        for _ in range(4):
            client.answer()
    counted = {(row.route, row.status): row.count for row in world.history.activity(TENANT, datetime.now(UTC).date())}
    assert counted["/v1/matches/{match_id}/forecast", 200] == 2
    assert counted["/v1/matches/{match_id}/forecast", 422] == 1


def test_what_ifs_are_recorded_found_and_replayed(world: World) -> None:
    with replica(world) as running, client_of(running) as client:
        client.send(post(b'{"score":[1,0]}'))
        answer = json.loads(client.answer().body)
        client.send(get(f"/v1/predictions/{answer['prediction_id']}"))
        assert json.loads(client.answer().body)["what_if"] == answer
        client.send(post(b"", f"/v1/predictions/{answer['prediction_id']}/replay"))
        assert json.loads(client.answer().body)["identical"]


def test_the_path_is_that_of_a_match(client: RawClient) -> None:
    assert PATH.endswith(f"{MATCH}/forecast")
    client.send(get("/v1/matches/nobody:1/forecast"), get("/v1/matches/a%2Fb/forecast"))
    assert [client.answer().status, client.answer().status] == [404, 404]
