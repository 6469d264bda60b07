"""The models of an audit: those of a folder, and those that history keeps, by the same checks."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.distribution import ForecastInputs
from actors.domain.errors import ModelRejected, StoreError
from cluster.audit import MODELS, load_models
from cluster.held_models import HeldModels
from tests.unit.audited import FakeModel, open_history
from training.model_file import MANIFEST, VOCABULARY, WEIGHTS

MODEL = MODELS / "inplay-2017-12-01"
VERSION = MODEL.name
INPUTS = [ForecastInputs(league="E0", home_team=None, away_team=None, period=1, clock_ms=9, home_goals=1, away_goals=0)]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = open_history(tmp_path / "data")
    yield history
    history.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of models that has nothing of this one but its vocabulary."""
    (tmp_path / "models" / "another").mkdir(parents=True)
    shutil.copy(MODEL / VOCABULARY, tmp_path / "models" / "another")
    return tmp_path / "models"


def keep(history: SqliteHistory, manifest: bytes | None = None) -> None:
    manifest = (MODEL / MANIFEST).read_bytes() if manifest is None else manifest
    history.write_model(VERSION, manifest, (MODEL / WEIGHTS).read_bytes())


def test_a_model_that_history_keeps_forecasts_as_the_one_in_its_folder(history: SqliteHistory, folder: Path) -> None:
    keep(history)
    held = HeldModels({}, history, folder, 32)
    assert list(held) == [VERSION]
    assert VERSION in held and held[VERSION] is held[VERSION]
    [again], [before] = held[VERSION].predict(INPUTS), load_models(MODELS, 32)[VERSION].predict(INPUTS)
    assert (again.distribution.remaining == before.distribution.remaining).all()


def test_what_was_loaded_is_not_asked_for_and_what_nobody_has_is_not_held(history: SqliteHistory, folder: Path) -> None:
    model = FakeModel()
    held = HeldModels({"fake-1": model}, history, folder, 32)
    assert (held["fake-1"], len(held), "other-1" in held) == (model, 1, False)


def test_a_model_that_cannot_be_loaded_says_why(history: SqliteHistory, tmp_path: Path, folder: Path) -> None:
    keep(history)
    with pytest.raises(StoreError, match=rf"model {VERSION} is in history, but its vocabulary.json .* see --models"):
        HeldModels({}, history, tmp_path, 32)[VERSION]
    history.write_model("broken", b"{", b"")
    with pytest.raises(StoreError, match="its manifest cannot be read"):
        HeldModels({}, history, folder, 32)["broken"]
    history.write_model("changed", (MODEL / MANIFEST).read_bytes(), b"other weights")
    with pytest.raises(ModelRejected):
        HeldModels({}, history, folder, 32)["changed"]
