"""The fit inside Ray Train: one worker runs the stages, and every finished stage is a checkpoint.

A run lies in a hidden folder beside the model's, named by what it fits from what: started again with the same
arguments, Ray Train hands the worker the last checkpoint of that folder. The model appears whole, by a rename.
"""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec
import ray
import ray.train
import torch
from ray.train.torch import TorchTrainer

from actors.domain.errors import SetupError
from training.checkpoint import load_progress, save_progress
from training.model_file import sha256
from training.ray_columns import ray_columns
from training.stages import STAGES, Progress, Work, run_stages
from training.write_models import Origin, version_of, write_models

_MODEL, _SAID = "model", "progress.log"  # in the run's folder, until the model is whole
_LOOK_EVERY_S = 0.2
_GAVE_UP, _STARTS = "timed out during startup", 5  # Ray waits for its own processes for 30 s: not long at low priority
_OBJECT_STORE_BYTES = 512 * 2**20  # the largest table is 60 MB


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is: two runs of the same plan give the same weights."""

    root: str
    out: str
    until: str
    seed: int
    data: dict[str, str]  # sha256 of each file
    code_commit: str | None

    def folder(self) -> Path:
        """Return where the run lies while it is not finished."""
        out = Path(self.out)
        return out.parent / f".{out.name}.fit-{sha256(msgspec.json.encode(self))[:12]}"

    def origin(self) -> Origin:
        """Return what the manifest says of it."""
        return Origin(version=version_of(Path(self.out)), code_commit=self.code_commit, data=self.data)


@contextmanager
def own_ray() -> Iterator[None]:
    """Start a Ray of our own on this machine, and end it."""
    for tries_left in reversed(range(_STARTS)):
        try:
            _start_ray()
            break
        except Exception as error:
            ray.shutdown()
            if _GAVE_UP not in str(error) or not tries_left:
                raise
    try:
        yield
    finally:
        ray.shutdown()


def _start_ray() -> None:
    here = str(Path(__file__).resolve().parent.parent)
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level=logging.WARNING,
        log_to_driver=False,  # what our worker has to say comes by a file, without Ray's own remarks
        runtime_env={"env_vars": {"PYTHONPATH": here}},
    )


def fit_on_ray(plan: Plan, report: Callable[[str], None]) -> Path:
    """Run the plan from where it stands; return the model's folder. Needs a Ray that is initialised.

    Raises:
        SetupError: The data cannot be read or has nothing to fit on; or there is something at `out` by now.
    """
    out, folder = Path(plan.out), plan.folder()
    trainer = TorchTrainer(
        _work,
        train_loop_config=msgspec.to_builtins(plan),
        scaling_config=ray.train.ScalingConfig(num_workers=1),
        run_config=ray.train.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
            logging_config=ray.train.LoggingConfig(log_level="WARNING"),
        ),
    )
    with _followed(folder / _SAID, report):
        problem = trainer.fit().return_value
    if problem is not None:
        shutil.rmtree(folder)
        raise SetupError(str(problem))
    try:
        (folder / _MODEL).rename(out)
    except OSError as error:
        raise SetupError(f"out={out}: the model cannot be put there: {error.strerror}") from error
    shutil.rmtree(folder)
    return out


@contextmanager
def _followed(path: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Report the lines that are added to a file while the block runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = threading.Event()
    with path.open("a+") as file:  # at its end: what an earlier run said was reported then
        follower = threading.Thread(target=_follow, args=(file, ended, report), daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()


def _follow(file: TextIO, ended: threading.Event, report: Callable[[str], None]) -> None:
    is_last = False
    while not is_last:
        is_last = ended.wait(_LOOK_EVERY_S)
        for line in file:
            report(line.rstrip())


def _work(options: dict[str, Any]) -> str | None:
    """Run what is not done yet; return what is wrong with the data, in one sentence. Runs in Ray Train's worker."""
    torch.set_num_threads(1)  # sums of the same order, and so the same bits, on every machine
    plan = msgspec.convert(options, Plan)
    until, said = date.fromisoformat(plan.until), plan.folder() / _SAID
    work = Work(root=Path(plan.root), until=until, seed=plan.seed, report=partial(_say, said), read=ray_columns)
    try:
        progress = run_stages(work, _last(work), _keep)
        folder = plan.folder() / _MODEL
        shutil.rmtree(folder, ignore_errors=True)
        write_models(folder, plan.origin(), work, progress)
    except SetupError as error:
        return str(error)
    return None


def _last(work: Work) -> Progress:
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        return Progress.start(work.seed)
    with checkpoint.as_directory() as folder:
        progress = load_progress(Path(folder))
    work.report(f"going on behind stage {len(progress.done)}/{len(STAGES)}")
    return progress


def _keep(progress: Progress) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_progress(progress, Path(folder))
        metrics = {"stage": len(progress.done), "took_s": progress.took_s}
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _say(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")
