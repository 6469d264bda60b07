"""Files of the page: a browser keeps them but asks each time, so that it never mixes old and new modules."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.unit.api_world import WEB, a_world, opened, serving

MODULES = sorted(path.name for path in WEB.iterdir())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with a_world(tmp_path_factory.mktemp("world")) as world:
        world.publish(opened())
        with serving(world) as client:
            yield client


@pytest.mark.parametrize("path", ["/", "/docs/swagger-ui.css", *(f"/web/{name}" for name in MODULES)])
def test_a_file_is_asked_for_each_time_and_sent_once(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert first.headers["last-modified"]
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/web/main.js", "text/javascript"),
        ("/web/style.css", "text/css"),
        ("/docs/swagger-ui-bundle.js", "text/javascript"),
        ("/docs/favicon-32x32.png", "image/png"),
    ],
)
def test_a_file_says_what_it_is(client: TestClient, path: str, media_type: str) -> None:
    assert client.get(path).headers["content-type"].partition(";")[0] == media_type


def test_a_head_has_the_validator_and_no_body(client: TestClient) -> None:
    answer = client.head("/web/main.js")
    assert (answer.status_code, answer.content) == (200, b"")
    assert re.fullmatch('"[0-9a-f]{32}"', answer.headers["etag"])


@pytest.mark.parametrize("name", ["main.js", "index.html"])
def test_a_new_version_of_the_same_length_and_time_is_sent(tmp_path: Path, name: str) -> None:
    web = tmp_path / "web"
    web.mkdir()
    file, path = web / name, "/" if name == "index.html" else f"/web/{name}"
    file.write_text("old();")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    with a_world(tmp_path) as world, serving(world, web=web) as client:
        old = client.get(path)
        upgraded = tmp_path / "upgraded"
        upgraded.write_text("new();")
        os.utime(upgraded, (1_000_000_000, 1_000_000_000))
        upgraded.replace(file)
        new = client.get(path, headers={"If-None-Match": old.headers["etag"]})
    assert (new.status_code, new.text) == (200, "new();")


def test_a_browser_that_knows_only_the_time_gets_304_too(client: TestClient) -> None:
    known = client.get("/web/main.js").headers["last-modified"]
    assert client.get("/web/main.js", headers={"If-Modified-Since": known}).status_code == 304
