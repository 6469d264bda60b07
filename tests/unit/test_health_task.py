"""The task that looks at live matches: tells what it found, and goes on after a store that did not answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.domain.errors import StoreUnavailable
from actors.domain.health import HealthReport
from cluster.audit import MODELS
from cluster.health import NO_REFERENCE, HealthSettings
from cluster.health_task import HealthTask
from cluster.stores import AllHistory, Stores
from conf.run import load, setting
from serve_app.deps import ServedModels
from tests.conftest import eventually
from tests.unit.fakes import MemoryLog

VERSION = "baseline-2017-12-01"  # which has no reference
QUICK = HealthSettings(every_s=0.01)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    stores = Stores(load([setting("data.folder", tmp_path / "data")]))
    stores.prepare()
    stores.keep_model(MODELS / VERSION)
    return stores


class Told(list[tuple[HealthReport, ServedModels]]):
    def __call__(self, report: HealthReport, models: ServedModels) -> None:
        self.append((report, models))


@pytest.fixture
def told() -> Iterator[Told]:
    yield Told()


def test_a_report_has_every_version_that_history_keeps(stores: Stores, told: Told) -> None:
    task = HealthTask(stores.log, stores.history, lambda: told, QUICK, pause_s=0.0)
    try:
        eventually(lambda: told)
        report = task.current()
    finally:
        task.stop()
    assert report is not None
    assert report.versions[VERSION].drift_reason == NO_REFERENCE
    assert told[0][0] == report


def test_a_store_that_does_not_answer_is_asked_again(stores: Stores, told: Told) -> None:
    refused: list[int] = []

    def history() -> AllHistory:
        if not refused:
            refused.append(1)
            raise StoreUnavailable("history", "open", "away")
        return stores.history()

    task = HealthTask(lambda: MemoryLog(partitions=1), history, lambda: told, QUICK, pause_s=0.0)
    try:
        eventually(lambda: told)
    finally:
        task.stop()
    assert refused == [1]
