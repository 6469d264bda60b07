"""The models of an audit: those of a folder, and those that history keeps, by the same checks."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.distribution import ForecastInputs
from actors.domain.errors import ModelRejected, StoreError
from cluster.audit import MODELS, load_models
from cluster.held_models import HeldModels, pack, unpack
from tests.unit.audited import FakeModel, open_history

MODEL = MODELS / "touchline-2017-12-01"
VERSION = MODEL.name
INPUTS = [ForecastInputs(league="E0", home_team=None, away_team=None, period=1, clock_ms=9, home_goals=1, away_goals=0)]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = open_history(tmp_path / "data")
    yield history
    history.close()


def keep(history: SqliteHistory) -> None:
    history.write_model(VERSION, *pack(MODEL))


def test_a_model_that_history_keeps_forecasts_as_the_one_in_its_folder(history: SqliteHistory) -> None:
    keep(history)
    held = HeldModels({}, history, 32)
    assert list(held) == [VERSION]
    assert VERSION in held and held[VERSION] is held[VERSION]
    [again], [before] = held[VERSION].predict(INPUTS), load_models(MODELS, 32)[VERSION].predict(INPUTS)
    assert (again.distribution.remaining == before.distribution.remaining).all()


def test_the_forecast_before_kick_off_is_kept_with_its_model(history: SqliteHistory, tmp_path: Path) -> None:
    assert (MODEL / "prematch" / "manifest.json").is_file()
    history.write_model(VERSION, *pack(MODEL))
    row, again = history.model(VERSION), tmp_path / "again"
    assert row is not None
    again.mkdir()
    unpack(row, again)
    assert contents(again) == contents(MODEL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_loaded_is_not_asked_for_and_what_nobody_has_is_not_held(history: SqliteHistory) -> None:
    model = FakeModel()
    held = HeldModels({"fake-1": model}, history, 32)
    assert (held["fake-1"], len(held), "other-1" in held) == (model, 1, False)


def test_a_model_that_cannot_be_loaded_says_why(history: SqliteHistory) -> None:
    manifest, content = pack(MODEL)
    history.write_model("older", manifest, (MODEL / "weights.safetensors").read_bytes())
    with pytest.raises(StoreError, match=r"model older is in history, but its files cannot be read .* see --models"):
        HeldModels({}, history, 32)["older"]
    history.write_model("broken", b"{", content)
    with pytest.raises(ModelRejected, match=r"manifest\.json"):
        HeldModels({}, history, 32)["broken"]
    files = msgspec.msgpack.decode(content, type=dict[str, bytes])
    changed = msgspec.msgpack.encode({**files, "weights.safetensors": b"other weights"})
    history.write_model("changed", manifest, changed)
    with pytest.raises(ModelRejected, match=r"weights\.safetensors"):
        HeldModels({}, history, 32)["changed"]
