"""Discipline, substitutions and line-ups: who is on the pitch, since when, and how good they have been."""

import math
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from actors.domain.event_set import StoredEvent
from actors.domain.events import Card, Clock, Lineups, PenaltyAwarded, PenaltyMissed, Substitution
from actors.domain.features.clock_state import LONGEST_MIN
from actors.domain.features.describe import FEED_STALE_S, SIDES, Feature, Group
from actors.domain.features.moment import MINUTE_MS, Moment
from actors.domain.summary import Summary

PLAYERS = 11
Side = Literal["home", "away"]
_BOTH: tuple[Side, Side] = ("home", "away")
_ROLES = {"DEF": "defenders", "MID": "midfielders", "FWD": "forwards"}
_FORM = "expected goals / 90 min"


class Squad(Struct):
    """One side's players as its sheet, substitutions and cards have it by now. Ids are the provider's."""

    came_on: dict[str, float]  # of those on the pitch: minute of play
    roles: dict[str, str]
    starters: tuple[str, ...]
    bench: tuple[str, ...]
    changes: list[tuple[str, str]]  # off, on


def squad_of(events: Iterable[StoredEvent], side: Side, first_half_ms: int) -> Squad | None:
    """Return a side's squad; None without a line-up. Takes the decisive events known by now."""
    squad: Squad | None = None
    for event in events:
        match event.payload:
            case Lineups() as sheet:
                team = sheet.home if side == "home" else sheet.away
                starters = tuple(player.player_id for player in team if player.starter)
                squad = Squad(
                    came_on=dict.fromkeys(starters, 0.0),
                    roles={player.player_id: player.role for player in team},
                    starters=starters,
                    bench=tuple(player.player_id for player in team if not player.starter),
                    changes=[],
                )
            case Substitution(side=of, player_off=off, player_on=on) if of == side and squad and off and on:
                squad.came_on.pop(off, None)
                squad.came_on[on] = minute_of_play(event.clock, first_half_ms)
                squad.changes.append((off, on))
            case Card(side=of, colour=colour, player_id=player) if of == side and squad and colour != "yellow":
                squad.came_on.pop(player or "", None)
            case _:
                pass
    return squad if squad is not None and squad.starters else None


def minute_of_play(clock: Clock, first_half_ms: int) -> float:
    """Return minutes of play since kick-off."""
    return (clock.ms + (first_half_ms if clock.period == 2 else 0)) / MINUTE_MS


_Row = tuple[str, str, str, Group, float, float]
_INCIDENT_ROWS: tuple[_Row, ...] = (
    ("cautioned_players", "players with a yellow card", "players", "discipline", 0, 30),
    ("dismissed_players", "players sent off, from the bench too", "players", "discipline", 0, 30),
    ("players_on_pitch", "eleven less those sent off the pitch", "players", "discipline", 0, PLAYERS),
    ("penalties_awarded", "penalties given to the side", "count", "discipline", 0, 20),
    ("penalties_missed", "penalties that the side missed", "count", "discipline", 0, 20),
    ("substitutions_made", "substitutions made", "count", "substitutions", 0, 12),
    ("minutes_a_man_up", "minutes of play with more players than the other side", "min", "discipline", 0, LONGEST_MIN),
)
_SQUAD_ROWS: tuple[_Row, ...] = (
    ("cautioned_on_pitch", "cautioned players who are still playing", "players", "discipline", 0, PLAYERS),
    ("starters_on_pitch", "starters who are still playing", "players", "substitutions", 0, PLAYERS),
    (
        "mean_minutes_played",
        "minutes played by those on the pitch, on average",
        "min",
        "substitutions",
        0,
        LONGEST_MIN,
    ),
    ("forwards_added", "forwards that came on less those that went off", "players", "substitutions", -12, 12),
    ("defenders_added", "defenders that came on less those that went off", "players", "substitutions", -12, 12),
    *((f"{name}_on_pitch", f"{name} who are playing", "players", "lineups", 0, PLAYERS) for name in _ROLES.values()),
    ("starting_defenders", "defenders who started", "players", "lineups", 0, PLAYERS),
    ("starting_forwards", "forwards who started", "players", "lineups", 0, PLAYERS),
    ("bench_size", "players named on the bench", "players", "lineups", 0, 30),
    ("lineup_changes", "starters who did not start the match before", "players", "lineups", 0, PLAYERS),
    ("known_starters", "starters of whom earlier matches are known", "players", "lineups", 0, PLAYERS),
    ("starters_value", "mean player form of the starters that are known", _FORM, "lineups", -5, 5),
    (
        "pitch_value",
        "mean player form of those on the pitch that are known",
        "expected goals / 90 min",
        "lineups",
        -5,
        5,
    ),
    ("bench_value", "mean player form of the bench that is known", _FORM, "lineups", -5, 5),
    (
        "best_three_value",
        "mean player form of the three best on the pitch",
        "expected goals / 90 min",
        "lineups",
        -5,
        5,
    ),
)


def _features(rows: tuple[_Row, ...]) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            name=f"{side}_{name}",
            definition=f"{definition}; {side}",
            unit=unit,
            source="feed",
            group=group,
            range=(low, high),
            staleness_limit_s=FEED_STALE_S,
        )
        for side in SIDES
        for name, definition, unit, group, low, high in rows
    )


INCIDENT_FEATURES = _features(_INCIDENT_ROWS)
SQUAD_FEATURES = _features(_SQUAD_ROWS)


def incident_values(moment: Moment, summary: Summary) -> list[float]:
    """Return the values of INCIDENT_FEATURES; missing where the provider tells of neither cards nor line-ups."""
    if not moment.told["incidents"]:
        return [math.nan] * len(INCIDENT_FEATURES)
    up = _minutes_a_man_up(moment, summary)
    values = []
    for side, other in (("home", "away"), ("away", "home")):
        changes = summary.substitutions
        given = _count(moment.decisive, PenaltyAwarded, side)
        values += [
            float(getattr(summary.yellow, side)),
            float(getattr(summary.sent_off, side)),
            float(PLAYERS - getattr(summary.off_pitch, side)),
            given,
            _count(moment.decisive, PenaltyMissed, side),
            0.0 if changes is None else float(getattr(changes, side)),
            up[other],
        ]
    return values


def _count(events: Iterable[StoredEvent], kind: type[PenaltyAwarded] | type[PenaltyMissed], side: str) -> float:
    played = (event.payload for event in events if event.clock.period <= 2)
    return float(sum(isinstance(payload, kind) and payload.side == side for payload in played))


def _minutes_a_man_up(moment: Moment, summary: Summary) -> dict[str, float]:
    """Return, by side that was a man down, for how many minutes it was."""
    down = {"home": 0.0, "away": 0.0}
    if summary.off_pitch.home + summary.off_pitch.away == 0:
        return down
    first_half_ms, missing, since = moment.table.first_half_ms, {"home": 0, "away": 0}, 0.0
    sent: set[tuple[str, str]] = set()
    for event in moment.decisive:
        card = event.payload
        if not isinstance(card, Card) or card.colour == "yellow" or event.clock.period > 2:
            continue
        who = card.side, card.player_id or event.event_id
        if who in sent:
            continue
        sent.add(who)
        now = minute_of_play(event.clock, first_half_ms)
        _add(down, missing, now - since)
        missing[card.side], since = missing[card.side] + 1, now
    _add(down, missing, moment.elapsed_min - since)
    return down


def _add(down: dict[str, float], missing: dict[str, int], minutes: float) -> None:
    if missing["home"] != missing["away"]:
        down["home" if missing["home"] > missing["away"] else "away"] += minutes


def squad_values(moment: Moment) -> list[float]:
    """Return the values of SQUAD_FEATURES; missing without line-ups, and what is of form without earlier matches."""
    values = []
    for side in _BOTH:
        squad = squad_of(moment.decisive, side, moment.table.first_half_ms)
        values += [math.nan] * len(_SQUAD_ROWS) if squad is None else _squad(moment, squad, side)
    return values


def _squad(moment: Moment, squad: Squad, side: Side) -> list[float]:
    cautioned = {e.payload.player_id for e in moment.decisive if isinstance(e.payload, Card) and e.payload.side == side}
    played = [moment.elapsed_min - minute for minute in squad.came_on.values()]
    before = moment.prematch
    last, form = (
        (before.home_starters, before.home_form) if side == "home" else (before.away_starters, before.away_form)
    )
    known, pitch, bench = (
        [form[player] for player in players if player in form]
        for players in (squad.starters, squad.came_on, squad.bench)
    )
    return [
        float(len(cautioned & squad.came_on.keys())),
        float(len(squad.came_on.keys() & set(squad.starters))),
        _mean(played),
        _added(squad, "FWD"),
        _added(squad, "DEF"),
        *(_role_count(squad, squad.came_on, role) for role in _ROLES),
        _role_count(squad, squad.starters, "DEF"),
        _role_count(squad, squad.starters, "FWD"),
        float(len(squad.bench)),
        float(len(set(squad.starters) - set(last))) if last else math.nan,
        float(len(known)) if form else math.nan,
        *(_mean(each) for each in (known, pitch, bench, sorted(pitch)[-3:])),
    ]


def _role_count(squad: Squad, players: Iterable[str], role: str) -> float:
    if not any(squad.roles.values()):
        return math.nan  # the provider does not tell roles
    return float(sum(squad.roles.get(player) == role for player in players))


def _added(squad: Squad, role: str) -> float:
    off = _role_count(squad, (off for off, _ in squad.changes), role)
    return _role_count(squad, (on for _, on in squad.changes), role) - off


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
