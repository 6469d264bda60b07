"""Parquet through Ray Data, rows in the file's order: what `read_columns` does in a plain process, for a Ray worker."""

import logging
from pathlib import Path

import pyarrow as pa
import ray
import ray.data

from training.live_data import parquet_path, unreadable


def ray_columns(root: Path, relative: str, columns: list[str]) -> pa.Table:
    """Read columns of one Parquet file; raises SetupError as `training.live_data.read_columns` does."""
    path = parquet_path(root, relative, columns)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # a line on every plan otherwise
    try:
        blocks = ray.get(ray.data.read_parquet(str(path), columns=columns).to_arrow_refs())
    except (ray.exceptions.RayError, pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    return pa.concat_tables(blocks).select(columns)
