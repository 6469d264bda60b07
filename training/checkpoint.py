"""A fit's progress as files: arrays as safetensors, the rest as JSON; nothing in it is ever unpickled."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from safetensors.numpy import load, save

from training.model_file import Vocabulary
from training.stages import Progress

_ARRAYS, _STATE = "arrays.safetensors", "progress.json"


class _State(Struct, frozen=True, kw_only=True):
    done: tuple[str, ...]
    random: dict[str, Any]  # integers of 128 bits among it, which JSON has no trouble with
    vocabulary: Vocabulary
    took_s: float


def save_progress(progress: Progress, folder: Path) -> None:
    """Write a fit's progress into an empty folder."""
    state = _State(
        done=progress.done, random=dict(progress.random), vocabulary=progress.vocabulary, took_s=progress.took_s
    )
    arrays = {name: np.ascontiguousarray(array) for name, array in progress.arrays.items()}  # save mixes up others
    (folder / _ARRAYS).write_bytes(save(arrays))
    (folder / _STATE).write_bytes(msgspec.json.encode(state))


def load_progress(folder: Path) -> Progress:
    """Read what `save_progress` wrote."""
    state = msgspec.json.decode((folder / _STATE).read_bytes(), type=_State)
    return Progress(
        done=state.done,
        random=state.random,
        vocabulary=state.vocabulary,
        took_s=state.took_s,
        arrays=load((folder / _ARRAYS).read_bytes()),
    )
