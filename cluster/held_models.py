"""The models that an audit can use: those in a folder, and those that history keeps, loaded when asked for."""

import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.domain.distribution import Forecaster
from actors.domain.errors import StoreError
from actors.domain.ports import ModelRow, ModelStore


class _Vocabulary(Struct):
    """What a manifest says of the names that its model knows; history has no copy of them."""

    vocabulary_sha256: str = ""


class HeldModels(Mapping[str, Forecaster]):
    """Forecasters by version."""

    def __init__(self, loaded: Mapping[str, Forecaster], kept: ModelStore, folder: Path, batch_rows: int) -> None:
        """Args: what was loaded from `folder`; where others are kept, whose vocabulary lies below `folder`."""
        self._loaded, self._kept = dict(loaded), kept
        self._folder, self._batch_rows = folder, batch_rows

    def __getitem__(self, version: str) -> Forecaster:
        if version not in self._loaded:
            row = self._kept.model(version)
            if row is None:
                raise KeyError(version)
            self._loaded[version] = self._load(row)
        return self._loaded[version]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._loaded, *self._kept.model_versions()}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _load(self, row: ModelRow) -> Forecaster:
        """Lay a model out as a folder and load it from there, so that it is checked like any other."""
        from training.model_file import MANIFEST, VOCABULARY, WEIGHTS
        from training.network import load_model

        with tempfile.TemporaryDirectory(prefix="touchline-model-") as made:
            folder = Path(made) / "model"
            folder.mkdir()
            (folder / MANIFEST).write_bytes(row.manifest)
            (folder / WEIGHTS).write_bytes(row.weights)
            (folder / VOCABULARY).write_bytes(self._vocabulary(row, VOCABULARY))
            return load_model(folder, batch_rows=self._batch_rows)

    def _vocabulary(self, row: ModelRow, name: str) -> bytes:
        try:
            wanted = msgspec.json.decode(row.manifest, type=_Vocabulary).vocabulary_sha256
        except msgspec.DecodeError as error:
            raise StoreError(f"model {row.version} is in history, but its manifest cannot be read: {error}") from error
        for path in sorted(self._folder.glob(f"*/{name}")):
            if sha256(content := path.read_bytes()).hexdigest() == wanted:
                return content
        raise StoreError(
            f"model {row.version} is in history, but its {name} ({wanted[:12]}) is in no folder below {self._folder}; "
            "see --models"
        )
