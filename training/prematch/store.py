"""The model before kick-off as a folder: weights as safetensors, names of inputs as JSON, and the manifest."""

from pathlib import Path

import numpy as np
from msgspec import Struct
from torch import Tensor

from actors.domain.errors import ModelRejected
from training.model_file import PREMATCH, WEIGHTS, Manifest, check_forms, read_files
from training.prematch.linear import Scale
from training.prematch.model import MEMBERS, Linear, PrematchModel
from training.prematch.table import FloatArray

KIND = "linear forecast before kick-off"


class InputNames(Struct, frozen=True, kw_only=True):
    """The inputs of every set of weights, by variant and group, in their order."""

    inputs: dict[str, tuple[str, ...]]


def arrays_of(name: str, linear: Linear) -> dict[str, FloatArray]:
    """Return weights by name; a deviation of infinity (an input that never moved) is stored as its inverse."""
    return {
        f"{name}.mean": linear.scale.mean,
        f"{name}.inverse_deviation": np.asarray(1 / linear.scale.deviation, dtype=np.float64),
        f"{name}.weights": linear.weights,
        f"{name}.over": linear.over,
    }


def read_prematch(folder: Path) -> tuple[Manifest, PrematchModel, InputNames]:
    """Read and check a model's folder.

    Raises:
        ModelRejected: As `training.model_file.read_files`; or a tensor is missing, of another shape, or not finite.
    """
    manifest, tensors, names = read_files(folder, InputNames, (PREMATCH,))
    if manifest.kind != KIND:
        raise ModelRejected(str(folder), f"expected a {KIND}, received a {manifest.kind}")
    expected: dict[str, tuple[int, ...]] = {"recalibration": (MEMBERS, 3, 2)}
    for name, columns in names.inputs.items():
        k = len(columns)
        expected |= {
            f"{name}.mean": (k,),
            f"{name}.inverse_deviation": (k,),
            f"{name}.weights": (1 + MEMBERS, k + 1, 2),
            f"{name}.over": (k + 1, 1),
        }
    check_forms(tensors, expected, folder / WEIGHTS)
    linear = {name: _linear(tensors, name) for name in names.inputs}
    return manifest, PrematchModel(linear=linear, recalibration=tensors["recalibration"].numpy()), names


def _linear(tensors: dict[str, Tensor], name: str) -> Linear:
    inverse = tensors[f"{name}.inverse_deviation"].numpy()
    deviation = np.divide(1.0, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)
    return Linear(
        scale=Scale(mean=tensors[f"{name}.mean"].numpy(), deviation=deviation),
        weights=tensors[f"{name}.weights"].numpy(),
        over=tensors[f"{name}.over"].numpy(),
    )
