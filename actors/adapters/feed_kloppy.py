"""Every provider whose event files kloppy reads and that has no adapter of its own here, over kloppy's event model.

kloppy gives the ball events, teams, line-ups and periods. What it drops or blurs of goals, cards, substitutions and
clocks is read from the provider's own file, in `kloppy_raw`. Coordinates come out as percent with the origin in the
acting side's left corner, as Wyscout has them, the acting side attacking x = 100.

| provider | files | what kloppy 3.19.1 leaves to us |
| --- | --- | --- |
| opta | F24, with F7 as second file | who replaced whom, officials' cards, what happened in periods that F7 lacks |
| statsperform | MA3, with MA1 as second file | the same |
| datafactory | one | own goals, which it tells as goals of the wrong side |
| sportec | DFL events, with match information as second file | periods 3 to 5, which it only counts |
| metrica | JSON events, with EPTS metadata as second file | cards, clocks per period, who attacks which goal |
| wyscout_v3 | one | cards given with a foul, substitutions, which side is home, shoot-outs without extra time |
| impect | events, with line-ups as second file | periods' lengths |
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from kloppy import datafactory, impect, metrica, opta, sportec, statsperform, wyscout
from kloppy.domain import CardType, Ground, Orientation, SetPieceQualifier, SetPieceType
from kloppy.exceptions import KloppyError
from msgspec import MsgspecError, Struct

from actors.adapters import kloppy_raw
from actors.adapters.feeds import HEAD_BYTES, UNKNOWN_KICK_OFF, FeedBuilder, MatchFeed, describe, read_bytes
from actors.adapters.kloppy_raw import SHOOT_OUT, Incident, Told, other
from actors.adapters.team_alias import rating_key
from actors.domain.errors import NotAMatch
from actors.domain.events import (
    MAX_PERIOD_MS,
    BallEvent,
    Card,
    Clock,
    Goal,
    Lineups,
    OwnGoal,
    Payload,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    Player,
    Side,
    Substitution,
)
from actors.domain.fixtures import Believed, Fixture, Team

Dataset = Any  # kloppy.domain.EventDataset; kloppy has no type hints that mypy can follow
Event = Any
COORDINATES = "wyscout"  # percent, from the acting side's left corner
FEW_SHOTS = 5  # with fewer, where shots are taken from says nothing about the direction of play

_COLOURS: Mapping[Any, Literal["yellow", "second_yellow", "red"]] = {
    CardType.FIRST_YELLOW: "yellow",
    CardType.SECOND_YELLOW: "second_yellow",
    CardType.RED: "red",
}
_RESTARTS = {
    SetPieceType.CORNER_KICK: "corner",
    SetPieceType.FREE_KICK: "free_kick",
    SetPieceType.THROW_IN: "throw_in",
    SetPieceType.GOAL_KICK: "goal_kick",
    SetPieceType.KICK_OFF: "kick_off",
}
_ACTIONS = {"foul_committed": "foul", "ball touch": "touch", "clearances": "clearance", "offsides": "offside"}
_BROKEN = (
    KloppyError,
    MsgspecError,
    LookupError,
    NameError,  # a variable that no event set
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    SyntaxError,  # lxml's errors are
)
"""What comes of reading a file that is not what it should be: kloppy checks little before it uses it."""


class _Source(Struct, frozen=True):
    """How one provider's files are told, loaded and completed."""

    expected: str
    marks: tuple[bytes, ...]  # all of them are in the head of the provider's event file
    load: Callable[[BytesIO, BytesIO | None], Dataset]
    second: str | None  # what the second file is; None: there is none
    complete: Callable[[bytes, Dataset], Told] = kloppy_raw.nothing


def _opta(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return opta.load(f7_data=meta, f24_data=data, coordinates=COORDINATES)


def _statsperform(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return statsperform.load_event(ma1_data=meta, ma3_data=data, coordinates=COORDINATES)


def _datafactory(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return datafactory.load(event_data=data, coordinates=COORDINATES)


def _sportec(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return sportec.load_event(event_data=data, meta_data=meta, coordinates=COORDINATES)


def _metrica(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return metrica.load_event(event_data=data, meta_data=meta, coordinates=COORDINATES)


def _wyscout(data: BytesIO, meta: BytesIO | None) -> Dataset:
    played = BytesIO(kloppy_raw.without_shoot_out(data.getvalue()))
    return wyscout.load(event_data=played, data_version="V3", coordinates=COORDINATES)


def _impect(data: BytesIO, meta: BytesIO | None) -> Dataset:
    return impect.load(event_data=data, lineup_data=meta, coordinates=COORDINATES)


_SOURCES: Mapping[str, _Source] = {
    "opta": _Source("an Opta F24 file", (b"<Games", b"<Event "), _opta, "its F7 file", kloppy_raw.opta_told("F24")),
    "statsperform": _Source("a Stats Perform MA3 file", (), _statsperform, "its MA1 file", kloppy_raw.opta_told("MA3")),
    "datafactory": _Source(
        "a DataFactory match file", (b'"stadiumGMT"', b'"homeTeamId"'), _datafactory, None, kloppy_raw.datafactory_told
    ),
    "sportec": _Source(
        "a Sportec (DFL) event file",
        (b"<PutDataRequest", b"<Event "),
        _sportec,
        "its match information file",
        kloppy_raw.sportec_told,
    ),
    "metrica": _Source(
        "a Metrica JSON event file",
        (b'"subtypes"', b'"frame"', b'"period"'),
        _metrica,
        "its EPTS metadata file",
        kloppy_raw.metrica_told,
    ),
    "wyscout_v3": _Source(
        "a Wyscout v3 event file",
        (b'"primary"', b'"secondary"', b'"matchPeriod"'),
        _wyscout,
        None,
        kloppy_raw.wyscout_told,
    ),
    "impect": _Source("an Impect event file", (b'"actionType"', b'"gameTimeInSec"'), _impect, "its line-ups file"),
}
PROVIDERS = tuple(_SOURCES)


def sniff(head: bytes, path: Path) -> bool:
    """Say whether this is an event file of a provider that kloppy reads."""
    return _detect(head) is not None


def read(path: Path, meta: Path | None, provider: str | None = None) -> MatchFeed:
    """Read a provider's event file; `meta` is the second file of those that need one. Raises NotAMatch."""
    data = read_bytes(path)
    name = provider or _detect(data[:HEAD_BYTES])
    if name is None or name not in _SOURCES:
        raise NotAMatch(path.name, f"an event file of {', '.join(PROVIDERS)}", describe(data))
    source = _SOURCES[name]
    if b"<!DOCTYPE" in data[:HEAD_BYTES] or b"<!ENTITY" in data[:HEAD_BYTES]:
        raise NotAMatch(path.name, source.expected, "XML with a document type, which no provider sends")
    if source.second is not None and meta is None:
        raise NotAMatch(path.name, f"{source.expected} and {source.second} (--meta FILE)", "one file only")
    try:
        dataset, told = _loaded(source, data, read_bytes(meta) if meta else None)
        return _feed(name, path, dataset, told)
    except _BROKEN as error:
        both = f" and {meta.name}" if meta else ""
        received = f"{describe(data)} ({type(error).__name__}: {str(error)[:200]})"
        raise NotAMatch(path.name + both, _both_files(source), received) from error


def _both_files(source: _Source) -> str:
    return f"{source.expected} and {source.second}" if source.second else source.expected


def _detect(head: bytes) -> str | None:
    if b"<matchEvents" in head or (b'"liveData"' in head and b'"typeId"' in head):  # MA3 as XML or JSON
        return "statsperform"
    return next((name for name, s in _SOURCES.items() if s.marks and all(mark in head for mark in s.marks)), None)


def _loaded(source: _Source, data: bytes, meta: bytes | None) -> tuple[Dataset, Told]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # kloppy's remarks on single events; what counts is checked from the raw file
        dataset = source.load(BytesIO(data), BytesIO(meta) if meta is not None else None)
        sided = dataset.filter(lambda event: event.team is not None)  # a whistle or a gap in the video has no side
        return sided.transform(to_orientation=Orientation.ACTION_EXECUTING_TEAM), source.complete(data, dataset)


def _feed(name: str, path: Path, dataset: Dataset, told: Told) -> MatchFeed:
    match = _Match(name, path, dataset, told)
    builder = FeedBuilder(match.fixture, name)
    builder.before(0, "lineups", match.lineups)
    used: set[str] = set()
    for clock, event_id, payload in (*match.incidents(), *told.incidents):
        builder.add(clock, _unused(event_id, used), payload)
    builder.phases(match.lengths)
    return builder.build()


def _unused(event_id: str, used: set[str]) -> str:
    """Return the id, or one made from it: kloppy gives the throw-in and the ball going out before it the same."""
    unique, number = event_id, 1
    while unique in used:
        number += 1
        unique = f"{event_id}:{number}"
    used.add(unique)
    return unique


class _Match:
    """One kloppy dataset as ours."""

    def __init__(self, name: str, path: Path, dataset: Dataset, told: Told) -> None:
        self._name, self._path, self._dataset, self._told = name, path, dataset, told
        grounds = {team.ground: team for team in dataset.metadata.teams}
        home = grounds.get(Ground.HOME, dataset.metadata.teams[0])
        away = grounds.get(Ground.AWAY, dataset.metadata.teams[-1])
        self._home, self._away = (away, home) if told.swap_teams else (home, away)
        self._flipped = _is_flipped(dataset)

    @property
    def fixture(self) -> Fixture:
        number = str(self._dataset.metadata.game_id or self._path.name.split(".")[0])
        return Fixture(
            match_id=f"{self._name}:{number}",
            kick_off=self._kick_off(),
            home=self._named(self._home),
            away=self._named(self._away),
            provider_ids={self._name: number},
            believed=Believed(events=self._name, clock=self._name),
        )

    def _named(self, team: Any) -> Team:
        name = _team_name(team)
        return Team(name=name, rating_key=rating_key(self._name, name))

    @property
    def lineups(self) -> Lineups:
        return Lineups(
            home=self._sheet(self._home),
            away=self._sheet(self._away),
            home_team=_team_name(self._home),
            away_team=_team_name(self._away),
        )

    @property
    def lengths(self) -> dict[int, int]:
        """Return ms per period: to its end where kloppy knows both ends by the wall clock, else to its last event."""
        lengths: dict[int, int] = {}
        for clock, *_ in (*self.incidents(), *self._told.incidents):
            lengths[clock.period] = max(lengths.get(clock.period, 0), clock.ms)
        for period in self._dataset.metadata.periods:
            start, end = period.start_timestamp, period.end_timestamp
            number = self._told.period(period.id)
            if isinstance(start, datetime) and isinstance(end, datetime) and number in lengths:
                lengths[number] = max(lengths[number], _ms((end - start).total_seconds()))
        return {period: ms for period, ms in lengths.items() if period}

    def incidents(self) -> Iterator[Incident]:
        """Yield what kloppy tells, less what the raw file tells better."""
        for event in self._dataset.events:
            side: Side = "home" if event.team.team_id == self._home.team_id else "away"
            clock = Clock(self._told.period(event.period.id), self._ms(event))
            for event_id, payload in self._payloads(event, side, clock.period):
                yield clock, event_id, payload

    def _payloads(self, event: Event, side: Side, period: int) -> Iterator[tuple[str, Payload]]:
        event_id, instead = str(event.event_id), self._told.instead_of
        match event.event_name:
            case "card":
                if "card" not in instead:
                    yield event_id, _card(event, side, self._told.officials)
            case "substitution":
                if "substitution" not in instead:
                    yield event_id, _substitution(event, side)
            case "shot":
                own = self._is_own_goal(event)
                if not own and period != SHOOT_OUT:
                    yield event_id, _ball(event, side, self._flipped)
                if "goal" not in instead:
                    yield from _goal(event, side, period, own)
            case _:
                yield event_id, _ball(event, side, self._flipped)

    def _sheet(self, team: Any) -> tuple[Player, ...]:
        return tuple(_player(player) for player in team.players if str(player.player_id) not in self._told.officials)

    def _is_own_goal(self, event: Event) -> bool:
        return _result(event) == "OWN_GOAL" or str(event.event_id) in self._told.own_goals

    def _ms(self, event: Event) -> int:
        ms = _ms(event.timestamp.total_seconds()) - self._told.begins_ms.get(event.period.id, 0)
        if not 0 <= ms <= MAX_PERIOD_MS:  # kloppy's own arithmetic on a wrong wall time: take the provider's clock
            ms = self._told.clock_ms.get(str(event.event_id), 0)
        return ms

    def _kick_off(self) -> datetime:
        starts = [period.start_timestamp for period in self._dataset.metadata.periods]
        first = next((start for start in starts if isinstance(start, datetime)), self._dataset.metadata.date)
        if not isinstance(first, datetime):
            return UNKNOWN_KICK_OFF
        return first.astimezone(UTC) if first.tzinfo else first.replace(tzinfo=UTC)


def _goal(event: Event, side: Side, period: int, own: bool) -> Iterator[tuple[str, Payload]]:
    """Yield what a shot meant for the score."""
    event_id, scored = str(event.event_id), _result(event) == "GOAL"
    who: dict[str, Any] = {"player_id": _player_id(event.player), "player": _player_name(event.player)}
    if own:
        yield f"{event_id}:goal", OwnGoal(side=other(side), **who)
    elif period == SHOOT_OUT:
        yield event_id, (PenaltyScored if scored else PenaltyMissed)(side=side, **who)
    elif event.get_qualifier_value(SetPieceQualifier) == SetPieceType.PENALTY:
        yield f"{event_id}:awarded", PenaltyAwarded(side=side)
        yield f"{event_id}:goal", (PenaltyScored if scored else PenaltyMissed)(side=side, **who)
    elif scored:
        yield f"{event_id}:goal", Goal(side=side, **who)


def _card(event: Event, side: Side, officials: frozenset[str]) -> Payload:
    """A card for nobody on the team sheet is an official's: it counts neither as a caution nor as a sending-off."""
    if event.player is None or str(event.player.player_id) in officials:
        return BallEvent(side=side, action="official_card", detail=str(event.card_type))
    colour = _COLOURS[event.card_type]
    return Card(side=side, colour=colour, player_id=_player_id(event.player), player=_player_name(event.player))


def _substitution(event: Event, side: Side) -> Substitution:
    on = event.replacement_player
    return Substitution(
        side=side,
        player_off=_player_id(event.player),
        name_off=_player_name(event.player),
        player_on=_player_id(on),
        name_on=_player_name(on),
    )


def _ball(event: Event, side: Side, flipped: bool) -> BallEvent:
    is_shot = event.event_name == "shot"
    x, y = _place(event.coordinates, flipped)
    end_x, end_y = _place(_end(event), flipped)
    result = _result(event)
    return BallEvent(
        side=side,
        action=_action(event),
        detail=str(event.event_name)[:200],
        player_id=_player_id(event.player),
        x=x,
        y=y,
        end_x=end_x,
        end_y=end_y,
        success=event.result.is_success if result else None,
        is_shot=is_shot,
        on_target=result in ("GOAL", "SAVED") if is_shot else None,
        xg=_xg(event) if is_shot else None,
        tags=(result.lower(),) if result else (),
    )


def _action(event: Event) -> str:
    restart = _RESTARTS.get(event.get_qualifier_value(SetPieceQualifier))
    if event.event_name == "pass" and restart:
        return restart
    if event.event_name == "goalkeeper":
        values = " ".join(str(getattr(qualifier, "value", "")) for qualifier in event.qualifiers or ())
        return "save" if "SAVE" in values else "goalkeeper"
    name = str(event.event_name)
    return _ACTIONS.get(name, re.sub(r"(?<=[a-z])(?=[A-Z])|\s+", "_", name).lower())[:200]


def _end(event: Event) -> Any:
    for name in ("receiver_coordinates", "result_coordinates", "end_coordinates"):
        if (found := getattr(event, name, None)) is not None:
            return found
    return None


def _is_flipped(dataset: Dataset) -> bool:
    """Say whether both sides shoot from their own goal: kloppy took the wrong side to begin on the left."""
    shots = [event for event in dataset.events if event.event_name == "shot" and _result(event) != "OWN_GOAL"]
    places = sorted(event.coordinates.x for event in shots if event.coordinates is not None)
    return len(places) >= FEW_SHOTS and places[len(places) // 2] < 50


def _place(point: Any, flipped: bool) -> tuple[float | None, float | None]:
    if point is None or point.x is None or point.y is None:
        return None, None
    x, y = (100 - point.x, 100 - point.y) if flipped else (point.x, point.y)
    return _percent(x), _percent(y)


def _percent(value: float) -> float:
    return round(min(max(value, 0.0), 100.0), 2)  # a ball beyond the line


def _xg(event: Event) -> float | None:
    found = next((s.value for s in event.statistics or () if type(s).__name__ == "ExpectedGoals"), None)
    return None if found is None else min(max(float(found), 0.0), 1.0)


def _result(event: Event) -> str:
    return event.result.value if getattr(event, "result", None) is not None else ""


def _player(player: Any) -> Player:
    role = str(player.starting_position) if player.starting_position else ""
    starter = bool(player.starting)
    return Player(player_id=str(player.player_id), name=_player_name(player), role=role, starter=starter)


def _player_id(player: Any) -> str | None:
    return None if player is None else str(player.player_id)


def _player_name(player: Any) -> str:
    return "" if player is None else str(player.full_name or "")[:200]


def _team_name(team: Any) -> str:
    return str(team.name or f"team {team.team_id}")[:200]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
