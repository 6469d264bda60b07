"""Reads `data.root` for the in-play network: prices, and how goals, shots and red cards came, minute by minute."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from actors.domain.errors import SetupError
from training.ratings import Result

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MINUTES = 91  # rows of a match in minute_state: 0..90, each with what happened before it
HALF_TIME = 45
SUITES = ("understat", "wyscout")
RESULTS = "results/matches.parquet"
FILES = (  # that fitting reads
    RESULTS,
    *(f"understat/{name}.parquet" for name in ("matches", "minute_state", "shots")),
    *(f"wyscout/{name}.parquet" for name in ("matches", "minute_state")),
)
LEAGUE_CODES = {
    "ENG-Premier League": "E0",
    "ESP-La Liga": "SP1",
    "FRA-Ligue 1": "F1",
    "GER-Bundesliga": "D1",
    "ITA-Serie A": "I1",
    "RUS-Premier League": "RUS",
}
_PRICES = ["odds_close_h", "odds_close_d", "odds_close_a", "odds_close_o25", "odds_close_u25"]
_NAMES = ["odds_home_name", "odds_away_name"]
_RESULT_COLUMNS = ["league", "country", "tier", "season_start", "date", "home", "away", "fthg", "ftag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMatches:
    """Matches with closing prices and one state per minute; n of them, home first."""

    suite: str
    match_id: IntArray  # (n,)
    day: NDArray[np.datetime64]  # (n,) of kick-off, UTC
    league: tuple[str, ...]
    home: tuple[str, ...]  # names of the results file
    away: tuple[str, ...]
    prices: FloatArray  # (n, 3) home, draw, away; as loaded, every match has them
    over_under: FloatArray  # (n, 2) over and under 2.5 goals, NaN where there is none
    goals: IntArray  # (n, MINUTES, 2)
    shots: IntArray  # (n, MINUTES, 2) own goals apart
    reds: IntArray | None  # (n, MINUTES, 2); None where cards have no times
    final: IntArray  # (n, 2) goals of regular time
    outcome: IntArray  # (n,) 0 home, 1 draw, 2 away

    def __len__(self) -> int:
        return len(self.match_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfLengths:
    """How long halves lasted; seconds."""

    first_s: FloatArray
    second_s: FloatArray


ReadColumns = Callable[[Path, str, list[str]], pa.Table]  # as read_columns


def read_columns(root: Path, relative: str, columns: list[str]) -> pa.Table:
    """Read columns of one Parquet file; raises SetupError in one sentence if folder, file or column is not there."""
    path = parquet_path(root, relative, columns)
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def parquet_path(root: Path, relative: str, columns: Sequence[str] = ()) -> Path:
    """Return the path of a Parquet file that has these columns; raises SetupError where it does not."""
    if not root.is_dir():
        raise SetupError(f"data.root: no folder {root}; set data.root=DIR to the data's folder")
    path = root / relative
    if not path.is_file():
        raise SetupError(f"{path}: no such file; data.root must hold {relative}")
    try:
        present = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    missing = [column for column in columns if column not in present]
    if missing:
        raise SetupError(f"{path}: has no column {', '.join(missing)}")
    return path


def unreadable(path: Path, error: Exception) -> SetupError:
    """Return what to say of a file whose bytes are no Parquet."""
    reason = str(error).split("\n")[0]
    return SetupError(f"{path}: cannot be read as Parquet ({reason})")


def need_rows(count: int, otherwise: str) -> None:
    """Raise SetupError where there is nothing to fit on."""
    if not count:
        raise SetupError(f"{otherwise}: nothing to fit on")


def data_hashes(root: Path) -> dict[str, str]:
    """Return the sha256 of every file that fitting reads, by its path under `root`; raises SetupError."""
    hashes = {}
    for relative in FILES:
        with parquet_path(root, relative).open("rb") as file:
            hashes[relative] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def load_live(root: Path, suite: str, start: date, end: date, read: ReadColumns = read_columns) -> LiveMatches:
    """Load the matches of a suite that kicked off in [start, end), that have closing 1X2 prices and all goals."""
    extra = ["goals_complete", "awarded_or_partial"] if suite == "understat" else []
    columns = ["match_id", "competition", "kickoff_utc", "home_ft", "away_ft", *_PRICES, *_NAMES, *extra]
    table = read(root, f"{suite}/matches.parquet", columns)
    day = _column(table, "kickoff_utc").astype("datetime64[D]")
    prices = np.stack([_column(table, name).astype(np.float64) for name in _PRICES], axis=1)
    keep = (day >= np.datetime64(start)) & (day < np.datetime64(end)) & np.isfinite(prices[:, :3]).all(axis=1)
    if suite == "understat":
        whole, awarded = (_column(table, name).astype(np.bool_) for name in extra)
        keep &= whole & ~awarded
    chosen = np.flatnonzero(keep)
    match_id = _column(table, "match_id")[chosen].astype(np.int64)
    states = _minutes(root, suite, match_id, read)
    if suite == "understat":
        states["shots"][:, HALF_TIME] = _shots_of_first_half(root, match_id, read)
    final = np.stack([_column(table, name)[chosen] for name in ("home_ft", "away_ft")], axis=1).astype(np.int64)
    competitions = table.column("competition").to_pylist()
    return LiveMatches(
        suite=suite,
        match_id=match_id,
        day=day[chosen],
        league=tuple(LEAGUE_CODES.get(competitions[row], "") for row in chosen),
        home=_names(table, "odds_home_name", chosen),
        away=_names(table, "odds_away_name", chosen),
        prices=prices[chosen, :3],
        over_under=prices[chosen, 3:],
        goals=states["goals"],
        shots=states["shots"],
        reds=states.get("reds"),
        final=final,
        outcome=states["outcome"],
    )


def load_half_lengths(root: Path, end: date, read: ReadColumns = read_columns) -> HalfLengths:
    """Load how long the halves of Wyscout's matches lasted that kicked off before `end`."""
    table = read(root, "wyscout/matches.parquet", ["kickoff_utc", "h1_len_s", "h2_len_s"])
    before = _column(table, "kickoff_utc").astype("datetime64[D]") < np.datetime64(end)
    first, second = (_column(table, name)[before].astype(np.float64) for name in ("h1_len_s", "h2_len_s"))
    return HalfLengths(first_s=first, second_s=second)


def load_results(root: Path, end: date, read: ReadColumns = read_columns) -> list[Result]:
    """Load all results dated before `end`, by day."""
    table = read(root, RESULTS, _RESULT_COLUMNS)
    days = _column(table, "date").astype("datetime64[D]")
    chosen = np.flatnonzero(days < np.datetime64(end))
    order = chosen[np.argsort(days[chosen], kind="stable")]
    columns = [table.column(name).take(pa.array(order)).to_pylist() for name in _RESULT_COLUMNS if name != "date"]
    rows = zip(*columns, days[order].astype(np.int64).tolist(), strict=True)
    return [
        Result(
            league=league,
            country=country,
            tier=tier,
            season=season,
            day=day,
            home=home,
            away=away,
            home_goals=home_goals,
            away_goals=away_goals,
        )
        for league, country, tier, season, home, away, home_goals, away_goals, day in rows
    ]


def _minutes(root: Path, suite: str, match_id: IntArray, read: ReadColumns) -> dict[str, IntArray]:
    """Return goals and shots (n, MINUTES, 2), outcome (n,) and, where they have times, red cards, by `match_id`."""
    counts = {"goals": ["home_goals", "away_goals"], "shots": ["home_shots", "away_shots"]}
    if suite == "wyscout":
        counts["reds"] = ["home_reds", "away_reds"]
    names = [name for pair in counts.values() for name in pair]
    relative = f"{suite}/minute_state.parquet"
    table = read(root, relative, ["match_id", "minute", "res90", *names])
    order = np.lexsort((_column(table, "minute"), _column(table, "match_id")))
    ids = _column(table, "match_id")[order].astype(np.int64)
    start = np.searchsorted(ids, match_id)
    rows = start[:, None] + np.arange(MINUTES)
    if len(match_id) and (rows.max() >= len(ids) or (ids[rows] != match_id[:, None]).any()):
        raise SetupError(f"{root / relative}: a match of {suite}/matches.parquet has not its {MINUTES} minutes")
    sorted_rows = order[rows]
    states = {
        kind: np.stack([_column(table, name)[sorted_rows] for name in pair], axis=2).astype(np.int64)
        for kind, pair in counts.items()
    }
    states["outcome"] = _column(table, "res90")[sorted_rows[:, 0]].astype(np.int64)
    return states


def _shots_of_first_half(root: Path, match_id: IntArray, read: ReadColumns) -> IntArray:
    """Return (n, 2) shots known to be the first half's: of the others at half time some are the future."""
    table = read(root, "understat/shots.parquet", ["match_id", "half", "side", "result"])
    if not len(match_id):
        return np.zeros((0, 2), np.int64)
    result = np.array(table.column("result").to_pylist())
    first = (_column(table, "half") == 1) & (result != "OwnGoal")
    order = np.argsort(match_id)
    place = np.searchsorted(match_id, _column(table, "match_id")[first], sorter=order).clip(max=len(order) - 1)
    row, side = order[place], _column(table, "side")[first].astype(np.int64)
    ours = match_id[row] == _column(table, "match_id")[first]
    shots = np.zeros((len(match_id), 2), np.int64)
    np.add.at(shots, (row[ours], side[ours]), 1)
    return shots


def _column(table: pa.Table, name: str) -> NDArray[np.generic]:
    array: NDArray[np.generic] = table.column(name).to_numpy()
    return array


def _names(table: pa.Table, name: str, rows: IntArray) -> tuple[str, ...]:
    values = table.column(name).to_pylist()
    return tuple(values[row] or "" for row in rows)
