"""Wyscout v2 event files: `{"events": [...], "teams": {...}, "players": {...}}`, or the bare list of events."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from actors.adapters.feeds import UNKNOWN_KICK_OFF, MatchFeed, describe, read_bytes
from actors.adapters.wyscout_codes import DETAIL_CODES, KIND_CODES, PERIODS
from actors.adapters.wyscout_match import Sheet, SheetTeam, WyscoutEvent, feed_builder, percent
from actors.domain.errors import NotAMatch
from actors.domain.events import Side

EXPECTED = "a Wyscout v2 event file"
MAX_NAME = 200  # of `Text`


class _Id(Struct):
    id: int


class _Point(Struct):
    x: float | None = None
    y: float | None = None


class _RawEvent(Struct, kw_only=True):
    """An event as delivered; the API sends codes in the names' fields, the published data set sends both."""

    id: int
    match_id: int = msgspec.field(name="matchId")
    team_id: int = msgspec.field(name="teamId")
    player_id: int | None = msgspec.field(name="playerId", default=None)
    period: Literal["1H", "2H", "E1", "E2", "P"] = msgspec.field(name="matchPeriod")
    sec: Annotated[float, Meta(ge=-1e6, le=1e6)] = msgspec.field(name="eventSec")
    name: int | str = msgspec.field(name="eventName")
    detail: int | str | None = msgspec.field(name="subEventName", default=None)
    tags: list[_Id] = []
    positions: list[_Point] = []


class _RawFile(Struct):
    events: Annotated[list[_RawEvent], Meta(min_length=1)]
    teams: dict[str, Any] = {}
    players: dict[str, Any] = {}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether a file's first bytes are Wyscout v2's."""
    return (
        head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and b'"eventSec"' in head and b'"matchPeriod"' in head
    )


def read(path: Path, meta: Path | None = None) -> MatchFeed:
    """Read a Wyscout v2 file with the sheet given or lying beside it; without one, the first team named is home.

    Raises:
        NotAMatch: It is not one match of Wyscout v2, or the sheet is of another match.
    """
    raw = _decode(path)
    sheet_path = meta or sheet_beside(path)
    sheet = read_sheet(sheet_path) if sheet_path else _guess_sheet(raw)
    _check_one_match(path, raw, sheet)
    builder = feed_builder(_normalised(raw.events, sheet), sheet, _player_names(raw.players))
    return builder.build()


def sheet_beside(path: Path) -> Path | None:
    """Return the sheet that belongs to an event file, if there is one."""
    sheet = path.with_name(path.name.split(".json")[0] + ".sheet.json")
    return sheet if sheet.is_file() else None


def read_sheet(path: Path) -> Sheet:
    """Read a match sheet; raises NotAMatch."""
    data = read_bytes(path)
    try:
        return msgspec.json.decode(data, type=Sheet)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMatch(path.name, "a Wyscout match sheet", f"{describe(data)} ({error})") from error


def _decode(path: Path) -> _RawFile:
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    try:
        if data.startswith(b"["):
            return _RawFile(events=msgspec.json.decode(data, type=_Events, strict=False))
        return msgspec.json.decode(data, type=_RawFile, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMatch(path.name, EXPECTED, f"{describe(data)} ({error})") from error


_Events = Annotated[list[_RawEvent], Meta(min_length=1)]


def _guess_sheet(raw: _RawFile) -> Sheet:
    """Make up a sheet from what the file says: its first team is home."""
    named = [int(key) for key in raw.teams if key.isascii() and key.isdigit()]
    ids = list(dict.fromkeys([*named, *(event.team_id for event in raw.events)]))
    teams = [SheetTeam(team_id=team_id, name=_team_name(raw.teams, team_id)) for team_id in ids[:2]]
    away = teams[1] if len(teams) > 1 else SheetTeam(team_id=0, name="")
    return Sheet(match_id=raw.events[0].match_id, kick_off=UNKNOWN_KICK_OFF, home=teams[0], away=away)


def _check_one_match(path: Path, raw: _RawFile, sheet: Sheet) -> None:
    matches = {event.match_id for event in raw.events}
    if len(matches) > 1:
        raise NotAMatch(path.name, "the events of one match", f"those of {len(matches)} matches")
    if matches != {sheet.match_id}:
        raise NotAMatch(path.name, f"match {sheet.match_id} as its sheet says", f"match {matches.pop()}")
    strangers = {event.team_id for event in raw.events} - {sheet.home.team_id, sheet.away.team_id}
    if strangers:
        teams = f"events of teams {sheet.home.team_id} and {sheet.away.team_id}"
        raise NotAMatch(path.name, teams, f"one of team {min(strangers)}")


def _normalised(raw: Iterable[_RawEvent], sheet: Sheet) -> list[WyscoutEvent]:
    return [_normalise(event, "home" if event.team_id == sheet.home.team_id else "away") for event in raw]


def _normalise(raw: _RawEvent, side: Side) -> WyscoutEvent:
    start, end, *_ = [*raw.positions, _Point(), _Point()]
    return WyscoutEvent(
        event_id=raw.id,
        period=PERIODS[raw.period],
        ms=round(raw.sec * 1000),
        side=side,
        player_id=raw.player_id or 0,
        kind=raw.name if isinstance(raw.name, int) else KIND_CODES.get(raw.name, 0),
        detail=raw.detail if isinstance(raw.detail, int) else DETAIL_CODES.get(raw.detail or "", 0),
        tags=tuple(sorted(tag.id for tag in raw.tags)),  # a set: the published files differ in its order
        x=percent(start.x),
        y=percent(start.y),
        end_x=percent(end.x),
        end_y=percent(end.y),
    )


def _team_name(teams: Mapping[str, Any], team_id: int) -> str:
    box = teams.get(str(team_id))
    team = box.get("team", box) if isinstance(box, dict) else None
    name = (team.get("name") or team.get("officialName")) if isinstance(team, dict) else None
    return unescape(name) if isinstance(name, str) else f"Team {team_id}"


def _player_names(squads: Mapping[str, Any]) -> dict[int, str]:
    """Return the short name of each player in the file; entries of other shapes are passed over."""
    names = {}
    for squad in squads.values():
        for box in squad if isinstance(squad, list) else ():
            player = box.get("player") if isinstance(box, dict) else None
            if isinstance(player, dict) and isinstance(player.get("wyId"), int):
                name = player.get("shortName") or player.get("lastName")
                names[player["wyId"]] = unescape(name) if isinstance(name, str) else ""
    return names


def unescape(name: str) -> str:
    r"""Return a name without the escapes that the published data set left in it, no longer than a record may hold.

    >>> unescape(r"\u00c1lvaro Morata")
    'Álvaro Morata'
    """
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), name)[:MAX_NAME]
