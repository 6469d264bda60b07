"""Reads the results file into columns: one row a match, by day, names as codes, missing as NaN."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training.live_data import RESULTS, ReadColumns, parquet_path, read_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAIN_LEAGUES = (
    *("E0", "E1", "E2", "E3", "EC", "SC0", "SC1", "SC2", "SC3", "D1", "D2"),
    *("I1", "I2", "SP1", "SP2", "F1", "F2", "N1", "B1", "P1", "T1", "G1"),
)
TOP_FIVE = ("E0", "D1", "I1", "SP1", "F1")
_IDENTITY = ("league", "country", "tier", "season_start", "date", "home", "away")
PAIRS = {  # what happened: known after the match
    "goals": ("fthg", "ftag"),
    "half_time": ("hthg", "htag"),
    "shots": ("hs", "as"),
    "on_target": ("hst", "ast"),
    "corners": ("hc", "ac"),
    "reds": ("hr", "ar"),
}
BOOKS = {  # 1X2 of single books and of summaries of books, before the match
    name: (f"{name}_h", f"{name}_d", f"{name}_a") for name in ("b365", "ps", "avg", "max", "mb", "bfe")
}
PRICES = {
    "pre": ("pre_h", "pre_d", "pre_a"),
    "close": ("close_h", "close_d", "close_a"),
    "pre_total": ("pre_o25", "pre_u25"),
    "close_total": ("close_o25", "close_u25"),
}
_HANDICAP = ("ah_line", "avg_ahh", "avg_aha")
_NAMES = ("league_names", "team_names")
_DAYS_APART = 3  # days of kick-off are UTC, those of results local; a postponed match keeps its pairing, not its day
REQUIRED = (*_IDENTITY, *PAIRS["goals"], *(name for names in PRICES.values() for name in names))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultTable:
    """Matches sorted by day, league, home and away; (n,) and (n, k) arrays, home first."""

    league_names: tuple[str, ...]
    team_names: tuple[tuple[str, str], ...]  # country and name
    league: IntArray  # index of league_names
    tier: IntArray
    season: IntArray  # year it started in
    day: IntArray  # since 1970-01-01
    hour: FloatArray  # of kick-off
    home: IntArray  # index of team_names
    away: IntArray
    referee: IntArray  # code, -1 unknown
    goals: FloatArray
    half_time: FloatArray
    shots: FloatArray
    on_target: FloatArray
    corners: FloatArray
    reds: FloatArray
    pre: FloatArray  # decimal prices of home, draw, away
    close: FloatArray
    pre_total: FloatArray  # of over and under 2.5
    close_total: FloatArray
    books: FloatArray  # (n, len(BOOKS), 3)
    handicap: FloatArray  # line, price of home, of away

    def __len__(self) -> int:
        return len(self.day)

    def rows(self, chosen: IntArray | NDArray[np.bool_]) -> "ResultTable":
        """Return the table with the chosen rows only, codes unchanged."""
        arrays = {field.name: getattr(self, field.name)[chosen] for field in fields(self) if field.name not in _NAMES}
        return replace(self, **arrays)

    def joined(self, more: "ResultTable") -> "ResultTable":
        """Return the rows of both in order; names are those of `more`, which begin with ours."""
        arrays: dict[str, Any] = {
            field.name: np.concatenate([getattr(self, field.name), getattr(more, field.name)])
            for field in fields(self)
            if field.name not in _NAMES
        }
        whole = replace(more, **arrays)
        league, team = _ranks(whole.league_names), _ranks([name for _, name in whole.team_names])
        return whole.rows(np.lexsort((team[whole.away], team[whole.home], league[whole.league], whole.day)))

    def nearest(self, matches: Iterable[tuple[str, str, str]], days: Iterable[int]) -> IntArray:
        """Return (n,) the row of each league, home and away, -1 where there is none of them within a few days."""
        names = [name for _, name in self.team_names]
        played: dict[tuple[str, str, str], list[int]] = {}
        codes = zip(self.league.tolist(), self.home.tolist(), self.away.tolist(), strict=True)
        for row, (league, home, away) in enumerate(codes):
            played.setdefault((self.league_names[league], names[home], names[away]), []).append(row)
        found = [self._nearest(played.get(key, []), day) for key, day in zip(matches, days, strict=True)]
        return np.array(found, dtype=np.int64)

    def _nearest(self, rows: list[int], day: int) -> int:
        row = min(rows, key=lambda row: abs(int(self.day[row]) - day), default=-1)
        return row if row >= 0 and abs(int(self.day[row]) - day) <= _DAYS_APART else -1

    def in_leagues(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Return (n,): whether a match is of one of these leagues."""
        codes = [code for code, name in enumerate(self.league_names) if name in names]
        return np.isin(self.league, codes)

    def outcome(self) -> IntArray:
        """Return (n,) 0 home, 1 draw, 2 away, -1 not played."""
        lead = np.sign(self.goals[:, 0] - self.goals[:, 1])
        return np.where(np.isnan(lead), -1, 1 - np.nan_to_num(lead)).astype(np.int64)

    def keys(self) -> list[str]:
        """Return `league|YYYY-MM-DD|home|away` of each match."""
        days = self.day.astype("datetime64[D]").astype(str).tolist()
        return [
            f"{self.league_names[league]}|{day}|{self.team_names[home][1]}|{self.team_names[away][1]}"
            for league, day, home, away in zip(
                self.league.tolist(), days, self.home.tolist(), self.away.tolist(), strict=True
            )
        ]


def load_table(root: Path, read: ReadColumns = read_columns) -> ResultTable:
    """Load all results under `root`; columns of statistics and single books may be absent.

    Raises:
        SetupError: The folder, the file or a column that is always needed is not there.
    """
    table = read(root, RESULTS, list(REQUIRED))
    optional = [*(name for pair in PAIRS.values() for name in pair), *_HANDICAP, "time", "referee"]
    optional += [name for names in BOOKS.values() for name in names]
    present = set(pq.read_schema(parquet_path(root, RESULTS)).names) - set(REQUIRED)
    extra = read(root, RESULTS, [name for name in optional if name in present])
    for name in extra.column_names:
        table = table.append_column(name, extra.column(name))
    for name in ("league", "home", "away"):  # sorting knows no dictionaries
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(pa.string()))
    table = table.append_column("day", table.column("date").cast(pa.date32()).cast(pa.int32()))
    return _columns(table.sort_by([(name, "ascending") for name in ("day", "league", "home", "away")]))


def _ranks(names: Sequence[str]) -> IntArray:
    """Return (n,): the place of each name in alphabetical order, equals alike."""
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64)


def _columns(table: pa.Table) -> ResultTable:
    league_names, league = _codes(table.column("league"))
    country = table.column("country").to_pylist()
    home = list(zip(country, table.column("home").to_pylist(), strict=True))
    away = list(zip(country, table.column("away").to_pylist(), strict=True))
    team_names = tuple(dict.fromkeys(name for pair in zip(home, away, strict=True) for name in pair))
    code = {name: number for number, name in enumerate(team_names)}
    return ResultTable(
        league_names=league_names,
        team_names=team_names,
        league=league,
        tier=_numbers(table, "tier").astype(np.int64),
        season=_numbers(table, "season_start").astype(np.int64),
        day=_numbers(table, "day").astype(np.int64),
        hour=_hours(table),
        home=np.array([code[name] for name in home], dtype=np.int64),
        away=np.array([code[name] for name in away], dtype=np.int64),
        referee=_codes(table.column("referee"))[1] if "referee" in table.column_names else _unknown(table),
        books=np.stack([_stack(table, names) for names in BOOKS.values()], axis=1),
        handicap=_stack(table, _HANDICAP),
        **{name: _stack(table, columns) for name, columns in (PAIRS | PRICES).items()},
    )


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], IntArray]:
    """Return names in the order in which they appear, and each row's index, -1 where there is none."""
    values = column.to_pylist()
    names = dict.fromkeys(value for value in values if value is not None)
    code: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([code.get(value, -1) for value in values], dtype=np.int64)


def _numbers(table: pa.Table, name: str) -> FloatArray:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def _stack(table: pa.Table, names: Sequence[str]) -> FloatArray:
    return np.stack([_numbers(table, name) for name in names], axis=1)


def _unknown(table: pa.Table) -> IntArray:
    return np.full(table.num_rows, -1, dtype=np.int64)


def _hours(table: pa.Table) -> FloatArray:
    """Return the hour of kick-off as a number, NaN where it is not known."""
    if "time" not in table.column_names:
        return np.full(table.num_rows, np.nan)
    parts = [value.split(":") if value else None for value in table.column("time").to_pylist()]
    return np.array([int(part[0]) + int(part[1]) / 60 if part else np.nan for part in parts])
