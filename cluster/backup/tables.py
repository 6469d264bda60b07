"""The tables of a backup: which rows each has, and their encoding as Parquet."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from msgspec.structs import asdict

from actors.domain.ports import ChainHeadRow, EventRow, ModelRow, PredictionRow


class InputsRow(Struct, frozen=True, kw_only=True):
    """The encoded inputs of forecasts, by the hash of their content."""

    snapshot_id: str
    inputs: bytes


Row = ModelRow | InputsRow | PredictionRow | ChainHeadRow | EventRow

# In the order in which they are restored: what a row points at comes before it.
ROWS: dict[str, type[Row]] = {
    "models": ModelRow,
    "feature_snapshots": InputsRow,
    "predictions": PredictionRow,
    "heads": ChainHeadRow,
    "events": EventRow,
}
_OF_PYTHON = {str: pa.string(), int: pa.int64(), bytes: pa.binary()}
_SCHEMAS = {
    table: pa.schema([(name, _OF_PYTHON[kind]) for name, kind in rows.__annotations__.items()])
    for table, rows in ROWS.items()
}


def table_of(row: Row) -> str:
    """Return the name of a row's table."""
    return next(table for table, kind in ROWS.items() if kind is type(row))


def weight(row: Row) -> int:
    """Return about how many bytes a row takes in memory."""
    return 200 + sum(len(value) for value in asdict(row).values() if isinstance(value, bytes))


def encode(table: str, rows: Sequence[Row]) -> bytes:
    """Encode rows of one table as a Parquet file."""
    columns = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMAS[table])
    sink = pa.BufferOutputStream()
    pq.write_table(columns, sink, compression="zstd")
    return bytes(sink.getvalue())


def decode(table: str, content: bytes) -> list[Any]:
    """Decode a Parquet file to rows of its table; columns that this version does not know are left out.

    Raises:
        KeyError, TypeError, ValueError: A column is missing, or it is no Parquet (pyarrow's errors are of these).
    """
    known = _SCHEMAS[table].names
    columns = pq.read_table(pa.BufferReader(content)).select(known).cast(_SCHEMAS[table])
    return [ROWS[table](**row) for row in columns.to_pylist()]
