"""The replicas' own listener answers as the app behind Serve's ingress does: same status, headers and body."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from actors.domain.events import Score
from serve_app.deps import Limits
from tests.unit.api_world import OTHER, World, a_fixture, a_forecast, a_price, a_world, listening, opened
from tests.unit.listener_world import PATH, replica

JSON = {"Content-Type": "application/json"}
IGNORED = {"date", "server", "content-length", "transfer-encoding"}  # content-length: ages have another length
VARIES = re.compile(rb'"(prediction_id|age_s|feed_silent_s|at)":("wi-[^"]*"|[0-9.e-]+|"[^"]*Z")')

Sent = tuple[str, str, dict[str, str], bytes | None]
REQUESTS: dict[str, Sent] = {
    "read": ("GET", PATH, {}, None),
    "read, with an edge": ("GET", f"/v1/matches/{OTHER}/forecast", {}, None),
    "read, tag known": ("GET", PATH, {"If-None-Match": '"0-0-F", "1-30-S"'}, None),
    "read, any tag": ("GET", PATH, {"If-None-Match": "*"}, None),
    "read, weak tag": ("GET", PATH, {"If-None-Match": 'W/"1-30-S"'}, None),
    "read, another tag": ("GET", PATH, {"If-None-Match": '"1-29-S"'}, None),
    "head": ("HEAD", PATH, {}, None),
    "read as html": ("GET", PATH, {"Accept": "text/html"}, None),
    "read as a browser": ("GET", PATH, {"Accept": "text/html,*/*;q=0.8"}, None),
    "read with a query": ("GET", f"{PATH}?a=1", {}, None),
    "read of nobody": ("GET", "/v1/matches/nobody:1/forecast", {}, None),
    "read of an odd id": ("GET", "/v1/matches/a%2Fb%00/forecast", {}, None),
    "read with a slash": ("GET", f"{PATH}/", {}, None),
    "delete": ("DELETE", PATH, {}, None),
    "post": ("POST", PATH, JSON, b'{"score":[2,1],"reds":[0,1]}'),
    "post everything": (
        "POST",
        PATH,
        JSON,
        b'{"score":[1,1],"clock":{"period":2,"ms":5},"reds":[1,0],"prices":{"1x2":[2,3,4]}}',
    ),
    "post nothing to change": ("POST", PATH, JSON, b"{}"),
    "post with a charset": ("POST", PATH, {"Content-Type": "application/json; charset=utf-8"}, b"{}"),
    "post text": ("POST", PATH, {"Content-Type": "text/plain"}, b"{}"),
    "post encoded": ("POST", PATH, {**JSON, "Content-Encoding": "gzip"}, b"{}"),
    "post without a body": ("POST", PATH, JSON, b""),
    "post no JSON": ("POST", PATH, JSON, b"{"),
    "post no UTF-8": ("POST", PATH, JSON, b'{"score":"\xff"}'),
    "post an unknown field": ("POST", PATH, JSON, b'{"scroe":[1,0]}'),
    "post a wrong type": ("POST", PATH, JSON, b'{"score":[1,"x"]}'),
    "post out of range": ("POST", PATH, JSON, b'{"prices":{"1x2":[1.0,2,3]}}'),
    "post too deep": ("POST", PATH, JSON, b"[" * 60_000),
    "post too much": ("POST", PATH, JSON, b" " * 70_000),
    "post to nobody": ("POST", "/v1/matches/nobody:1/forecast", JSON, b"{}"),
    "post as html": ("POST", PATH, {**JSON, "Accept": "text/html"}, b"{}"),
    "list": ("GET", "/v1/matches", {}, None),
    "batch": ("POST", "/v1/forecasts:batch", JSON, b'{"items":[{"match_id":"nobody:1"}]}'),
    "page": ("GET", "/", {}, None),
    "nothing there": ("GET", "/nothing", {}, None),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("doors"), limits=Limits(body_timeout_s=0.3)) as world:
        world.announce(a_fixture(), a_fixture(OTHER))
        world.publish(opened(), a_forecast(seq=30, score=Score(1, 0)))
        world.publish(opened(OTHER), a_forecast(OTHER, seq=3, price=a_price()))
        yield world


@pytest.fixture(scope="module")
def doors(world: World) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The app under uvicorn, as behind Serve, and a replica's listener."""
    with (
        listening(world) as app,
        replica(world, deps={"replica": "test#2"}) as own,
        httpx.Client(base_url=app) as first,
        httpx.Client(base_url=own.address) as second,
    ):
        yield first, second


def seen(client: httpx.Client, sent: Sent) -> tuple[int, dict[str, str], bytes]:
    method, path, headers, body = sent
    answer = client.request(method, path, headers=headers, content=body)
    kept = {name: value for name, value in answer.headers.items() if name not in IGNORED}
    return answer.status_code, kept, VARIES.sub(rb'"\1":...', answer.content)


@pytest.mark.parametrize("name", REQUESTS)
def test_both_doors_answer_alike(doors: tuple[httpx.Client, httpx.Client], name: str) -> None:
    app, own = doors
    assert seen(own, REQUESTS[name]) == seen(app, REQUESTS[name])


def test_a_full_record_is_429_at_both(tmp_path: Path) -> None:
    with a_world(tmp_path, limits=Limits(what_ifs_waiting=0)) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=30))
        with (
            listening(world) as app,
            replica(world) as own,
            httpx.Client(base_url=app) as first,
            httpx.Client(base_url=own.address) as second,
        ):
            refused = seen(first, REQUESTS["post"])
            assert refused[0] == 429
            assert seen(second, REQUESTS["post"]) == refused
