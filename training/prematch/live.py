"""The forecast before kick-off of matches that the results file does not have: by its results, and those of the log.

Values are those of evaluation: the same functions compute them, from the same table with these matches added.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from actors.domain.events import Prematch
from actors.domain.features.prematch import GIVEN
from actors.domain.prior import Prior
from training.live_data import RESULTS, parquet_path, read_columns, unreadable
from training.prematch.inputs import PrematchInputs, prematch_inputs
from training.prematch.model import BoolArray, Known, PrematchForecast, PrematchModel, forecast
from training.prematch.table import BOOKS, FloatArray, IntArray, ResultTable, load_table

_CLOCK = ZoneInfo("Europe/London")  # of days and hours in the results file, whatever the league
_EPOCH = date(1970, 1, 1)
_YEAR, _SUMMER, _SEASON = 365, 25, 300  # days; see `season_of`
_NEWEST = 100  # matches of a league, by which its prices are known or not
_SIDES = ("home", "away")
_Pair = tuple[int, int]


class Match(Struct, frozen=True, kw_only=True):
    """A match by the names of the results file; what happened is None where it is not known, or not played."""

    league: str
    kick_off: datetime
    home: str
    away: str
    goals: _Pair | None = None
    half_time: _Pair | None = None
    reds: _Pair | None = None
    close: tuple[float, float, float] | None = None
    close_total: tuple[float, float] | None = None  # over and under 2.5

    @property
    def day(self) -> int:
        """Return the day of the results file, since 1970-01-01."""
        return (self.kick_off.astimezone(_CLOCK).date() - _EPOCH).days

    @property
    def hour(self) -> float:
        """Return the hour of kick-off in the results file."""
        local = self.kick_off.astimezone(_CLOCK)
        return local.hour + local.minute / 60

    @property
    def key(self) -> tuple[str, str, str]:
        """Return league, home and away."""
        return self.league, self.home, self.away


def load_countries(root: Path, leagues: Iterable[str]) -> ResultTable:
    """Load the results of the countries of these leagues: no others bear on them.

    Raises:
        SetupError: As `load_table`.
    """
    names = read_columns(root, RESULTS, ["league", "country"])
    theirs = pc.is_in(names.column("league").cast(pa.string()), pa.array(sorted(leagues), pa.string()))
    countries = names.column("country").filter(theirs).unique().to_pylist()
    return load_table(root, partial(_read, countries))


def _read(countries: list[str], root: Path, relative: str, columns: list[str]) -> pa.Table:
    path = parquet_path(root, relative, columns)
    theirs = pc.field("country").cast(pa.string()).isin(pa.array(countries, pa.string()))
    try:
        return pq.read_table(path, columns=columns, filters=theirs)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def prematch_of(
    model: PrematchModel, version: str, table: ResultTable, upcoming: Sequence[Match], played: Sequence[Match]
) -> list[Prematch | None]:
    """Return what ratings and form say of each upcoming match; None in a league that has no results.

    Args:
        version: Of the model.
        table: Results of the countries of these matches at the least; those of a match's own day and later do not
            count for it.
        played: Matches of the log, some of which the table may have already.
    """
    rated = {table.league_names[code] for code in np.unique(table.league).tolist()}
    known = [match for match in upcoming if match.league in rated]
    if not known:
        return [None] * len(upcoming)
    table, rows = with_matches(table, [*known, *(match for match in played if match.league in rated)])
    inputs, row = prematch_inputs(table), iter(rows.tolist())
    return [_told(model, version, table, inputs, next(row)) if match.league in rated else None for match in upcoming]


def with_matches(table: ResultTable, matches: Sequence[Match]) -> tuple[ResultTable, IntArray]:
    """Return the table with matches of its leagues added where it has not got them, and (n,) the row of each.

    Rows come in the table's order: nothing tells an added match from one that the file had.
    """
    keys, days = [match.key for match in matches], [match.day for match in matches]
    added = missing_from(table, matches)
    whole = table.joined(rows_of(table, added)) if added else table
    return whole, whole.nearest(keys, days)


def missing_from(table: ResultTable, matches: Sequence[Match]) -> list[Match]:
    """Return the matches that the table has not got, each once, in their order."""
    days = [match.day for match in matches]
    rows = table.nearest([match.key for match in matches], days).tolist()
    added: dict[tuple[object, int], Match] = {}
    for match, day, row in zip(matches, days, rows, strict=True):
        if row < 0:
            added.setdefault((match.key, day), match)
    return list(added.values())


def season_of(calendar: Sequence[tuple[int, int]], day: int) -> int:
    """Return the season of a league's match, by the days and seasons of its matches in order.

    A season is over a year after its first day, or 300 days where a summer's pause went before. Of the 277,277
    matches of the results file that is wrong for 405, 243 of them in Argentina.

    >>> season_of([(0, 2000), (280, 2000)], 290), season_of([(0, 2000), (280, 2000)], 350)
    (2000, 2001)
    """
    place = bisect_left(calendar, (day,))
    last, season = calendar[max(place - 1, 0)]
    first = next(day for day, of in calendar if of == season)
    longer = _YEAR - _SEASON if day - last >= _SUMMER else 0
    return season + max(day - first + longer, 0) // _YEAR


def _told(model: PrematchModel, version: str, table: ResultTable, inputs: PrematchInputs, row: int) -> Prematch:
    chosen = np.array([row])
    before = (table.day < table.day[row]) & np.isfinite(table.goals[:, 0])
    in_league = before & (table.league == table.league[row])
    said = forecast(model, table.rows(chosen), inputs.rows(chosen), _known(table, in_league))
    teams = (table.home[row], table.away[row])
    is_newcomer = any(not (before & ((table.home == team) | (table.away == team))).any() for team in teams)
    as_of = _EPOCH + timedelta(days=int(table.day[in_league].max(initial=0)))
    return Prematch(prior=_prior(said, version, as_of, is_newcomer), numbers=_numbers(inputs, row))


def _known(table: ResultTable, in_league: BoolArray) -> Known:
    newest = np.flatnonzero(in_league)[-_NEWEST:]
    is_priced = [np.isfinite(prices[newest]).all(axis=1).any() for prices in (table.close, table.pre)]
    return "past_odds" if any(is_priced) else "no_odds"


def _prior(said: PrematchForecast, version: str, as_of: date, is_newcomer: bool) -> Prior:
    home, draw, away = said.outcome[0].tolist()
    return Prior(
        home=home,
        draw=draw,
        away=away,
        over=float(said.over[0]),
        variant=said.basis[0],
        model_version=version,
        as_of=as_of,
        is_newcomer=is_newcomer,
    )


def _numbers(inputs: PrematchInputs, row: int) -> dict[str, float]:
    pairs = [
        pair
        for group in (inputs.play, inputs.past_prices)
        for pair in zip(group.names, group.values[row].tolist(), strict=True)
    ]
    return {name: value for name, value in pairs if name in GIVEN and np.isfinite(value)}


def rows_of(table: ResultTable, matches: Sequence[Match]) -> ResultTable:
    """Return the rows of matches of its leagues alone, under the table's names and those that are new."""
    newest = [int(np.flatnonzero(table.league == table.league_names.index(match.league))[-1]) for match in matches]
    country = [table.team_names[code][0] for code in table.home[newest].tolist()]
    home, away = ([(of, getattr(match, side)) for of, match in zip(country, matches, strict=True)] for side in _SIDES)
    team_names = tuple(dict.fromkeys((*table.team_names, *home, *away)))
    code = {name: number for number, name in enumerate(team_names)}
    n, unknown = len(matches), np.full((len(matches), 3), np.nan)
    return ResultTable(
        league_names=table.league_names,
        team_names=team_names,
        league=table.league[newest],
        tier=table.tier[newest],
        season=_seasons(table, matches),
        day=np.array([match.day for match in matches], dtype=np.int64),
        hour=np.array([match.hour for match in matches]),
        home=np.array([code[name] for name in home], dtype=np.int64),
        away=np.array([code[name] for name in away], dtype=np.int64),
        referee=np.full(n, -1, dtype=np.int64),
        goals=_column([match.goals for match in matches], 2),
        half_time=_column([match.half_time for match in matches], 2),
        reds=_column([match.reds for match in matches], 2),
        close=_column([match.close for match in matches], 3),
        close_total=_column([match.close_total for match in matches], 2),
        pre=unknown,
        pre_total=unknown[:, :2],
        shots=unknown[:, :2],  # no two providers call the same things shots, and the filters know one of them
        on_target=unknown[:, :2],
        corners=unknown[:, :2],
        books=np.full((n, len(BOOKS), 3), np.nan),
        handicap=unknown,
    )


def _seasons(table: ResultTable, matches: Sequence[Match]) -> IntArray:
    calendars: dict[str, list[tuple[int, int]]] = {}
    seasons = dict[Match, int]()
    for match in sorted(matches, key=lambda match: match.day):
        if match.league not in calendars:
            rows = table.league == table.league_names.index(match.league)
            calendars[match.league] = sorted(zip(table.day[rows].tolist(), table.season[rows].tolist(), strict=True))
        seasons[match] = season_of(calendars[match.league], match.day)
        insort(calendars[match.league], (match.day, seasons[match]))
    return np.array([seasons[match] for match in matches], dtype=np.int64)


def _column(values: Sequence[tuple[float, ...] | None], width: int) -> FloatArray:
    rows = [(np.nan,) * width if value is None else value for value in values]
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
