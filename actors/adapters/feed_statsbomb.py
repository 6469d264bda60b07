"""StatsBomb open data: one JSON list of events per match, and optionally the matches or line-ups file beside it.

The event list names neither the match nor the home team nor a date. The match id is the number in the file's name;
home is the team of the first "Starting XI" (which is how StatsBomb writes its files) unless a matches file says
otherwise; a kick-off that nobody says is UNKNOWN_KICK_OFF. Clocks are per period. Coordinates are 120 x 80 yards and
already those of the acting team, which attacks x = 120.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from actors.adapters.feeds import UNKNOWN_KICK_OFF, FeedBuilder, MatchFeed, describe, read_bytes
from actors.adapters.team_alias import rating_key
from actors.domain.errors import NotAMatch
from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    Goal,
    Lineups,
    OwnGoal,
    PenaltyAwarded,
    PenaltyMissed,
    PenaltyScored,
    Player,
    Side,
    Substitution,
)
from actors.domain.fixtures import Believed, Fixture, Team

PROVIDER = "statsbomb"
EXPECTED = "a StatsBomb event list (a JSON list of events with id, period, timestamp, type and team)"
EXPECTED_META = "a StatsBomb matches file or line-ups file of this match"
LENGTH, WIDTH = 120.0, 80.0
SHOOT_OUT = 5

Colour = Literal["yellow", "second_yellow", "red"]
_CARDS: dict[str, Colour] = {"Yellow Card": "yellow", "Second Yellow": "second_yellow", "Red Card": "red"}
_ON_TARGET = {"Goal", "Saved", "Saved to Post"}
_ACTIONS = {
    "Ball Receipt*": "receipt",
    "Ball Recovery": "recovery",
    "Dribble": "take_on",
    "Foul Committed": "foul",
    "50/50": "duel",
    "Goal Keeper": "goalkeeper",
}
_RESTARTS = {
    "Corner": "corner",
    "Free Kick": "free_kick",
    "Throw-in": "throw_in",
    "Goal Kick": "goal_kick",
    "Kick Off": "kick_off",
}
_WON = {"Won", "Success", "Success In Play", "Success Out", "Complete"}
_FRAMES = {"Starting XI", "Half Start", "Half End", "Own Goal For", "Own Goal Against"}


class _Named(Struct):
    id: int
    name: str


class _Detail(Struct):
    """What StatsBomb keeps under the name of the event's type; each type fills some of it."""

    outcome: _Named | None = None
    type: _Named | None = None
    end_location: list[float] | None = None
    statsbomb_xg: float | None = None
    card: _Named | None = None
    penalty: bool = False
    replacement: _Named | None = None


class _Position(Struct):
    player: _Named
    position: _Named


class _Tactics(Struct):
    lineup: list[_Position]


class _Event(Struct):
    id: str
    period: int
    timestamp: str
    type: _Named
    team: _Named
    player: _Named | None = None
    location: list[float] | None = None
    related_events: list[str] = []
    tactics: _Tactics | None = None
    shot: _Detail | None = None
    passing: _Detail | None = field(default=None, name="pass")
    carry: _Detail | None = None
    duel: _Detail | None = None
    dribble: _Detail | None = None
    goalkeeper: _Detail | None = None
    interception: _Detail | None = None
    ball_receipt: _Detail | None = None
    fifty_fifty: _Detail | None = field(default=None, name="50_50")
    foul_committed: _Detail | None = None
    foul_won: _Detail | None = None
    bad_behaviour: _Detail | None = None
    substitution: _Detail | None = None

    @property
    def clock(self) -> Clock:
        hours, minutes, seconds = self.timestamp.split(":")
        return Clock(self.period, (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000))

    @property
    def detail(self) -> _Detail:
        """Return the part that says how it went."""
        parts = (self.shot, self.passing, self.carry, self.duel, self.dribble, self.goalkeeper)
        rest = (self.interception, self.ball_receipt, self.fifty_fifty, self.foul_committed)
        return next((part for part in (*parts, *rest) if part is not None), _Detail())


class _SquadPlayer(Struct):
    player_id: int
    player_name: str
    player_nickname: str | None = None


class _Squad(Struct):
    team_id: int
    team_name: str
    lineup: list[_SquadPlayer]

    @property
    def teams(self) -> set[int]:
        return {self.team_id}


class _HomeTeam(Struct):
    home_team_id: int
    home_team_name: str


class _AwayTeam(Struct):
    away_team_id: int
    away_team_name: str


class _Competition(Struct, frozen=True):
    competition_name: str = ""


class _Match(Struct):
    match_id: int
    match_date: str
    home_team: _HomeTeam
    away_team: _AwayTeam
    kick_off: str | None = None
    competition: _Competition = _Competition()

    @property
    def teams(self) -> set[int]:
        return {self.home_team.home_team_id, self.away_team.away_team_id}


def sniff(head: bytes, path: Path) -> bool:
    """Say whether this is a StatsBomb event list: each event names its type, possession team and play pattern."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    return start.startswith(b"[") and b'"possession_team"' in head and b'"play_pattern"' in head


def read(path: Path, meta: Path | None) -> MatchFeed:
    """Read an event list.

    Args:
        path: The event list; the match id is the first number of its name.
        meta: A matches file (home team, date, competition) or a line-ups file (whole squads), if there is one.
    Raises:
        NotAMatch: One of the files is something else.
    """
    events = _events(path)
    home, away = _teams(path, events)
    number = _number(path)
    match, squads = _second(meta, number, {home.id, away.id}) if meta else (None, [])
    if match and match.home_team.home_team_id == away.id:
        home, away = away, home
    builder = FeedBuilder(_fixture(number, home, away, match), PROVIDER)
    adapter = _Adapter(builder, home.id)
    builder.before(0, "lineups", _lineups(events, home, away, squads))
    for event in events:
        adapter.add(event)
    builder.phases(_lengths(events), finished=_is_finished(events))
    return builder.build()


class _Adapter:
    """Turns events one by one; remembers which penalties were announced and which own goals were told."""

    def __init__(self, builder: FeedBuilder, home_id: int) -> None:
        self._builder, self._home_id = builder, home_id
        self._awarded: Side | None = None
        self._told: set[str] = set()

    def add(self, event: _Event) -> None:
        side = self._side(event)
        if event.type.name in ("Own Goal For", "Own Goal Against"):
            self._own_goal(event, side)
        if event.shot is not None and event.period == SHOOT_OUT:
            self._shoot_out_kick(event, event.shot, side)
        elif event.type.name not in _FRAMES and event.type.name != "Substitution":
            self._builder.add(event.clock, event.id, _ball(event, side))
        if event.shot is not None and event.period != SHOOT_OUT:
            self._shot(event, event.shot, side)
        self._penalty_foul(event, side)
        self._card(event, side)
        self._substitution(event, side)

    def _side(self, event: _Event) -> Side:
        return "home" if event.team.id == self._home_id else "away"

    def _own_goal(self, event: _Event, side: Side) -> None:
        """Tell an own goal once: StatsBomb writes one event for each team, related to each other."""
        if event.id in self._told:
            return
        self._told.update(event.related_events)
        against = event.type.name == "Own Goal Against"
        gets = _other(side) if against else side
        self._builder.add(event.clock, event.id, OwnGoal(side=gets, player_id=_id(event), player=_name(event)))

    def _shoot_out_kick(self, event: _Event, shot: _Detail, side: Side) -> None:
        self._builder.add(event.clock, event.id, _penalty(event, shot, side))

    def _shot(self, event: _Event, shot: _Detail, side: Side) -> None:
        if shot.type is not None and shot.type.name == "Penalty":
            if self._awarded != side:  # no foul told it
                self._builder.add(event.clock, f"{event.id}:awarded", PenaltyAwarded(side=side))
            self._awarded = None
            self._builder.add(event.clock, f"{event.id}:penalty", _penalty(event, shot, side))
        elif _is_goal(shot):
            goal = Goal(side=side, player_id=_id(event), player=_name(event))
            self._builder.add(event.clock, f"{event.id}:goal", goal)

    def _penalty_foul(self, event: _Event, side: Side) -> None:
        """Announce a penalty at its foul, which StatsBomb tells of both teams."""
        gets: Side | None = None
        if event.foul_committed is not None and event.foul_committed.penalty:
            gets = _other(side)
        elif event.foul_won is not None and event.foul_won.penalty:
            gets = side
        if gets is not None and self._awarded != gets:
            self._awarded = gets
            self._builder.add(event.clock, f"{event.id}:awarded", PenaltyAwarded(side=gets))

    def _card(self, event: _Event, side: Side) -> None:
        shown = next((d.card for d in (event.foul_committed, event.bad_behaviour) if d is not None and d.card), None)
        if shown is not None and shown.name in _CARDS:
            card = Card(side=side, colour=_CARDS[shown.name], player_id=_id(event), player=_name(event))
            self._builder.add(event.clock, f"{event.id}:card", card)

    def _substitution(self, event: _Event, side: Side) -> None:
        if event.substitution is None:
            return
        on = event.substitution.replacement
        change = Substitution(
            side=side,
            player_off=_id(event),
            name_off=_name(event),
            player_on=str(on.id) if on else None,
            name_on=on.name if on else "",
        )
        self._builder.add(event.clock, event.id, change)


def _penalty(event: _Event, shot: _Detail, side: Side) -> PenaltyScored | PenaltyMissed:
    kind = PenaltyScored if _is_goal(shot) else PenaltyMissed
    return kind(side=side, player_id=_id(event), player=_name(event))


def _is_goal(shot: _Detail) -> bool:
    return shot.outcome is not None and shot.outcome.name == "Goal"


def _ball(event: _Event, side: Side) -> BallEvent:
    detail = event.detail
    outcome = detail.outcome.name if detail.outcome else ""
    kind = detail.type.name if detail.type else ""
    x, y = _place(event.location)
    end_x, end_y = _place(detail.end_location)
    return BallEvent(
        side=side,
        action=_action(event, kind),
        detail=f"{event.type.name}: {kind}" if kind else event.type.name,
        player_id=_id(event),
        x=x,
        y=y,
        end_x=end_x,
        end_y=end_y,
        success=_success(event, outcome),
        is_shot=event.shot is not None,
        on_target=outcome in _ON_TARGET if event.shot is not None else None,
        xg=detail.statsbomb_xg,
        tags=(outcome,) if outcome else (),
    )


def _action(event: _Event, kind: str) -> str:
    if event.passing is not None:
        return _RESTARTS.get(kind, "pass")
    if event.goalkeeper is not None and "Saved" in kind:
        return "save"
    name = event.type.name
    return _ACTIONS.get(name, name.lower().replace(" ", "_").rstrip("*"))


def _success(event: _Event, outcome: str) -> bool | None:
    """A pass or receipt without an outcome came off; duels and the like say how they ended."""
    if event.passing is not None or event.type.name == "Ball Receipt*":
        return not outcome
    if event.shot is not None:
        return outcome == "Goal"
    return outcome in _WON if outcome else None


def _place(location: list[float] | None) -> tuple[float | None, float | None]:
    if location is None or len(location) < 2:
        return None, None
    return _percent(location[0], LENGTH), _percent(location[1], WIDTH)


def _percent(value: float, of: float) -> float:
    return round(min(max(100 * value / of, 0.0), 100.0), 2)  # a ball over the line is told up to half a yard outside


def _id(event: _Event) -> str | None:
    return str(event.player.id) if event.player else None


def _name(event: _Event) -> str:
    return event.player.name if event.player else ""


def _other(side: Side) -> Side:
    return "away" if side == "home" else "home"


def _events(path: Path) -> list[_Event]:
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        events = msgspec.json.decode(data, type=list[_Event])
        clocks = [event.clock for event in events]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise NotAMatch(path.name, EXPECTED, f"{describe(data)} ({error})") from error
    if not clocks:
        raise NotAMatch(path.name, EXPECTED, "an empty list")
    return events


def _teams(path: Path, events: Sequence[_Event]) -> tuple[_Named, _Named]:
    """Return both teams in the order in which they are named, line-ups first."""
    sheets = [event.team for event in events if event.tactics and event.type.name == "Starting XI"]
    seen = {team.id: team for team in reversed([*sheets, *(event.team for event in events)])}
    order = list(dict.fromkeys(team.id for team in [*sheets, *(event.team for event in events)]))
    if len(order) != 2:
        raise NotAMatch(path.name, EXPECTED, f"events of {len(order)} teams")
    return seen[order[0]], seen[order[1]]


def _number(path: Path) -> str:
    found = re.search(r"\d+", path.name)
    return found.group() if found else path.name.split(".")[0]


def _fixture(number: str, home: _Named, away: _Named, match: _Match | None) -> Fixture:
    return Fixture(
        match_id=f"{PROVIDER}:{number}",
        kick_off=_kick_off(match) if match else UNKNOWN_KICK_OFF,
        home=Team(name=home.name, rating_key=rating_key(PROVIDER, home.name)),
        away=Team(name=away.name, rating_key=rating_key(PROVIDER, away.name)),
        competition=match.competition.competition_name if match else "",
        provider_ids={PROVIDER: number},
        believed=Believed(events=PROVIDER, clock=PROVIDER),
    )


def _kick_off(match: _Match) -> datetime:
    """Return date and local time as if they were UTC: the file does not say the time zone."""
    return datetime.fromisoformat(f"{match.match_date}T{match.kick_off or '00:00:00'}").replace(tzinfo=UTC)


def _second(meta: Path, number: str, teams: set[int]) -> tuple[_Match | None, list[_Squad]]:
    """Return this match's entry of a matches file, or the squads of a line-ups file, whichever `meta` is."""
    data = read_bytes(meta).removeprefix(b"\xef\xbb\xbf")
    try:
        raw = msgspec.json.decode(data, type=list[dict[str, Any]])
        entries: list[_Match | _Squad] = [
            msgspec.convert(entry, _Match) if "match_id" in entry else msgspec.convert(entry, _Squad) for entry in raw
        ]
        ours = [entry for entry in entries if entry.teams <= teams]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise NotAMatch(meta.name, EXPECTED_META, f"{describe(data)} ({error})") from error
    matches = [entry for entry in ours if isinstance(entry, _Match)]
    squads = [entry for entry in ours if isinstance(entry, _Squad)]
    match = next((m for m in matches if str(m.match_id) == number), matches[0] if len(matches) == 1 else None)
    if match is None and not squads:
        raise NotAMatch(meta.name, EXPECTED_META, f"{len(entries)} entries, of which {len(ours)} are these teams'")
    return match, squads


def _lineups(events: Sequence[_Event], home: _Named, away: _Named, squads: Sequence[_Squad]) -> Lineups:
    sheets = {event.team.id: event.tactics.lineup for event in events if event.tactics and _is_sheet(event)}
    bench = {squad.team_id: squad.lineup for squad in squads}
    return Lineups(
        home=_players(sheets.get(home.id, []), bench.get(home.id, [])),
        away=_players(sheets.get(away.id, []), bench.get(away.id, [])),
        home_team=home.name,
        away_team=away.name,
    )


def _is_sheet(event: _Event) -> bool:
    return event.type.name == "Starting XI"


def _players(sheet: Sequence[_Position], squad: Sequence[_SquadPlayer]) -> tuple[Player, ...]:
    starters = [Player(player_id=str(p.player.id), name=p.player.name, role=p.position.name) for p in sheet]
    known = {player.player_id for player in starters}
    rest = [
        Player(player_id=str(p.player_id), name=p.player_nickname or p.player_name, starter=False)
        for p in squad
        if str(p.player_id) not in known
    ]
    return (*starters, *rest)


def _lengths(events: Sequence[_Event]) -> dict[int, int]:
    """Return how long each period lasted: to its Half End, or to an event told later than that."""
    lengths: dict[int, int] = {}
    for event in events:
        lengths[event.period] = max(lengths.get(event.period, 0), event.clock.ms)
    return lengths


def _is_finished(events: Sequence[_Event]) -> bool:
    last = max(event.period for event in events)
    return any(event.period == last and event.type.name == "Half End" for event in events)
