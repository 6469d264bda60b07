"""What kloppy drops of a match, from the providers' own files. One function per provider: `Told` says what it adds."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, Literal

import msgspec
from kloppy.infra.serializers.event.statsperform.parsers import get_parser
from msgspec import Struct

from actors.domain.events import (
    MAX_PERIOD_MS,
    BallEvent,
    Card,
    Clock,
    Goal,
    OwnGoal,
    Payload,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    Side,
    Substitution,
)

Incident = tuple[Clock, str, Payload]
Dataset = Any
Colour = Literal["yellow", "second_yellow", "red"]

SHOOT_OUT = 5
MINUTE_MS = 60_000
PERIOD_BEGINS_MIN = {1: 0, 2: 45, 3: 90, 4: 105, 5: 120}  # as providers count minutes


class Told(Struct, frozen=True, kw_only=True):
    """What the raw file tells better than kloppy."""

    incidents: tuple[Incident, ...] = ()
    instead_of: frozenset[str] = frozenset()  # goal, card, substitution: kloppy's own are left out
    own_goals: frozenset[str] = frozenset()  # ids of shots that are own goals of their side
    begins_ms: Mapping[int, int] = {}  # what kloppy's clock shows when its period begins, if not 0
    clock_ms: Mapping[str, int] = {}  # by event id, where kloppy's time is out of bounds
    periods: Mapping[int, int] = {}  # kloppy's number of a period to ours
    officials: frozenset[str] = frozenset()  # ids that kloppy lists among the players
    swap_teams: bool = False

    def period(self, number: int) -> int:
        """Return our number of one of kloppy's periods."""
        return self.periods.get(number, number)


def other(side: Side) -> Side:
    """Return the other side."""
    return "away" if side == "home" else "home"


def nothing(data: bytes, dataset: Dataset) -> Told:
    """Add nothing: kloppy tells it all."""
    return Told()


# --- Opta F24 and Stats Perform MA3: the same events in other clothes -------------------------------------------------

_GOAL, _SHOTS, _CARD, _OFF, _ON = 16, (13, 14, 15), 17, 18, 19
_Q_PENALTY, _Q_OWN_GOAL, _Q_RELATED = 9, 28, 55
_Q_CARDS: Mapping[int, Colour] = {31: "yellow", 32: "second_yellow", 33: "red"}
_BREAKS = {10: 2, 11: 3, 12: 4, 13: 5}  # what happens in a break is told at the start of what follows
_AFTER = 14


def opta_told(feed: str) -> Callable[[bytes, Dataset], Told]:
    """Return the function for F24 or MA3.

    kloppy pairs a player who goes off with the next event, whichever that is; drops events of periods that the second
    file does not have; and tells officials' cards like players'. So all that is decisive is read from the raw events.
    """

    def told(data: bytes, dataset: Dataset) -> Told:
        events = get_parser(BytesIO(data), feed, None).extract_events()
        home = dataset.metadata.teams[0].team_id
        names = {player.player_id: player.full_name for team in dataset.metadata.teams for player in team.players}
        return Told(
            incidents=tuple(_opta_incidents(events, home, names)),
            instead_of=frozenset(("goal", "card", "substitution")),
            clock_ms={str(event.id): _opta_clock(event, 2).ms for event in events},
        )

    return told


def _opta_incidents(events: Iterable[Any], home: str, names: Mapping[str, str]) -> Iterator[Incident]:
    events = [event for event in events if event.period_id in (*PERIOD_BEGINS_MIN, *_BREAKS, _AFTER)]
    last = max((event.period_id for event in events if event.period_id <= SHOOT_OUT), default=1)
    coming = {(event.contestant_id, event.event_id): event for event in events if event.type_id == _ON}
    for event in events:
        side: Side = "home" if event.contestant_id == home else "away"
        clock = _opta_clock(event, last)
        who = {"player_id": event.player_id, "player": names.get(event.player_id, "") or ""}
        if event.type_id in (_GOAL, *_SHOTS):
            yield from _opta_shot(event, clock, side, who)
        elif event.type_id == _CARD:
            yield clock, f"{event.id}:card", _opta_card(event, side, who)
        elif event.type_id == _OFF:
            on = coming.get((event.contestant_id, int(event.qualifiers.get(_Q_RELATED) or -1)))
            yield clock, f"{event.id}:substitution", _opta_substitution(event, on, side, names)


def _opta_clock(event: Any, last: int) -> Clock:
    """Return the clock by minute and second, which are right where wall times have been edited."""
    if event.period_id in PERIOD_BEGINS_MIN:
        seconds = (event.time_min - PERIOD_BEGINS_MIN[event.period_id]) * 60 + event.time_sec
        return Clock(event.period_id, min(max(seconds, 0) * 1000, MAX_PERIOD_MS))
    return Clock(_BREAKS[event.period_id], 0) if event.period_id in _BREAKS else Clock(last, 0)


def _opta_shot(event: Any, clock: Clock, side: Side, who: Mapping[str, Any]) -> Iterator[Incident]:
    scored, event_id = event.type_id == _GOAL, f"{event.id}:goal"
    if scored and _Q_OWN_GOAL in event.qualifiers:
        yield clock, event_id, OwnGoal(side=other(side), **who)
    elif clock.period == SHOOT_OUT:
        yield clock, event_id, (PenaltyScored if scored else PenaltyMissed)(side=side, **who)
    elif _Q_PENALTY in event.qualifiers:
        yield clock, f"{event.id}:awarded", PenaltyAwarded(side=side)
        yield clock, event_id, (PenaltyScored if scored else PenaltyMissed)(side=side, **who)
    elif scored:
        yield clock, event_id, Goal(side=side, **who)


def _opta_card(event: Any, side: Side, who: Mapping[str, Any]) -> Payload:
    colour = next((name for number, name in _Q_CARDS.items() if number in event.qualifiers), None)
    if event.player_id is None or colour is None:  # a coach's or another official's
        return BallEvent(side=side, action="official_card", detail=colour or "")
    return Card(side=side, colour=colour, **who)


def _opta_substitution(off: Any, on: Any, side: Side, names: Mapping[str, str]) -> Payload:
    if on is None:  # injured with no substitute left
        return BallEvent(side=side, action="player_off", player_id=off.player_id)
    return Substitution(
        side=side,
        player_off=off.player_id,
        name_off=names.get(off.player_id, ""),
        player_on=on.player_id,
        name_on=names.get(on.player_id, ""),
    )


# --- DataFactory ------------------------------------------------------------------------------------------------------

_DF_OWN_GOAL, _DF_COACH = 10, 5


def datafactory_told(data: bytes, dataset: Dataset) -> Told:
    """kloppy counts own goals for the side of the player who put them in, and coaches among the eleven who start.

    A shoot-out's kicks are a list of their own in this format; no file with one was at hand, so they stay ball events.
    """
    match = msgspec.json.decode(data)
    shots, players = match["incidences"].get("shots", {}), match["players"]
    return Told(
        own_goals=frozenset(str(key) for key, shot in shots.items() if shot["type"] == _DF_OWN_GOAL),
        officials=frozenset(str(key) for key, player in players.items() if player.get("posnId") == _DF_COACH),
    )


# --- Sportec (DFL) ----------------------------------------------------------------------------------------------------

_SECTION = re.compile(rb'<KickOff\b[^>]*\bGameSection="(\w+)"')
_SECTIONS = {"firstHalf": 1, "secondHalf": 2, "firstHalfExtra": 3, "secondHalfExtra": 4}


def sportec_told(data: bytes, dataset: Dataset) -> Told:
    """kloppy counts kick-offs that name a section; a shoot-out without extra time would be its third period."""
    names = [name.decode() for name in _SECTION.findall(data)]
    sections = {n: SHOOT_OUT if "penalt" in name.lower() else _SECTIONS.get(name, n) for n, name in enumerate(names, 1)}
    return Told(periods=sections)


# --- Metrica ----------------------------------------------------------------------------------------------------------

_METRICA_CARDS: Mapping[str, Colour] = {"YELLOW": "yellow", "RED": "red"}


def metrica_told(data: bytes, dataset: Dataset) -> Told:
    """kloppy knows no cards here, and counts the clock from the metadata's period, which need not be this file's."""
    events = msgspec.json.decode(data)["data"]
    home = dataset.metadata.teams[0].team_id
    starts = {period.id: round(period.start_timestamp.total_seconds() * 1000) for period in dataset.metadata.periods}
    first: dict[int, int] = {}
    for event in events:
        first.setdefault(event["period"], round(event["start"]["time"] * 1000))
    incidents: list[Incident] = []
    cautioned: set[str] = set()
    for event in events:
        if event["type"]["name"] == "CARD":
            clock = Clock(event["period"], round(event["start"]["time"] * 1000) - first[event["period"]])
            side: Side = "home" if event["team"]["id"] == home else "away"
            player = event.get("from") or {}
            colour = _metrica_colour(event, cautioned)
            card = Card(side=side, colour=colour, player_id=player.get("id"), player=player.get("name", ""))
            incidents.append((clock, f"{event['index']}:card", card))
    begins = {period: at_ms - starts.get(period, 0) for period, at_ms in first.items()}
    return Told(incidents=tuple(incidents), begins_ms=begins)


def _metrica_colour(event: Mapping[str, Any], cautioned: set[str]) -> Colour:
    kinds = event["subtypes"] if isinstance(event["subtypes"], list) else [event["subtypes"]]
    shown = [_METRICA_CARDS[kind["name"]] for kind in kinds if kind and kind["name"] in _METRICA_CARDS]
    colour = shown[0] if shown else "yellow"
    player = (event.get("from") or {}).get("id", "")
    if colour == "yellow" and player in cautioned:
        return "second_yellow"
    cautioned.add(player)
    return colour


# --- Wyscout v3 -------------------------------------------------------------------------------------------------------

_WYSCOUT_PERIODS = {"1H": 1, "2H": 2, "1E": 3, "2E": 4, "E1": 3, "E2": 4, "P": 5}


def without_shoot_out(data: bytes) -> bytes:
    """Return the file without its shoot-out: kloppy numbers periods by place and stops at one that skips extra time."""
    match = msgspec.json.decode(data)
    match["events"] = [event for event in match["events"] if event["matchPeriod"] != "P"]
    return msgspec.json.encode(match)


def wyscout_told(data: bytes, dataset: Dataset) -> Told:
    """kloppy drops a card that comes with a foul, and all substitutions; home is the team that it reads first."""
    match = msgspec.json.decode(data)
    sides: dict[str, Side] = {
        str(team): info["side"] for team, info in match.get("match", {}).get("teamsData", {}).items()
    }
    first, second = (str(team.team_id) for team in dataset.metadata.teams)
    swapped = sides.get(first) == "away"
    if first not in sides:
        sides = {first: "home", second: "away"}
    names = {player.player_id: player.full_name for team in dataset.metadata.teams for player in team.players}
    return Told(
        incidents=(
            *_wyscout_cards(match["events"], sides),
            *_wyscout_kicks(match["events"], sides),
            *_wyscout_substitutions(match.get("substitutions") or {}, sides, names),
        ),
        instead_of=frozenset(("card", "substitution")),
        swap_teams=swapped,
    )


def _wyscout_cards(events: Iterable[Any], sides: Mapping[str, Side]) -> Iterator[Incident]:
    cautioned: set[int] = set()
    for event in events:
        shown = event.get("infraction") or {}
        if not (shown.get("yellowCard") or shown.get("redCard")):
            continue
        player = event["player"]
        colour: Colour = "red"
        if shown.get("yellowCard"):
            colour = "second_yellow" if shown.get("redCard") or player["id"] in cautioned else "yellow"
            cautioned.add(player["id"])
        side = sides[str(event["team"]["id"])]
        card = Card(side=side, colour=colour, player_id=str(player["id"]), player=player.get("name") or "")
        yield _wyscout_clock(event), f"{event['id']}:card", card


def _wyscout_kicks(events: Iterable[Any], sides: Mapping[str, Side]) -> Iterator[Incident]:
    for event in events:
        if event["matchPeriod"] == "P" and event.get("shot"):
            kind = PenaltyScored if event["shot"]["isGoal"] else PenaltyMissed
            player, side = event["player"], sides[str(event["team"]["id"])]
            kick = kind(side=side, player_id=str(player["id"]), player=player.get("name") or "")
            yield _wyscout_clock(event), str(event["id"]), kick


def _wyscout_clock(event: Mapping[str, Any]) -> Clock:
    period = _WYSCOUT_PERIODS[event["matchPeriod"]]
    seconds = (event["minute"] - PERIOD_BEGINS_MIN[period]) * 60 + event["second"]
    return Clock(period, max(seconds, 0) * 1000)


def _wyscout_substitutions(
    told: Mapping[str, Any], sides: Mapping[str, Side], names: Mapping[str, str]
) -> Iterator[Incident]:
    """Yield changes from `{team: {period: {second of the period: {"in": [...], "out": [...]}}}}`."""
    for team, periods in told.items():
        for period, moments in periods.items():
            for second, change in moments.items():
                clock = Clock(_WYSCOUT_PERIODS[period], int(second) * 1000)
                for off, on in zip(change["out"], change["in"], strict=False):
                    off_id, on_id = str(off["playerId"]), str(on["playerId"])
                    payload = Substitution(
                        side=sides[str(team)],
                        player_off=off_id,
                        player_on=on_id,
                        name_off=names.get(off_id, ""),
                        name_on=names.get(on_id, ""),
                    )
                    yield clock, f"substitution:{team}:{off_id}:{on_id}", payload
