"""Player form from earlier matches in the log: what each has added in 90 minutes, by expected goals and by moves.

Learnt match by match in the order of kick-off; whoever asks before a match gets what earlier matches said.
"""

from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from actors.domain.events import Clock, Lineups, Substitution
from actors.domain.features import PreMatch
from actors.domain.features.columns import Columns
from actors.domain.features.squads import PLAYERS, Side, minute_of_play
from actors.domain.features.table import table_of
from actors.domain.match import MatchState

_FADE = 0.9  # a match
_PRIOR_MIN = 180.0  # minutes of an average player that everyone begins with
_PRIOR_VALUE = 0.25  # expected goals and possession value in 90 minutes; a side adds about 11 times that
_SIDES: tuple[Side, Side] = ("home", "away")
_MATCH_MIN = 90.0


@dataclass(slots=True)
class PlayerForms:
    """What is known of every player and of each team's last line-up. Ids are one provider's."""

    value: dict[str, float] = field(default_factory=dict)  # faded sums
    minutes: dict[str, float] = field(default_factory=dict)
    starters: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by team name

    def before(self, state: MatchState, known: PreMatch) -> PreMatch:
        """Return `known` with the form of those on the sheets of a match, and the line-ups of the match before."""
        home, away = (self._forms(state, side) for side in _SIDES)
        return replace(
            known,
            home_form=home,
            away_form=away,
            home_starters=self.starters.get(state.home.name, ()),
            away_starters=self.starters.get(state.away.name, ()),
        )

    def learn(self, state: MatchState) -> None:
        """Take a finished match into account."""
        columns = Columns(state.events)
        table = table_of(columns)
        added = np.nan_to_num(table.xg) * table.shot + np.maximum(np.nan_to_num(table.value), 0.0)
        by_code = np.bincount(table.player + 1, weights=added, minlength=len(columns.players) + 1)[1:]
        values = {player: float(by_code[code]) for player, code in columns.players.items()}
        end = minute_of_play(state_end(state), table.first_half_ms)
        for side in _SIDES:
            for player, minutes in minutes_played(state, side, table.first_half_ms, end).items():
                self.value[player] = _FADE * self.value.get(player, 0.0) + values.get(player, 0.0)
                self.minutes[player] = _FADE * self.minutes.get(player, 0.0) + minutes
            name = state.home.name if side == "home" else state.away.name
            self.starters[name] = tuple(player for player, starts in sheet(state, side) if starts)[:PLAYERS]

    def _forms(self, state: MatchState, side: Side) -> dict[str, float]:
        return {player: self._form(player) for player, _ in sheet(state, side) if player in self.minutes}

    def _form(self, player: str) -> float:
        prior = _PRIOR_VALUE * _PRIOR_MIN / _MATCH_MIN
        return _MATCH_MIN * (self.value[player] + prior) / (self.minutes[player] + _PRIOR_MIN)


def sheet(state: MatchState, side: Side) -> list[tuple[str, bool]]:
    """Return (player, whether he starts) of the side's last sheet, none without one."""
    players: list[tuple[str, bool]] = []
    for event in state.events.decisive:
        if isinstance(event.payload, Lineups):
            team = event.payload.home if side == "home" else event.payload.away
            players = [(player.player_id, player.starter) for player in team]
    return players


def minutes_played(state: MatchState, side: Side, first_half_ms: int, end: float) -> dict[str, float]:
    """Return minutes of play by player, until he went off or `end`; those sent off count as if they had stayed."""
    since = {player: 0.0 for player, starts in sheet(state, side) if starts}
    played: dict[str, float] = {}
    for event in state.events.decisive:
        change = event.payload
        if isinstance(change, Substitution) and change.side == side and event.clock.period in (1, 2):
            now = minute_of_play(event.clock, first_half_ms)
            if change.player_off in since:
                played[change.player_off] = now - since.pop(change.player_off)
            if change.player_on is not None:
                since[change.player_on] = now
    return played | {player: end - start for player, start in since.items()}


def state_end(state: MatchState) -> Clock:
    """Return the clock of the last event of regular time."""
    return max(event.clock for event in state.events.unordered() if event.clock.period <= 2)
