"""Compiles our loops once for each state of the code: `python -m training.compile`, which `make setup` runs.

Numba keeps what it compiled beside the modules. Where that is not done beforehand, each process of a first start
compiles for itself, for a minute.
"""

import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.live_data import RESULTS
from training.network import load_model
from training.prematch.inputs import prematch_inputs
from training.prematch.table import REQUIRED, load_table

_MODEL = Path(__file__).with_name("models") / "touchline-all"
_MATCH = {"league": "E0", "country": "England", "tier": 1, "season_start": 2020, "date": date(2020, 9, 12)}
_TEAMS = {"home": "Arsenal", "away": "Chelsea"}


def main() -> None:
    """Run a model once, and the inputs before kick-off on a results file of one match of which nothing is known."""
    load_model(_MODEL)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RESULTS).parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([dict.fromkeys(REQUIRED) | _MATCH | _TEAMS]), Path(folder) / RESULTS)
        prematch_inputs(load_table(Path(folder)))


if __name__ == "__main__":
    main()
