"""A model's folder: weights as safetensors, names as JSON, and the manifest that says where they come from.

Nothing in it is ever unpickled, and nothing is used before its hash, shape and values were checked.
"""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import torch
from msgspec import Meta, Struct
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from actors.domain.distribution import ForecastInputs, Intervals
from actors.domain.drift import REFERENCE, Reference
from actors.domain.errors import ModelRejected
from training.chain import BLOCKS, LEADS
from training.evidence import NAMES

PREMATCH = 3  # format of a forecast before kick-off
PREMATCH_FOLDER = "prematch"  # where it lies in the folder of the in-play network that it was fitted with
ANCHORED, IN_PLAY = 1, 2  # formats: the first model, whose effect is by block and which has no corrections; ours
WEIGHTS, VOCABULARY, MANIFEST = "weights.safetensors", "vocabulary.json", "manifest.json"
# ours are a hundredth of that
_MAX_BYTES = {WEIGHTS: 16 * 2**20, VOCABULARY: 4 * 2**20, MANIFEST: 4 * 2**20, REFERENCE: 2**20}
_PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"}
_POSITIVE = {"effect", "share", "stoppage", "red_factor", "average", "shot_effect", "shot_scale"}
_Decoded = TypeVar("_Decoded")


class TeamName(Struct, frozen=True, array_like=True):
    """A rated team and the league it plays in."""

    country: str
    team: str
    league: str


class LeagueName(Struct, frozen=True, array_like=True):
    """A league's code and country."""

    league: str
    country: str


class Vocabulary(Struct, frozen=True, kw_only=True):
    """What the rows of the rating tensors stand for."""

    leagues: tuple[LeagueName, ...]
    teams: tuple[TeamName, ...]
    shot_providers: tuple[str, ...] = ()


class Expected(Struct, frozen=True, kw_only=True):
    """What the model answered where it was fitted."""

    basis: str
    home_rate: float
    away_rate: float
    next_home: float
    next_away: float
    remaining: tuple[tuple[float, ...], ...]
    intervals: Intervals | None = None


class Golden(Struct, frozen=True, kw_only=True):
    """One pair of inputs and answer that a loaded model must reproduce."""

    inputs: ForecastInputs
    expected: Expected


Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(Struct, frozen=True, kw_only=True):
    """Where a model comes from. `trained_until` is exclusive: nothing dated on or after it was used to fit."""

    format: int
    model_version: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9.-]{0,63}$")]
    kind: str
    note: str
    trained_until: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    seed: int
    fitted_in_s: float
    code_commit: str | None
    data_hash: Sha256
    data: dict[str, str]  # sha256 of each file read
    inputs: tuple[str, ...]
    metrics: dict[str, float]
    weights_sha256: Sha256
    vocabulary_sha256: Sha256
    reference_sha256: Sha256 | None = None  # of how the inputs were; None: the model came without
    golden: tuple[Golden, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """Everything in a model's folder, checked."""

    manifest: Manifest
    tensors: dict[str, Tensor]
    vocabulary: Vocabulary


def read_model(folder: Path) -> ModelFiles:
    """Read and check a model's folder.

    Raises:
        ModelRejected: A file is missing, a link, too large, not what its hash says, or holds other tensors than
            expected or values that cannot be; or there is a pickle in the folder.
    """
    manifest, tensors, vocabulary = read_files(folder, Vocabulary, (ANCHORED, IN_PLAY))
    check_tensors(tensors, expected_shapes(vocabulary, manifest.format), folder / WEIGHTS)
    return ModelFiles(manifest=manifest, tensors=tensors, vocabulary=vocabulary)


def read_files(
    folder: Path, kind: type[_Decoded], formats: tuple[int, ...]
) -> tuple[Manifest, dict[str, Tensor], _Decoded]:
    """Read a model's folder whose vocabulary is of `kind`; its tensors are not yet checked.

    Raises:
        ModelRejected: A file is missing, a link, too large or not what its hash says; it is of none of the formats; or
            there is a pickle.
    """
    if not folder.is_dir():
        raise ModelRejected(str(folder), "no such folder")
    for entry in sorted(folder.iterdir()):
        if entry.suffix in _PICKLES:
            raise ModelRejected(str(entry), "pickles are never loaded; expected safetensors and JSON only")
    manifest = _decode(_read(folder, MANIFEST), Manifest, folder / MANIFEST)
    if manifest.format not in formats:
        expected = f"expected format {' or '.join(map(str, formats))}, received {manifest.format}"
        raise ModelRejected(str(folder / MANIFEST), expected)
    weights = _hashed(folder, WEIGHTS, manifest.weights_sha256)
    vocabulary = _decode(_hashed(folder, VOCABULARY, manifest.vocabulary_sha256), kind, folder / VOCABULARY)
    if manifest.reference_sha256 is not None:
        _decode(_hashed(folder, REFERENCE, manifest.reference_sha256), Reference, folder / REFERENCE)
    try:
        return manifest, load(weights), vocabulary
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ModelRejected(str(folder / WEIGHTS), f"is not a safetensors file ({error})") from error


def encode_weights(tensors: dict[str, Tensor]) -> bytes:
    """Encode tensors as safetensors; the same tensors give the same bytes."""
    content: bytes = save({name: tensors[name].contiguous() for name in sorted(tensors)})
    return content


def write_model(folder: Path, weights: bytes, vocabulary: bytes, manifest: Manifest) -> None:
    """Write a model's folder, the manifest last: a folder without one is not a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    (folder / VOCABULARY).write_bytes(vocabulary)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def sha256(content: bytes) -> str:
    """Return the hash as the manifest has it."""
    return hashlib.sha256(content).hexdigest()


def expected_shapes(vocabulary: Vocabulary, model_format: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every tensor; all are float64.

    effect: factor on a side's hazard by goal difference, in the first model by block too. share: of goals by block.
    stoppage: share of the ninth block behind 45:00, then floor and decay (s) of each half. default_over: constant,
    weight of the draw's logit, of the square of the home share's. average: goals a match.
    Of the first model alone, red_factor: own card, the opponent's. Of ours, shot_level, shot_effect and shot_scale:
    see `evidence.ShotLevels`; weights: of the evidence; spread: a factor of their covariance.
    """
    teams, leagues = len(vocabulary.teams), len(vocabulary.leagues)
    shapes: dict[str, tuple[int, ...]] = {
        "share": (BLOCKS,),
        "stoppage": (5,),
        "default_over": (3,),
        "average": (2,),
        "league_level": (leagues, 2),
        "team_strength": (teams, 2),
    }
    if model_format == ANCHORED:
        return shapes | {"effect": (2, BLOCKS, LEADS), "red_factor": (2,)}
    names = len(NAMES)
    return shapes | {
        "effect": (2, LEADS),
        "shot_level": (2, 3),
        "shot_effect": (2, LEADS),
        "shot_scale": (len(vocabulary.shot_providers),),
        "weights": (names,),
        "spread": (names, names),
    }


def check_tensors(tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Raise ModelRejected unless names, types, shapes and values are those of a model."""
    check_forms(tensors, shapes, path)
    for name in _POSITIVE & tensors.keys():
        if not bool((tensors[name] > 0).all()):
            raise ModelRejected(str(path), f"{name}: must be positive throughout")
    total = float(tensors["share"].sum())
    if abs(total - 1) > 1e-9:
        raise ModelRejected(str(path), f"share: must sum to 1, sums to {total!r}")
    stoppage = tensors["stoppage"]
    if not (float(stoppage[0]) < 1 and float(stoppage[1]) < 1 and float(stoppage[3]) < 1):
        raise ModelRejected(str(path), "stoppage: shares must be below 1")


def check_forms(tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Raise ModelRejected unless the tensors are those of these names, float64, of these shapes, and finite."""
    if tensors.keys() != shapes.keys():
        raise ModelRejected(str(path), f"expected the tensors {sorted(shapes)}, received {sorted(tensors)}")
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float64 or tuple(tensor.shape) != shapes[name]:
            received = f"{tensor.dtype} {tuple(tensor.shape)}"
            raise ModelRejected(str(path), f"{name}: expected float64 {shapes[name]}, received {received}")
        if not bool(torch.isfinite(tensor).all()):
            raise ModelRejected(str(path), f"{name}: holds NaN or infinity")


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise ModelRejected(str(path), "no such file") from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelRejected(str(path), "must be a plain file, not a link or folder")
    if status.st_size > _MAX_BYTES[name]:
        raise ModelRejected(str(path), f"has {status.st_size} bytes, the limit is {_MAX_BYTES[name]}")
    return path.read_bytes()


def _hashed(folder: Path, name: str, expected: str) -> bytes:
    content = _read(folder, name)
    received = sha256(content)
    if received != expected:
        raise ModelRejected(str(folder / name), f"expected sha256 {expected}, received {received}")
    return content


def _decode(content: bytes, kind: type[_Decoded], path: Path) -> _Decoded:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelRejected(str(path), f"is not what it should be ({error})") from error
