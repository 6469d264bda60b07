"""Audit of published forecasts: `python -m cluster.audit verify|replay [--match ID] [--data DIR] [key=value ...]`.

    python -m cluster.audit verify --data data
    python -m cluster.audit replay --match wyscout:2499841.1 profile=cluster store.hosts=[a,b] feed.servers=[k:9092]

`verify` walks each match's hash chain and names the first row that was changed, removed or moved; how long a chain is,
the log says, as far as it still reaches back. `replay` computes every forecast again from its stored inputs and model,
and counts the identical ones. Exit code 1: something is wrong. 2: it could not be checked.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.domain.chain import Fault, check_chain
from actors.domain.distribution import Forecaster, ForecastInputs
from actors.domain.errors import ForecastingError, OffsetOutOfRange, SetupError
from actors.domain.forecast import ChainHead, Published, decode_published
from actors.domain.markets import derive_all
from actors.domain.ports import FORECASTS, ChainHeadRow, EventLog, History, HistoryWriterPort, PredictionRow
from actors.domain.published import read_all
from actors.domain.replay_check import Recorded, ReplayResult, compare, read_inputs, read_recorded
from cluster.command import add_data, answered, existing_history, log_if_any, split, stores_of
from cluster.held_models import HeldModels
from cluster.stores import AllHistory, Stores

_PAGE = 500
_MARKS = (b'{"type":"chain_head"', b'{"type":"epoch_open"')  # how the records begin that say how long a chain is
MODELS = Path(__file__).resolve().parent.parent / "training" / "models"


class Changed(ForecastingError):
    """A stored row cannot be recomputed, because it is not what was stored."""

    def __init__(self, prediction_id: str, problem: str) -> None:
        super().__init__(prediction_id, problem)
        self.prediction_id, self.problem = prediction_id, problem

    def __str__(self) -> str:
        return f"{self.prediction_id}: {self.problem}"


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


def verify(history: History, match_id: str, in_log: Sequence[ChainHeadRow] = ()) -> tuple[int, Fault | None]:
    """Walk the chain of one match; return how many rows hold, and the first fault.

    Args:
        in_log: The heads that the log has of it: where history's heads say otherwise, the log is right.
    """
    return check_chain(rows_of(history, match_id), [*history.heads(match_id), *in_log], history.feature_snapshot)


def heads_in_log(log: EventLog, partition: int, end: int) -> dict[str, list[ChainHeadRow]]:
    """Read the chain heads of a partition by match, as far back as the log reaches and up to offset `end`."""
    marks, position = dict[str, list[Published]](), 0
    while position < end:
        try:
            records = log.read(FORECASTS, {partition: position}, _PAGE, 0.0)
        except OffsetOutOfRange as gone:
            if gone.first <= position:  # history was written from another log, which had come further
                break
            position = gone.first
            continue
        for record in records:
            value = record.value or b""
            if record.offset < end and record.key and value.startswith(_MARKS):
                marks.setdefault(record.key, []).append(decode_published(value))
        position = records[-1].offset + 1 if records else end
    return {match_id: _head_rows(read_all(told)[1]) for match_id, told in marks.items()}


def _head_rows(counted: Iterable[Published]) -> list[ChainHeadRow]:
    heads = [mark for mark in counted if isinstance(mark, ChainHead)]
    return [ChainHeadRow(match_id=h.match_id, seq=h.seq, count=h.count, row_hash=h.row_hash) for h in heads]


def replay(history: History, match_id: str, models: Mapping[str, Forecaster], batch: int) -> Replayed:
    """Recompute every forecast of one match, `batch` at a time.

    Raises:
        SetupError: A model version or a feature snapshot is not held.
        Changed: A row or its feature snapshot was changed.
    """
    done = Replayed(match_id=match_id)
    rows = (_recorded(row) for row in rows_of(history, match_id))
    while page := list(islice(rows, batch)):
        for result in _recomputed(page, history, models):
            done.add(result)
    return done


def _recomputed(page: list[Recorded], history: History, models: Mapping[str, Forecaster]) -> Iterator[ReplayResult]:
    for version in dict.fromkeys(row.model_version for row in page):
        if version not in models:
            raise SetupError(f"model {version!r} is not held, only {', '.join(sorted(models)) or 'none'}; see --models")
        rows = [row for row in page if row.model_version == version]
        inputs = [_inputs(history, row) for row in rows]
        predictions = models[version].predict(inputs)
        markets = derive_all([prediction.distribution for prediction in predictions])
        for row, prediction, derived in zip(rows, predictions, markets, strict=True):
            yield compare(row, prediction, derived)


def _recorded(row: PredictionRow) -> Recorded:
    try:
        return read_recorded(row.forecast)
    except (msgspec.DecodeError, ValueError) as error:
        raise Changed(row.prediction_id, f"not a forecast ({error})") from error


def _inputs(history: History, row: Recorded) -> ForecastInputs:
    encoded = history.feature_snapshot(row.feature_snapshot_id)
    if encoded is None:
        raise SetupError(f"the feature snapshot of {row.prediction_id} is not in history")
    try:
        return read_inputs(row.feature_snapshot_id, encoded)
    except (msgspec.DecodeError, ValueError, TypeError) as error:  # TypeError: the column holds no bytes any more
        raise Changed(row.prediction_id, f"its feature snapshot was changed: {error}") from error


def load_models(folder: Path, batch_rows: int) -> dict[str, Forecaster]:
    """Load every model version below a folder, by version."""
    from training.network import load_model

    models = [load_model(manifest.parent, batch_rows=batch_rows) for manifest in sorted(folder.glob("*/manifest.json"))]
    return {model.model_version: model for model in models}


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code: 0 all well, 1 a fault was found, 2 it could not be checked."""
    words, overrides = split(argv)
    options = _options(words)
    return answered(lambda: _audit(options, stores_of(options, overrides)))


def _audit(options: argparse.Namespace, stores: Stores) -> int:
    history = existing_history(stores)
    try:
        in_log = _heads_by_match(history, stores) if options.command == "verify" else {}
        known = sorted({*history.matches(), *(match_id for match_id, heads in in_log.items() if heads)})
        if options.match and options.match not in known:
            raise SetupError(f"history has no match {options.match!r}; it has {', '.join(known[:8]) or 'none'}")
        matches = [options.match] if options.match else known
        if options.command == "verify":
            return print_verified(history, matches, in_log)
        return _print_replayed(history, matches, options)
    except Changed as changed:
        print(changed)
        return 1
    finally:
        history.close()


def print_verified(history: History, matches: Iterable[str], in_log: Mapping[str, Sequence[ChainHeadRow]]) -> int:
    """Say of each match whether its chain is whole; return the exit code: 1 if one of them is not."""
    faults, total = 0, 0
    for match_id in matches:
        count, fault = verify(history, match_id, in_log.get(match_id, ()))
        total += count
        faults += fault is not None
        print(
            f"{match_id}: {f'{fault.prediction_id}: {fault.problem}' if fault else f'{count} forecasts, chain whole'}"
        )
    print(f"{total} forecasts hold, {faults} chains are broken")
    return 1 if faults else 0


def _heads_by_match(history: HistoryWriterPort, stores: Stores) -> dict[str, list[ChainHeadRow]]:
    """Return what the log says of every chain; nothing where there is no log."""
    log = log_if_any(stores)
    if log is None:
        return {}
    try:
        return heads_by_match(log, history.offsets(FORECASTS))  # what lies behind is not in history yet
    finally:
        log.close()


def heads_by_match(log: EventLog, ends: Mapping[int, int]) -> dict[str, list[ChainHeadRow]]:
    """Return the chain heads that the log has of every match, up to the given end of each partition."""
    by_match: dict[str, list[ChainHeadRow]] = {}
    for partition, end in ends.items():
        by_match |= heads_in_log(log, partition, end)
    return by_match


def _print_replayed(history: AllHistory, matches: Iterable[str], options: argparse.Namespace) -> int:
    folder = Path(options.models)
    models = HeldModels(load_models(folder, options.batch_rows), history, options.batch_rows)
    different, total = 0, 0
    for match_id in matches:
        done = replay(history, match_id, models, options.batch)
        total, different = total + done.forecasts, different + done.forecasts - done.identical
        print(msgspec.json.encode(done).decode(), flush=True)
    print(f"{total - different} of {total} forecasts identical")
    return 1 if different else 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster.audit", description=__doc__)
    parser.add_argument("command", choices=("verify", "replay"))
    parser.add_argument("--match", help="one match only")
    add_data(parser)
    parser.add_argument("--models", default=str(MODELS), help="folder of model folders; history is asked for others")
    parser.add_argument("--batch", type=_count, default=_PAGE, help="forecasts recomputed at a time")
    parser.add_argument("--batch-rows", type=_count, default=32, help="rows of the model's padded batch")
    return parser.parse_args(argv)


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, was {number}")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
