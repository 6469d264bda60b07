"""The API part of the bad-input list: each line gets a proper problem, and the server goes on."""

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from serve_app.deps import Limits
from serve_app.problem import MEDIA_TYPE
from tests.unit.api_world import MATCH, World, a_fixture, a_forecast, a_world, listening, opened, serving

FORECAST = f"/v1/matches/{MATCH}/forecast"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("world"), limits=Limits(body_timeout_s=0.3)) as world:
        world.announce(a_fixture())
        world.publish(opened(), a_forecast(seq=3))
        yield world


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with serving(world) as client:
        yield client


def _is_problem(answer: httpx.Response, status: int, field: str | None = None) -> bool:
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert (body["status"], bool(body["detail"]), body.get("field")) == (status, True, field)
    assert answer.headers["x-content-type-options"] == "nosniff"
    return True


@pytest.mark.parametrize(
    "path",
    [
        "/v1/matches/nobody:1",
        "/v1/matches/☃/forecast",
        "/v1/matches/%00/forecast",
        "/v1/matches/..%2f..%2fetc%2fpasswd",
        "/v1/matches/%ff%fe/forecast",
        "/v1/matches/" + "x" * 2_000,
        "/v1/matches/%7B%7B7*7%7D%7D/forecasts",
        "/v1/matches/x'%20OR%20'1'='1/inputs",
        "/v1/matches//forecast",
        "/v2/matches",
        "/v1/matches/",
        "/docs/..%2f..%2fcore.py",
        "/docs/swagger-ui.js",
        "/web/..%2fapp.py",
        "/web/nothing.js",
    ],
)
def test_what_does_not_exist_is_404(client: TestClient, path: str) -> None:
    assert _is_problem(client.get(path), 404)


@pytest.mark.parametrize(
    "value", ["-1", "0", "1001", "1e9", "1000000000", "abc", "", "1.5", "٣", "99999999999999999999"]
)
def test_a_wrong_limit_is_422(client: TestClient, value: str) -> None:
    assert _is_problem(client.get("/v1/matches", params={"limit": value}), 422, "limit")
    assert _is_problem(client.get(f"/v1/matches/{MATCH}/forecasts", params={"limit": value}), 422, "limit")


@pytest.mark.parametrize("value", ["x", "-1", "AAAA", "☃", "1" * 10_000])
def test_a_wrong_page_cursor_is_400(client: TestClient, value: str) -> None:
    for path in ("/v1/matches", f"/v1/matches/{MATCH}/forecasts"):
        assert _is_problem(client.get(path, params={"cursor": value}), 400, "cursor")


def test_an_unknown_status_is_422(client: TestClient) -> None:
    assert _is_problem(client.get("/v1/matches?status=alive"), 422, "status")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/v1/matches", FORECAST, "/v1/forecasts:batch", "/v1/stream", "/", "/docs"])
def test_a_method_that_a_route_does_not_have_is_405_naming_those_that_it_has(
    client: TestClient, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert _is_problem(answer, 405)
    assert answer.headers["allow"]
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_forecast_route_names_both_its_methods(client: TestClient) -> None:
    assert set(client.delete(FORECAST).headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("path", ["/v1/matches", FORECAST, "/v1/models", "/openapi.json", "/", "/docs", "/v1/stream"])
def test_head_is_get_without_a_body(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_client_that_reads_only_xml_is_told_406(client: TestClient) -> None:
    assert _is_problem(client.get(FORECAST, headers={"Accept": "text/xml"}), 406, "Accept")
    assert _is_problem(client.get(FORECAST, headers={"Accept": "application/json;q=0, text/xml"}), 406, "Accept")
    assert client.get(FORECAST, headers={"Accept": "text/xml, */*;q=0.1"}).status_code == 200
    assert _is_problem(client.get("/v1/stream", headers={"Accept": "application/json"}), 406, "Accept")


def test_a_body_of_10_mb_is_413_for_both_sizes_of_route(client: TestClient) -> None:
    big = b'{"items":[' + b" " * 10_000_000 + b"]}"
    assert _is_problem(client.post("/v1/forecasts:batch", content=big, headers=JSON), 413, "body")
    assert _is_problem(client.post(FORECAST, content=big, headers=JSON), 413, "body")


def test_a_body_that_hides_its_length_is_read_up_to_the_limit(client: TestClient) -> None:
    chunks = iter([b'{"items":['] + [b" " * 100_000] * 20)
    assert _is_problem(client.post("/v1/forecasts:batch", content=chunks, headers=JSON), 413, "body")


def test_an_encoded_body_is_415(client: TestClient) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    answer = client.post(FORECAST, content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert _is_problem(answer, 415, "Content-Encoding")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_415(client: TestClient, kind: str) -> None:
    assert _is_problem(client.post(FORECAST, content=b"{}", headers={"Content-Type": kind}), 415, "Content-Type")


def test_a_flood_of_etags_is_answered_like_any_other(client: TestClient) -> None:
    tags = ", ".join(f'"1-{number}-F"' for number in range(100_000, 105_000))
    assert client.get(FORECAST, headers={"If-None-Match": tags}).status_code == 200
    assert client.get(FORECAST, headers={"If-None-Match": "*"}).status_code == 304


def test_every_answer_forbids_framing_sniffing_and_foreign_scripts(client: TestClient) -> None:
    for path in ("/", "/docs", "/v1/matches", "/v1/nothing", "/openapi.json"):
        headers = client.get(path, headers={"Origin": "https://evil.example"}).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "script" not in headers["content-security-policy"]  # scripts fall under default-src: ours alone
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_names_of_teams_are_text_and_come_back_as_they_are(tmp_path: Path) -> None:
    name = '<img src=x onerror=alert(1)>{{7*7}}\u202e"'
    with a_world(tmp_path) as world:
        world.publish(opened(), a_forecast(seq=4, home=name))
        with serving(world) as client:
            assert client.get(FORECAST).json()["home"] == name


def test_a_stored_page_is_served_with_its_parts(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert client.get("/web/icon.svg").headers["content-type"] == "image/svg+xml"
    assert client.get("/docs/start.js").headers["content-type"].startswith("text/javascript")
    assert len(client.get("/docs/swagger-ui-bundle.js").content) > 1_000_000


def _raw(address: str, request: bytes) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


def test_a_body_that_never_ends_is_408(world: World) -> None:
    head = (
        f"POST {FORECAST} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with listening(world) as address:
        answer = _raw(address, head.encode() + b'4\r\n{"sc\r\n')
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in answer


def test_length_and_chunks_together_do_no_harm(world: World) -> None:
    head = (
        f"POST {FORECAST} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    with listening(world) as address:
        answer = _raw(address, head.encode())
        assert httpx.get(f"{address}/healthz").status_code == 200
    assert b"/smuggled" not in answer
