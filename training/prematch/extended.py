"""`data.root` laid out anew, with results added that its file has not got."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.domain.errors import SetupError
from training.live_data import RESULTS, parquet_path, read_columns
from training.prematch.live import Match, missing_from, rows_of
from training.prematch.table import PAIRS, PRICES, ResultTable, load_table


def extend(root: Path, out: Path, matches: Sequence[Match]) -> int:
    """Make the folder `out` as `root` is, with the results of these matches added; return how many were new.

    What is not known of an added match is null, as in the file; those of leagues that it has not got are left out.
    What else lies in `root` is a link, but for other files beside the results.

    Raises:
        SetupError: The data cannot be read, or `out` cannot be made.
    """
    parquet_path(root, RESULTS)
    added = _added(root, matches) if matches else None
    try:
        (out / RESULTS).parent.mkdir(parents=True)
        for path in sorted(root.iterdir()):
            if path.name != (out / RESULTS).parent.name:
                (out / path.name).symlink_to(path.resolve())
        if added is None:
            (out / RESULTS).symlink_to((root / RESULTS).resolve())
        else:
            pq.write_table(_with(root, added), out / RESULTS)
    except OSError as error:
        raise SetupError(f"{out} cannot be made: {error.strerror}") from error
    return 0 if added is None else len(added)


def _added(root: Path, matches: Sequence[Match]) -> ResultTable | None:
    table = load_table(root)
    new = missing_from(table, [match for match in matches if match.league in table.league_names])
    return rows_of(table, new) if new else None


def _with(root: Path, added: ResultTable) -> pa.Table:
    before = read_columns(root, RESULTS, pq.read_schema(parquet_path(root, RESULTS)).names)
    columns = _columns(added)
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(len(added), field.type)
        for field in before.schema
    ]
    return pa.concat_tables([before, pa.table(arrays, schema=before.schema)]).unify_dictionaries()


def _columns(table: ResultTable) -> dict[str, pa.Array]:
    """Return what a table says, by the columns of the file."""
    teams = [[table.team_names[code] for code in codes.tolist()] for codes in (table.home, table.away)]
    columns: dict[str, pa.Array] = {
        "league": pa.array([table.league_names[code] for code in table.league.tolist()]),
        "country": pa.array([country for country, _ in teams[0]]),
        "tier": pa.array(table.tier),
        "season_start": pa.array(table.season),
        "date": pa.array(table.day.astype("datetime64[D]")),
        "time": pa.array([f"{int(hour)}:{round(hour % 1 * 60):02}" for hour in table.hour.tolist()]),
        "home": pa.array([name for _, name in teams[0]]),
        "away": pa.array([name for _, name in teams[1]]),
    }
    for field, names in (PAIRS | PRICES).items():
        values = getattr(table, field).T
        columns |= {name: pa.array(each, from_pandas=True) for name, each in zip(names, values, strict=True)}
    return columns
