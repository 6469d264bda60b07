"""Walking a match's hash chain: does history still say what was published, all of it and in order?"""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from actors.domain.forecast import GENESIS, Forecast, decode_published, row_hash
from actors.domain.ports import ChainHeadRow, PredictionRow
from actors.domain.replay_check import read_inputs


class Fault(Struct, frozen=True, kw_only=True):
    """The first thing that is wrong with a chain."""

    prediction_id: str
    problem: str


def check_chain(
    rows: Iterable[PredictionRow],
    heads: Sequence[ChainHeadRow],
    feature_snapshot: Callable[[str], bytes | None],
) -> tuple[int, Fault | None]:
    """Walk the rows of one match in order of seq; return how many hold, and the first fault.

    A head that the log took says how many rows there were up to its seq: so a tail that was cut off shows too.
    """
    expected = {head.seq: head for head in heads}
    prev_hash, count, last_seq = GENESIS, 0, -1
    for row in rows:
        problem = _row_problem(row, prev_hash, last_seq, feature_snapshot) or _head_problem(row, count, expected)
        if problem is not None:
            return count, Fault(prediction_id=row.prediction_id, problem=problem)
        prev_hash, count, last_seq = row.row_hash, count + 1, row.seq
        expected.pop(row.seq, None)
    missing = [head for head in expected.values() if head.seq > last_seq]
    if missing:
        head = min(missing, key=lambda head: head.seq)
        problem = f"the log says {head.count} rows up to seq {head.seq}, history ends at seq {last_seq} with {count}"
        return count, Fault(prediction_id=f"{head.match_id}@{head.seq}", problem=f"removed: {problem}")
    if expected:
        head = min(expected.values(), key=lambda head: head.seq)
        return count, Fault(prediction_id=f"{head.match_id}@{head.seq}", problem="removed: the log has it")
    return count, None


def _row_problem(
    row: PredictionRow, prev_hash: str, last_seq: int, feature_snapshot: Callable[[str], bytes | None]
) -> str | None:
    try:
        forecast = decode_published(row.forecast)
    except (msgspec.DecodeError, ValueError) as error:  # ValueError: its bytes are no text
        return f"changed: not a forecast ({error})"
    if not isinstance(forecast, Forecast):
        return "changed: not a forecast"
    if row_hash(forecast.prev_hash, forecast) != forecast.row_hash:
        return "changed: its content does not have the hash that it states"
    if _columns(row) != _stated(forecast):
        return "changed: its columns do not say what its content says"
    if row.seq <= last_seq:
        return f"moved: seq {row.seq} comes behind {last_seq}"
    if forecast.prev_hash != prev_hash:
        follows, last = forecast.prev_hash[:12], prev_hash[:12]
        return f"a row before it was removed, moved or replaced: it follows {follows}, the last one is {last}"
    return _snapshot_problem(row.feature_snapshot_id, feature_snapshot)


def _columns(row: PredictionRow) -> tuple[object, ...]:
    return (
        row.prediction_id,
        row.match_id,
        row.seq,
        row.model_version,
        row.feature_snapshot_id,
        row.prev_hash,
        row.row_hash,
    )


def _stated(forecast: Forecast) -> tuple[object, ...]:
    return (
        forecast.prediction_id,
        forecast.match_id,
        forecast.seq,
        forecast.model_version,
        forecast.feature_snapshot_id,
        forecast.prev_hash,
        forecast.row_hash,
    )


def _snapshot_problem(snapshot_id: str, feature_snapshot: Callable[[str], bytes | None]) -> str | None:
    encoded = feature_snapshot(snapshot_id)
    if encoded is None:
        return f"its feature snapshot {snapshot_id} was removed"
    try:
        read_inputs(snapshot_id, encoded)
    except (ValueError, TypeError, msgspec.DecodeError) as error:  # TypeError: the column holds no bytes any more
        return f"its feature snapshot {snapshot_id} was changed: {error}"
    return None


def _head_problem(row: PredictionRow, count: int, expected: dict[int, ChainHeadRow]) -> str | None:
    head = expected.get(row.seq)
    if head is not None and (head.row_hash, head.count) != (row.row_hash, count + 1):
        return f"replaced: the log's head at seq {row.seq} is {head.row_hash[:12]} of {head.count} rows"
    return None
