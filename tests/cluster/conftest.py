"""What several tests of the whole system share, since it takes minutes to play."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.evening import Evening, play


@pytest.fixture(scope="session")
def evening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """Sixteen matches played to their end, or five without data.root."""
    try:
        data_root: Path | None = request.getfixturevalue("data_root")
    except pytest.skip.Exception:
        data_root = None
    played = play(tmp_path_factory.mktemp("evening"), data_root)
    yield played
    played.log.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs the evening takes minutes and both cores: it is played by `make soak`."""
    for item in items:
        if "evening" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.soak)
