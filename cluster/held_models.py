"""The models that an audit can use: those in a folder, and those that history keeps, loaded when asked for."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from actors.domain.distribution import Forecaster
from actors.domain.drift import REFERENCE
from actors.domain.errors import ModelRejected, StoreError
from actors.domain.ports import ModelRow, ModelStore

if TYPE_CHECKING:  # the start uses this file and loads no torch
    from training.network import TorchForecaster

_MANIFEST, _OTHERS = "manifest.json", ("weights.safetensors", "vocabulary.json")
_PREMATCH = "prematch"  # the forecast before kick-off, which not every model has
_OF_PREMATCH = tuple(f"{_PREMATCH}/{name}" for name in (_MANIFEST, *_OTHERS))
_OPTIONAL = (REFERENCE, *_OF_PREMATCH)  # what not every model has


def pack(folder: Path) -> tuple[bytes, bytes]:
    """Return a model's manifest and all its other files as history keeps them. Knows no torch: the start uses it."""
    present = [name for name in _OPTIONAL if (folder / name).is_file()]
    files = {name: (folder / name).read_bytes() for name in (*_OTHERS, *present)}
    return (folder / _MANIFEST).read_bytes(), msgspec.msgpack.encode(files)


def unpack(row: ModelRow, folder: Path) -> None:
    """Lay a packed model out as a folder, unchecked: reading it checks it. Raises StoreError."""
    files = _files(row)
    for name in (*_OTHERS, *(name for name in _OPTIONAL if name in files)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(files.get(name, b""))
    (folder / _MANIFEST).write_bytes(row.manifest)


def file_of(row: ModelRow, name: str) -> bytes | None:
    """Return one file of a packed model, None where it came without. Raises StoreError."""
    return _files(row).get(name)


def _files(row: ModelRow) -> dict[str, bytes]:
    try:
        return msgspec.msgpack.decode(row.content, type=dict[str, bytes])
    except msgspec.DecodeError as error:
        raise StoreError(
            f"model {row.version} is in history, but its files cannot be read ({error}): see --models"
        ) from error


class HeldModels(Mapping[str, Forecaster]):
    """Forecasters by version."""

    def __init__(self, loaded: Mapping[str, Forecaster], kept: ModelStore, batch_rows: int) -> None:
        """Args: what was loaded from folders, where others are kept, and the padded batch they run in."""
        self._loaded, self._kept, self._batch_rows = dict(loaded), kept, batch_rows

    def __getitem__(self, version: str) -> Forecaster:
        if version not in self._loaded:
            row = self._kept.model(version)
            if row is None:
                raise KeyError(version)
            self._loaded[version] = load_kept(row, self._batch_rows)
        return self._loaded[version]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._loaded, *self._kept.model_versions()}))

    def __len__(self) -> int:
        return len(list(iter(self)))


def load_kept(row: ModelRow, batch_rows: int) -> "TorchForecaster":
    """Lay a model out as a folder and load it from there, so that it is checked like any other.

    Raises:
        ModelRejected, StoreError: It is not what it says, or its golden vectors come out otherwise.
    """
    from training.network import load_model

    with tempfile.TemporaryDirectory(prefix="touchline-model-") as made:
        unpack(row, Path(made))
        model = load_model(Path(made), batch_rows=batch_rows)
    if model.model_version != row.version:
        raise ModelRejected(row.version, f"its manifest names {model.model_version}")
    return model
