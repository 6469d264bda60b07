"""A Wyscout match as our records, whichever file its events came from.

What is peculiar to Wyscout (checked against all 1,332 match sheets of Pappalardo et al. 2019):
- Tag 101 marks a goal both on the shot and on the keeper's save attempt; only the former is the goal. It also stands
  on corners that went straight in. Once it stands on the keeper's event alone: then the pass into the goal is it.
- An own goal is tag 102 on the event of the player who put it in. Cards are tags on any event.
- A penalty has no award of its own: it is known when the foul just before it is.
- Kick-off, home and away, line-ups and substitutions are not among the events. They come from a sheet, see `Sheet`.

Each provider event gives a `BallEvent` under its own id, and what else it was (goal, card, penalty) as further records
under `<id>:goal`, `<id>:card`, `<id>:awarded`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from actors.adapters.feeds import FeedBuilder
from actors.adapters.team_alias import rating_key
from actors.adapters.wyscout_codes import (
    ACCURATE,
    ACTIONS,
    BLOCKED,
    CARDS,
    DETAILED_ACTIONS,
    DETAILS,
    DUEL,
    FOUL,
    FREE_KICK_SHOT,
    GOAL,
    INACCURATE,
    INTERRUPTION,
    KINDS,
    LEAGUES,
    ON_TARGET_ZONES,
    OWN_GOAL,
    PASS,
    PENALTY,
    SAVE,
    SET_PIECE,
    SHOT,
    TAGS,
)
from actors.domain.events import (
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
    Text,
)
from actors.domain.fixtures import Believed, Fixture, Team

PROVIDER = "wyscout"
LINEUPS_AT_MS = 1_000
GOAL_MOUTH = (100.0, 100.0)  # where Wyscout lets a ball end that went in
TOLD_WITHIN_MS = 60_000  # a keeper's event follows its goal by 9 s at most, once by 31 s
BEATEN_WITHIN_MS = 10_000
AWARD_WITHIN_MS = 310_000  # the longest wait seen from foul to kick is 306 s


class SheetTeam(Struct, frozen=True, kw_only=True):
    """A team as the match sheet names it."""

    team_id: int
    name: Text


class SheetPlayer(Struct, frozen=True, kw_only=True):
    """A player on the match sheet."""

    player_id: int
    name: Text = ""
    role: Text = ""
    starter: bool = True


class SheetSubstitution(Struct, frozen=True, kw_only=True):
    """A substitution, to the minute; a player is None where the sheet does not name him."""

    clock: Clock
    side: Side
    player_on: int | None = None
    player_off: int | None = None


class Sheet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the event file leaves out; a file `<match>.sheet.json` beside `<match>.json[.xz]`, or given as meta."""

    match_id: int
    kick_off: Annotated[datetime, Meta(tz=True)]
    competition: Text = ""
    home: SheetTeam
    away: SheetTeam
    home_players: tuple[SheetPlayer, ...] = ()
    away_players: tuple[SheetPlayer, ...] = ()
    substitutions: tuple[SheetSubstitution, ...] = ()


class WyscoutEvent(NamedTuple):
    """One event, whatever file it came from; player 0 is none, coordinates run from 0 to 100."""

    event_id: int
    period: int
    ms: int
    side: Side
    player_id: int
    kind: int
    detail: int
    tags: tuple[int, ...]
    x: float | None
    y: float | None
    end_x: float | None
    end_y: float | None

    @property
    def clock(self) -> Clock:
        """When it happened."""
        return Clock(self.period, self.ms)


def feed_builder(
    events: Sequence[WyscoutEvent], sheet: Sheet, names: Mapping[int, str], fixture: Fixture | None = None
) -> FeedBuilder:
    """Return a builder that holds the whole match: line-ups, events, substitutions and phases.

    Args:
        events: At least one, in order.
        sheet: What the events leave out.
        names: Player names by id, for those who are not on the sheet.
        fixture: Instead of the sheet's own.
    """
    builder = FeedBuilder(fixture or fixture_of(sheet), PROVIDER)
    names = {**names, **{p.player_id: p.name for p in (*sheet.home_players, *sheet.away_players) if p.name}}
    if sheet.home_players or sheet.away_players:
        builder.before(LINEUPS_AT_MS, "lineups", _lineups(sheet))
    scoring = scoring_events(events)
    for index, event in enumerate(events):
        builder.add(event.clock, str(event.event_id), _ball_event(event, index in scoring))
        for clock, event_id, payload in _incidents(events, index, scoring.get(index), names):
            builder.add(clock, event_id, payload)
    _add_substitutions(builder, events, sheet, names)
    builder.phases(finished=max(event.period for event in events) > 1)
    return builder


def fixture_of(sheet: Sheet) -> Fixture:
    """Return the fixture that a sheet announces."""
    return Fixture(
        match_id=f"{PROVIDER}:{sheet.match_id}",
        kick_off=sheet.kick_off,
        home=Team(name=sheet.home.name, rating_key=rating_key(PROVIDER, sheet.home.name)),
        away=Team(name=sheet.away.name, rating_key=rating_key(PROVIDER, sheet.away.name)),
        competition=sheet.competition,
        league=LEAGUES.get(sheet.competition),
        provider_ids={PROVIDER: str(sheet.match_id)},
        believed=Believed(events=PROVIDER, clock=PROVIDER),
    )


def percent(value: float | None) -> float | None:
    """Return a coordinate: None below zero (Wyscout's -1 means none), at most 100.

    >>> percent(-1), percent(49), percent(101)
    (None, 49.0, 100.0)
    """
    return None if value is None or value < 0 else min(float(value), 100.0)


def scoring_events(events: Sequence[WyscoutEvent]) -> dict[int, Literal["goal", "own_goal"]]:
    """Return which events, by place in the list, put the ball in a goal."""
    found: dict[int, Literal["goal", "own_goal"]] = {}
    for index, event in enumerate(events):
        if OWN_GOAL in event.tags:
            found[index] = "own_goal"
        elif GOAL in event.tags and event.kind != SAVE:
            found[index] = "goal"
    told: set[int] = set()
    for index, event in enumerate(events):
        if GOAL in event.tags and event.kind == SAVE:
            goal = _goal_told_by(events, index, found.keys() - told)
            if goal is not None:
                told.add(goal)
                found.setdefault(goal, "goal")
    return found


def _goal_told_by(events: Sequence[WyscoutEvent], keeper: int, untold: set[int]) -> int | None:
    """Return the goal that a beaten keeper's event is about; None if it is about none (seen once in 3,587).

    A goal before it that no other keeper has told; else a pass of the other side that ended in the goal.
    """
    save = events[keeper]
    last_pass = None
    for index in range(keeper - 1, -1, -1):
        event = events[index]
        waited = save.ms - event.ms
        if event.period != save.period or waited > TOLD_WITHIN_MS:
            break
        if index in untold and (event.side == save.side) == (OWN_GOAL in event.tags):
            return index
        if last_pass is None and event.side != save.side and waited <= BEATEN_WITHIN_MS:
            last_pass = index
    if last_pass is None or events[last_pass].kind != PASS:
        return None
    return last_pass if (events[last_pass].end_x, events[last_pass].end_y) == GOAL_MOUTH else None


def _incidents(
    events: Sequence[WyscoutEvent], index: int, scored: Literal["goal", "own_goal"] | None, names: Mapping[int, str]
) -> Iterable[tuple[Clock, str, Payload]]:
    """Yield what an event was beside a touch of the ball: (clock, event id, payload)."""
    event = events[index]
    player_id, player = _player_id(event.player_id), names.get(event.player_id, "")
    if event.detail == PENALTY:
        if event.period <= 4:
            yield _award_clock(events, index), f"{event.event_id}:awarded", PenaltyAwarded(side=event.side)
        took = PenaltyScored if scored else PenaltyMissed
        yield event.clock, f"{event.event_id}:goal", took(side=event.side, player_id=player_id, player=player)
    elif scored == "goal":
        yield event.clock, f"{event.event_id}:goal", Goal(side=event.side, player_id=player_id, player=player)
    elif scored == "own_goal":
        other: Side = "away" if event.side == "home" else "home"
        yield event.clock, f"{event.event_id}:goal", OwnGoal(side=other, player_id=player_id, player=player)
    for tag in event.tags:
        if tag in CARDS:
            card = Card(side=event.side, colour=CARDS[tag], player_id=player_id, player=player)
            yield event.clock, f"{event.event_id}:card", card


def _award_clock(events: Sequence[WyscoutEvent], penalty: int) -> Clock:
    """Return when a penalty was given: at the other side's foul just before it, else at the kick."""
    kick = events[penalty]
    for event in reversed(events[max(0, penalty - 5) : penalty]):
        if event.kind == FOUL and event.side != kick.side:
            recent = event.period == kick.period and kick.ms - event.ms <= AWARD_WITHIN_MS
            return event.clock if recent else kick.clock
        if event.kind not in (FOUL, INTERRUPTION, DUEL):
            break
    return kick.clock


def _ball_event(event: WyscoutEvent, scored: bool) -> BallEvent:
    action, detail, success, is_shot, on_target, tags = _qualities(event.kind, event.detail, event.tags)
    return BallEvent(
        side=event.side,
        action=action,
        detail=detail,
        player_id=_player_id(event.player_id),
        x=event.x,
        y=event.y,
        end_x=event.end_x,
        end_y=event.end_y,
        success=success,
        is_shot=is_shot or (scored and OWN_GOAL not in event.tags),
        on_target=True if scored and OWN_GOAL not in event.tags else on_target,
        tags=tags,
    )


@lru_cache(maxsize=65_536)  # a season has some 3,000 combinations
def _qualities(
    kind: int, detail: int, tags: tuple[int, ...]
) -> tuple[str, str, bool | None, bool, bool | None, tuple[str, ...]]:
    """Return action, provider's name, success, is it a shot, is it on target, names of tags."""
    action = DETAILED_ACTIONS.get(detail) or ACTIONS.get(kind, "other")
    success = True if ACCURATE in tags else False if INACCURATE in tags else None
    is_shot = kind == SHOT or (kind == SET_PIECE and detail in (FREE_KICK_SHOT, PENALTY))
    on_target = BLOCKED not in tags and any(tag in ON_TARGET_ZONES for tag in tags) if is_shot else None
    names = tuple(TAGS.get(tag, str(tag)) for tag in tags)
    return action, DETAILS.get(detail) or KINDS.get(kind, ""), success, is_shot, on_target, names


def _add_substitutions(
    builder: FeedBuilder, events: Sequence[WyscoutEvent], sheet: Sheet, names: Mapping[int, str]
) -> None:
    """Add the sheet's substitutions; one whose minute is beyond the period's last event came with that event."""
    ends = {event.period: event.ms for event in events}
    for number, change in enumerate(sheet.substitutions, start=1):
        clock = Clock(change.clock.period, min(change.clock.ms, ends.get(change.clock.period, change.clock.ms)))
        payload = Substitution(
            side=change.side,
            player_off=_player_id(change.player_off),
            player_on=_player_id(change.player_on),
            name_off=names.get(change.player_off or 0, ""),
            name_on=names.get(change.player_on or 0, ""),
        )
        builder.add(clock, f"substitution:{number}", payload)


def _lineups(sheet: Sheet) -> Lineups:
    return Lineups(
        home=_players(sheet.home_players),
        away=_players(sheet.away_players),
        home_team=sheet.home.name,
        away_team=sheet.away.name,
    )


def _players(players: Iterable[SheetPlayer]) -> tuple[Player, ...]:
    return tuple(
        Player(player_id=str(p.player_id), name=p.name, role=p.role, starter=p.starter) for p in players if p.player_id
    )


def _player_id(player_id: int | None) -> str | None:
    return str(player_id) if player_id else None
