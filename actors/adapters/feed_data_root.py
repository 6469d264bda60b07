"""Any match of `data.root`'s Parquet files as a feed: `wyscout:<id>` with every event, `understat:<id>` with its shots.

The prices of both come from football-data: collected before the match, and at closing just before kick-off. Tables are
read once per process (the events take 0.4 s and 90 MB); a match then loads in some 20 ms.

What understat leaves open:
- it has shots only: no cards with times, no line-ups, no substitutions, so none are sent;
- its clock is a whole minute: a shot is sent at half past it;
- shots of the 45th to 51st minute may have no half. Goals among them are given to the first half, earliest first, until
  the half-time score is reached; other shots to the half in which that minute is more likely (up to 46' the first).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow
import pyarrow.parquet
from msgspec import Struct

from actors.adapters import wyscout_codes, wyscout_match
from actors.adapters.feeds import KICK_OFF_MS, FeedBuilder, MatchFeed
from actors.adapters.team_alias import rating_key
from actors.adapters.wyscout_match import Sheet, SheetPlayer, SheetSubstitution, SheetTeam, WyscoutEvent, percent
from actors.domain.errors import NotAMatch, SetupError
from actors.domain.events import (
    MAX_PRICE,
    BallEvent,
    Clock,
    Goal,
    Odds,
    OwnGoal,
    Payload,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    Side,
)
from actors.domain.fixtures import Believed, Fixture, Team

Source = Literal["wyscout", "understat"]
SOURCES: tuple[Source, ...] = ("wyscout", "understat")
ODDS_PROVIDER = "football-data"
PRE_AT_MS, CLOSE_AT_MS = 0, KICK_OFF_MS - 1_000
SIDES: tuple[Side, Side] = ("home", "away")
HALF_MS = {1: 46 * 60_000, 2: 49 * 60_000}  # 1,332 Wyscout matches took 46.3 and 48.7 minutes; longer for later shots
LIKELY_FIRST_HALF = 46  # of shots whose half is known, 47 % at 45-46' are the first half's, 39 % at 47', 21 % at 48'
MINUTE_MS = 60_000
LEAGUES = {**wyscout_codes.LEAGUES, "RUS-Premier League": "RUS"}  # codes in the ratings


class ListedMatch(Struct, frozen=True, kw_only=True):
    """A match that can be read."""

    match_id: str
    kick_off: datetime
    competition: str
    home: str
    away: str


def list_matches(root: Path, source: Source) -> tuple[ListedMatch, ...]:
    """List a source's matches in order of kick-off; raises SetupError without its files."""
    rows = _matches(root, source).values()
    listed = (
        ListedMatch(
            match_id=f"{source}:{row['match_id']}",
            kick_off=_aware(row["kickoff_utc"]),
            competition=row["competition"],
            home=row["home"],
            away=row["away"],
        )
        for row in rows
    )
    return tuple(sorted(listed, key=lambda match: (match.kick_off, match.match_id)))


def read_match(root: Path, match_id: str) -> MatchFeed:
    """Read `wyscout:<id>` or `understat:<id>`.

    Raises:
        SetupError: `root` or one of its files is missing.
        NotAMatch: There is no such match in it.
    """
    row = match_row(root, match_id)
    builder = _wyscout(root, row) if match_id.startswith("wyscout:") else _understat(root, row)
    _add_odds(builder, row)
    return builder.build()


def match_row(root: Path, match_id: str) -> dict[str, Any]:
    """Return the row of `wyscout:<id>` or `understat:<id>` in its source's table of matches; raises as `read_match`."""
    for source in SOURCES:
        number = match_id.removeprefix(f"{source}:")
        if number != match_id and number.isascii() and number.isdigit():
            matches = _matches(root, source)
            if int(number) in matches:
                return matches[int(number)]
            raise NotAMatch(str(root), f"one of the {len(matches)} matches of {source}", repr(match_id))
    raise NotAMatch(str(root), "a match as wyscout:<id> or understat:<id>", repr(match_id))


def sheet_of(root: Path, match_id: int) -> Sheet:
    """Return the sheet of a Wyscout match; raises SetupError, and KeyError for an unknown id."""
    row = _matches(root, "wyscout")[match_id]
    players: dict[Side, list[SheetPlayer]] = {"home": [], "away": []}
    for player in rows_of(root, "wyscout/lineups.parquet", match_id):
        entry = SheetPlayer(
            player_id=player["player_id"],
            name=player["short_name"] or "",
            role=player["role"] or "",
            starter=player["starter"],
        )
        players[SIDES[player["side"]]].append(entry)
    changes = (row for row in rows_of(root, "wyscout/incidents.parquet", match_id) if row["kind"] == "sub")
    return Sheet(
        match_id=match_id,
        kick_off=_aware(row["kickoff_utc"]),
        competition=row["competition"],
        home=SheetTeam(team_id=row["home_id"], name=row["home"]),
        away=SheetTeam(team_id=row["away_id"], name=row["away"]),
        home_players=tuple(players["home"]),
        away_players=tuple(players["away"]),
        substitutions=tuple(map(_substitution, changes)),
    )


def _substitution(row: Mapping[str, Any]) -> SheetSubstitution:
    return SheetSubstitution(
        clock=Clock(row["period"], row["t_ms"]),
        side=SIDES[row["side"]],
        player_on=row["player_id"] or None,
        player_off=row["player_out"] or None,
    )


def _wyscout(root: Path, row: Mapping[str, Any]) -> FeedBuilder:
    sheet = sheet_of(root, row["match_id"])
    return wyscout_match.feed_builder(_wyscout_events(root, sheet.match_id), sheet, {}, _fixture(row, "wyscout"))


def _wyscout_events(root: Path, match_id: int) -> list[WyscoutEvent]:
    table = _slice(root, "wyscout/events.parquet", match_id)
    tag_ids = _tag_ids(root)
    what, where = _rows_of(table, _WHAT), _rows_of(table, _WHERE)
    return [
        WyscoutEvent(
            event_id,
            period,
            ms,
            SIDES[side],
            player,
            kind,
            detail,
            _tags(tags, tag_ids),
            *map(_PLACES.__getitem__, place),
        )
        for (event_id, period, ms, side, player, kind, detail, tags), place in zip(what, where, strict=True)
    ]


_PLACES = {value: percent(value) for value in range(-1, 101)}
_WHAT = ("event_id", "period", "t_ms", "side", "player_id", "type", "subtype", "tags")
_WHERE = ("x", "y", "end_x", "end_y")


def _rows_of(table: Any, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in columns), strict=True)


@lru_cache(maxsize=65_536)
def _tags(mask: int, tag_ids: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(tag for bit, tag in tag_ids if mask >> bit & 1)


@lru_cache(maxsize=4)
def _tag_ids(root: Path) -> tuple[tuple[int, int], ...]:
    """Return (bit, tag id) as the events file's own metadata has them."""
    metadata = _table(root, "wyscout/events.parquet").schema.metadata
    bits = msgspec.json.decode(metadata[b"tag_bits"], type=dict[int, tuple[int, str]], strict=False)
    return tuple((bit, tag) for bit, (tag, _) in sorted(bits.items()))


def _understat(root: Path, row: Mapping[str, Any]) -> FeedBuilder:
    builder = FeedBuilder(_fixture(row, "understat"), "understat")
    shots = _with_halves(rows_of(root, "understat/shots.parquet", row["match_id"]), row)
    lengths = dict(HALF_MS)
    for shot, clock in zip(shots, _clocks(shots), strict=True):
        lengths[clock.period] = max(lengths[clock.period], clock.ms + 1_000)
        for event_id, payload in _shot_payloads(shot):
            builder.add(clock, event_id, payload)
    builder.phases(lengths)
    return builder


def _with_halves(shots: Sequence[dict[str, Any]], row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return shots in order of play, each with a half; the module's docstring says how one without gets it."""
    ordered = sorted(shots, key=lambda shot: (shot["minute"], shot["shot_id"]))
    goals_left = {"home": row["home_ht"], "away": row["away_ht"]}
    if None not in goals_left.values():
        for shot in ordered:
            if shot["half"] == 1 and (side := _scores_for(shot)):
                goals_left[side] -= 1
    placed = [{**shot, "half": shot["half"] or _half(shot, goals_left)} for shot in ordered]
    return sorted(placed, key=lambda shot: shot["half"])


def _half(shot: Mapping[str, Any], goals_left: dict[str, Any]) -> int:
    side = _scores_for(shot)
    if side is None or goals_left[side] is None:
        return 1 if shot["minute"] <= LIKELY_FIRST_HALF else 2
    goals_left[side] -= 1
    return 1 if goals_left[side] >= 0 else 2


def _scores_for(shot: Mapping[str, Any]) -> Side | None:
    """Return the side that a shot gave a goal; understat's own goals stand under the side of their player."""
    if shot["result"] == "Goal":
        return SIDES[shot["side"]]
    return SIDES[1 - shot["side"]] if shot["result"] == "OwnGoal" else None


def _clocks(shots: Iterable[Mapping[str, Any]]) -> list[Clock]:
    """Return a clock per shot: half past its minute, a second apart within it."""
    clocks: list[Clock] = []
    for shot in shots:
        period = shot["half"]
        ms = (shot["minute"] - 45 * (period - 1)) * MINUTE_MS + MINUTE_MS // 2
        last = clocks[-1] if clocks else Clock(0, 0)
        is_same_minute = last.period == period and last.ms // MINUTE_MS == ms // MINUTE_MS
        clocks.append(Clock(period, last.ms + 1_000 if is_same_minute else ms))
    return clocks


def _shot_payloads(shot: Mapping[str, Any]) -> Iterable[tuple[str, Payload]]:
    """Yield (event id, payload) in order: the award, the shot, what came of it."""
    event_id, side, result = str(shot["shot_id"]), SIDES[shot["side"]], shot["result"]
    player_id, player = str(shot["player_id"]), shot["player"] or ""
    if result == "OwnGoal":
        yield event_id, BallEvent(side=side, action="touch", detail="own goal", player_id=player_id)
        yield f"{event_id}:goal", OwnGoal(side=SIDES[1 - shot["side"]], player_id=player_id, player=player)
        return
    if shot["situation"] == "Penalty":
        yield f"{event_id}:awarded", PenaltyAwarded(side=side)
    yield event_id, _shot(shot, side, player_id)
    if shot["situation"] == "Penalty":
        took = PenaltyScored if result == "Goal" else PenaltyMissed
        yield f"{event_id}:goal", took(side=side, player_id=player_id, player=player)
    elif result == "Goal":
        yield f"{event_id}:goal", Goal(side=side, player_id=player_id, player=player)


def _shot(shot: Mapping[str, Any], side: Side, player_id: str) -> BallEvent:
    return BallEvent(
        side=side,
        action="shot",
        detail=f"{shot['situation']}: {shot['result']}",
        player_id=player_id,
        x=percent(round(100 * shot["x"], 1)),
        y=percent(round(100 * shot["y"], 1)),
        success=shot["result"] == "Goal",
        is_shot=True,
        on_target=shot["result"] in ("Goal", "SavedShot"),
        xg=round(shot["xg"], 4),
        tags=tuple(filter(None, (shot["shot_type"], shot["last_action"]))),
    )


def _fixture(row: Mapping[str, Any], source: Source) -> Fixture:
    return Fixture(
        match_id=f"{source}:{row['match_id']}",
        kick_off=_aware(row["kickoff_utc"]),
        home=Team(name=row["home"], rating_key=row["odds_home_name"] or rating_key(source, row["home"])),
        away=Team(name=row["away"], rating_key=row["odds_away_name"] or rating_key(source, row["away"])),
        competition=row["competition"],
        league=LEAGUES.get(row["competition"]),
        provider_ids={source: str(row["match_id"])},
        believed=Believed(events=source, clock=source, odds=(ODDS_PROVIDER,)),
    )


def _add_odds(builder: FeedBuilder, row: Mapping[str, Any]) -> None:
    for stage, at_ms in (("pre", PRE_AT_MS), ("close", CLOSE_AT_MS)):
        bookmaker = row.get(f"odds_{stage}_src") or ""
        for odds in (
            _book(row, stage, "1x2", {"home": "h", "draw": "d", "away": "a"}, None, bookmaker),
            _book(row, stage, "over_under", {"over": "o25", "under": "u25"}, 2.5, bookmaker),
        ):
            if odds is not None:
                builder.before(at_ms, f"{stage}:{odds.market}", odds, provider=ODDS_PROVIDER)


def _book(
    row: Mapping[str, Any], stage: str, market: str, columns: Mapping[str, str], line: float | None, bookmaker: str
) -> Odds | None:
    prices = [row[f"odds_{stage}_{column}"] for column in columns.values()]
    if not all(price is not None and 1 < price <= MAX_PRICE for price in prices):
        return None
    return Odds(
        market=market,
        selections=tuple(columns),
        prices=tuple(round(price, 4) for price in prices),  # stored as float32
        line=line,
        bookmaker=bookmaker,
    )


def _aware(kick_off: datetime) -> datetime:
    return kick_off.replace(tzinfo=UTC)


@lru_cache(maxsize=4)
def _matches(root: Path, source: Source) -> dict[int, dict[str, Any]]:
    return {row["match_id"]: row for row in _table(root, f"{source}/matches.parquet").to_pylist()}


def rows_of(root: Path, name: str, match_id: int) -> list[dict[str, Any]]:
    """Return a match's rows of a file such as `wyscout/incidents.parquet`; raises SetupError."""
    rows: list[dict[str, Any]] = _slice(root, name, match_id).to_pylist()
    return rows


def _slice(root: Path, name: str, match_id: int) -> Any:
    """Return a match's rows of a table, in the file's order."""
    runs = _runs(root, name).get(match_id, ())
    table = _table(root, name)
    return pyarrow.concat_tables([table.slice(start, stop - start) for start, stop in runs] or [table.slice(0, 0)])


@lru_cache(maxsize=8)
def _runs(root: Path, name: str) -> dict[int, list[tuple[int, int]]]:
    """Return where each match's rows lie: (start, stop) of each stretch."""
    ids = _table(root, name).column("match_id").to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    runs: dict[int, list[tuple[int, int]]] = {}
    for start, stop in pairwise(starts):
        if stop > start:
            runs.setdefault(int(ids[start]), []).append((start, stop))
    return runs


@lru_cache(maxsize=8)
def _table(root: Path, name: str) -> Any:
    """Return a file's table.

    Raises:
        SetupError: The file is missing or no Parquet file.
    """
    try:
        table = pyarrow.parquet.read_table(root / name)
    except FileNotFoundError as error:
        raise SetupError(
            f"data.root: expected {name} under {root}, found no such file; set data.root to the data's folder"
        ) from error
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise SetupError(f"data.root: expected {root / name} to be a readable Parquet file, found: {error}") from error
    return table
