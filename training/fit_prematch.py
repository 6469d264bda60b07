"""Fits the forecast before kick-off: `python -m training.fit_prematch data.root=DIR until=DATE out=DIR seed=N`.

Ratings and inputs run over everything dated before `until`; weights are fitted on the years before it.
"""

import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from actors.domain.errors import SetupError
from training.baseline_config import DataConfig, check_date, parse
from training.fit_baseline import Report, code_commit
from training.model_file import PREMATCH, Manifest, encode_weights, sha256, write_model
from training.prematch.fit import fit_model
from training.prematch.inputs import prematch_inputs
from training.prematch.model import input_names, variant_of
from training.prematch.store import KIND, InputNames, tensors_of
from training.prematch.table import RESULTS, load_table


@dataclass
class FitPrematchConfig:
    """Options of `training.fit_prematch`."""

    data: DataConfig = field(default_factory=DataConfig)
    out: str = "training/models"
    until: str = "2020-08-01"  # exclusive; before the validation seasons
    version: str = ""  # empty: prematch-<until>
    seed: int = 0  # of the bootstrap

    def __post_init__(self) -> None:
        check_date("until", self.until)


def main(arguments: list[str]) -> int:
    """Fit and write a model as the arguments say; return the exit code."""
    try:
        folder = fit(parse(FitPrematchConfig, arguments), report=lambda line: print(line, file=sys.stderr, flush=True))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    print(folder)
    return 0


def fit(config: FitPrematchConfig, report: Report) -> Path:
    """Fit the model and write its folder `out`/`version`; return the folder."""
    started = time.monotonic()
    root = Path(config.data.root)
    until = (date.fromisoformat(config.until) - date(1970, 1, 1)).days
    report("results: ratings and inputs")
    table = load_table(root)
    table = table.rows(table.day < until)
    if not len(table):
        raise SetupError(f"{root}: results has no match before {config.until}: nothing to fit on")
    inputs = prematch_inputs(table)
    model = fit_model(table, inputs, until, config.seed, report)
    names = {key: input_names(variant_of(key), inputs) for key in model.linear}
    weights, vocabulary = encode_weights(tensors_of(model)), msgspec.json.encode(InputNames(inputs=names))
    data = {RESULTS: sha256((root / RESULTS).read_bytes())}
    folder = Path(config.out) / (config.version or f"prematch-{config.until}")
    manifest = Manifest(
        format=PREMATCH,
        model_version=folder.name,
        kind=KIND,
        note=f"Nothing dated on or after {config.until} was used.",
        trained_until=config.until,
        seed=config.seed,
        fitted_in_s=round(time.monotonic() - started, 1),
        code_commit=code_commit(),
        data_hash=sha256(msgspec.json.encode(data)),
        data=data,
        inputs=names["pre_odds"],
        metrics={"fitted_matches": float(np.isfinite(table.goals[:, 0]).sum())},
        weights_sha256=sha256(weights),
        vocabulary_sha256=sha256(vocabulary),
        golden=(),
    )
    write_model(folder, weights, vocabulary, manifest)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
