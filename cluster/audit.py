"""Audit of published forecasts: `python -m cluster.audit verify|replay [--match ID] [--data DIR]`.

`verify` walks each match's hash chain and names the first row that was changed, removed or moved. `replay` computes
every forecast again from its stored inputs and model, and counts the identical ones. Exit code 1: something is wrong.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.chain import Fault, check_chain
from actors.domain.distribution import Forecaster
from actors.domain.errors import ForecastingError, SetupError
from actors.domain.markets import derive_markets
from actors.domain.ports import History, PredictionRow
from actors.domain.replay_check import Recorded, ReplayResult, compare, read_inputs, read_recorded

_PAGE = 500
MODELS = Path(__file__).resolve().parent.parent / "training" / "models"


class Replayed(Struct, kw_only=True):
    """What came of recomputing the forecasts of a match."""

    match_id: str
    forecasts: int = 0
    identical: int = 0
    other_hardware: int = 0
    largest_difference: float = 0.0
    first_different: str | None = None

    def add(self, result: ReplayResult) -> None:
        """Account for one forecast."""
        self.forecasts += 1
        self.identical += result.identical
        self.other_hardware += result.runtime.recorded != result.runtime.here
        self.largest_difference = max(self.largest_difference, result.largest_difference or 0.0)
        if not result.identical and self.first_different is None:
            self.first_different = result.prediction_id


def rows_of(history: History, match_id: str) -> Iterator[PredictionRow]:
    """Yield a match's predictions by seq, a page at a time."""
    after = -1
    while page := history.predictions(match_id, after, _PAGE):
        yield from page
        after = page[-1].seq


def verify(history: History, match_id: str) -> tuple[int, Fault | None]:
    """Walk the chain of one match; return how many rows hold, and the first fault."""
    return check_chain(rows_of(history, match_id), history.heads(match_id), history.feature_snapshot)


def replay(history: History, match_id: str, models: Mapping[str, Forecaster], batch: int) -> Replayed:
    """Recompute every forecast of one match, `batch` at a time.

    Raises:
        SetupError: A model version or a feature snapshot is not held.
    """
    done = Replayed(match_id=match_id)
    rows = (read_recorded(row.forecast) for row in rows_of(history, match_id))
    while page := list(islice(rows, batch)):
        for result in _recomputed(page, history, models):
            done.add(result)
    return done


def _recomputed(page: list[Recorded], history: History, models: Mapping[str, Forecaster]) -> Iterator[ReplayResult]:
    for version in dict.fromkeys(row.model_version for row in page):
        if version not in models:
            raise SetupError(f"model {version!r} is not held, only {', '.join(sorted(models)) or 'none'}; see --models")
        rows = [row for row in page if row.model_version == version]
        inputs = [read_inputs(row.feature_snapshot_id, _snapshot(history, row)) for row in rows]
        for row, prediction in zip(rows, models[version].predict(inputs), strict=True):
            yield compare(row, prediction, derive_markets(prediction.distribution))


def _snapshot(history: History, row: Recorded) -> bytes:
    encoded = history.feature_snapshot(row.feature_snapshot_id)
    if encoded is None:
        raise SetupError(f"the feature snapshot of {row.prediction_id} is not in history")
    return encoded


def load_models(folder: Path, batch_rows: int) -> dict[str, Forecaster]:
    """Load every model version below a folder, by version."""
    from training.network import load_model

    models = [load_model(manifest.parent, batch_rows=batch_rows) for manifest in sorted(folder.glob("*/manifest.json"))]
    return {model.model_version: model for model in models}


def main(argv: list[str]) -> int:
    """Run the command line; return its exit code: 0 all well, 1 a fault was found, 2 it could not be checked."""
    options = _options(argv)
    try:
        path = Path(options.data) / "history.db"
        if not path.is_file():
            raise SetupError(f"no history at {path}; name the data folder with --data")
        history = SqliteHistory(path)
        known = history.matches()
        if options.match and options.match not in known:
            raise SetupError(f"history has no match {options.match!r}; it has {', '.join(known[:8]) or 'none'}")
        matches = [options.match] if options.match else known
        if options.command == "verify":
            return _print_verified(history, matches)
        return _print_replayed(history, matches, options)
    except ForecastingError as error:
        print(error, file=sys.stderr)
        return 2


def _print_verified(history: History, matches: Iterable[str]) -> int:
    faults, total = 0, 0
    for match_id in matches:
        count, fault = verify(history, match_id)
        total += count
        faults += fault is not None
        print(
            f"{match_id}: {f'{fault.prediction_id}: {fault.problem}' if fault else f'{count} forecasts, chain whole'}"
        )
    print(f"{total} forecasts hold, {faults} chains are broken")
    return 1 if faults else 0


def _print_replayed(history: History, matches: Iterable[str], options: argparse.Namespace) -> int:
    models = load_models(Path(options.models), options.batch_rows)
    different, total = 0, 0
    for match_id in matches:
        done = replay(history, match_id, models, options.batch)
        total, different = total + done.forecasts, different + done.forecasts - done.identical
        print(msgspec.json.encode(done).decode(), flush=True)
    print(f"{total - different} of {total} forecasts identical")
    return 1 if different else 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster.audit", description=__doc__)
    parser.add_argument("command", choices=("verify", "replay"))
    parser.add_argument("--match", help="one match only")
    parser.add_argument("--data", default="data", help="the data folder (default: data)")
    parser.add_argument("--models", default=str(MODELS), help="folder of model folders")
    parser.add_argument("--batch", type=int, default=_PAGE, help="forecasts recomputed at a time")
    parser.add_argument("--batch-rows", type=int, default=32, help="rows of the model's padded batch")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
