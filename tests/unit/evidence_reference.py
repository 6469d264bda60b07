"""What a match has shown so far, as inputs of the correction of each side's log rate: one code path, fitted and served.

Every input but the cards is 0 at kick-off, where the market has said all there is. The last two have no weight: they
only say how sure the level of the rates is while nothing has been seen yet.
Source: model notes of the project, "In play", steps 6 and 7; constants from there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter, mul

from actors.domain.distribution import ForecastInputs
from training.chain import LEADS
from training.clock import ClockShares

LEAGUES = ("E0", "SP1", "F1", "D1", "I1", "RUS")
NAMES = (
    *("shots_own", "shots_opponent", "goals_own", "goals_opponent"),
    *("gone", "gone_home", "gone_rate_own", "gone_rate_opponent"),
    *(f"gone_{league}" for league in LEAGUES),
    *(f"gone_lead_{lead:+d}" for lead in range(-2, 3)),
    *(f"gone_squared_lead_{lead:+d}" for lead in range(-2, 3)),
    *("reds_own", "reds_opponent", "level", "level_home"),
)
LEARNT = NAMES.index("reds_own")  # the weights before it are fitted on rows, the rest apart
MIDDLE_LOG_RATE = 0.3
_LEAGUE, _LEAD, _SQUARED, _REDS = (
    NAMES.index(name) for name in ("gone_E0", "gone_lead_-2", "gone_squared_lead_-2", "reds_own")
)
_SHOTS_PRIOR, _GOALS_PRIOR = 15.0, 4.0
_MOST_REDS = 5  # with a sixth a side has too few players, and the match is abandoned
_WIDEST = LEADS // 2

Path = list[tuple[float, int]]  # share of the match's goals, goals that home was ahead while it passed


@dataclass(frozen=True, slots=True)
class Row:
    """One side's inputs: `values` of the NAMES at `places`, as many for every row; the others are 0."""

    places: list[int]
    values: list[float]

    def dot(self, weights: Sequence[float]) -> float:
        """Return the weighted sum, rounded once."""
        return math.fsum(map(mul, self.values, itemgetter(*self.places)(weights)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotLevels:
    """What shots to expect of each side, home first."""

    level: Sequence[Sequence[float]]  # (2, 3): log shots a match, its slopes by the log rates, own and opponent's
    effect: Sequence[Sequence[float]]  # (2, LEADS): factor by goal difference of home
    scale: Mapping[str, float]  # by provider: what it calls shots, against the one that the rest was fitted on


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReader:
    """Turns inputs into rows of evidence: a pure function of its fields and its arguments."""

    clock: ClockShares
    effect: Sequence[Sequence[float]]  # (2, LEADS): factor on hazards by goal difference of home
    shots: ShotLevels

    def read(self, inputs: ForecastInputs, home_rate: float, away_rate: float) -> tuple[Row, Row]:
        """Return the rows of home and away, given their rates before kick-off."""
        gone = 1 - self.clock.left(inputs.period, inputs.clock_ms)
        logs = (math.log(home_rate) - MIDDLE_LOG_RATE, math.log(away_rate) - MIDDLE_LOG_RATE)
        path = self._path(inputs)
        goals = _surprises(
            _GOALS_PRIOR, (inputs.home_goals, inputs.away_goals), self._goals(path, home_rate, away_rate)
        )
        shots = _surprises(_SHOTS_PRIOR, self._shots(inputs), self._expected_shots(path, logs))
        reds = (min(inputs.home_reds, _MOST_REDS), min(inputs.away_reds, _MOST_REDS))
        lead = inputs.home_goals - inputs.away_goals
        league = LEAGUES.index(inputs.league) if inputs.league in LEAGUES else None
        return tuple(_row(side, gone, lead * (1 - 2 * side), league, logs, goals, shots, reds) for side in (0, 1))  # type: ignore[return-value]

    def _path(self, inputs: ForecastInputs) -> Path | None:
        """Return how the score came about; None where the goals told are not those of the score."""
        goals, now = inputs.goals, (inputs.period, inputs.clock_ms)
        if goals is None or any((goal.period, goal.clock_ms) > now for goal in goals):
            return None
        home = sum(goal.side == "home" for goal in goals)
        if (home, len(goals) - home) != (inputs.home_goals, inputs.away_goals):
            return None
        path, lead, left = Path(), 0, 1.0
        for goal in goals:
            then = self.clock.left(goal.period, goal.clock_ms)
            path.append((left - then, lead))
            lead, left = lead + (1 if goal.side == "home" else -1), then
        return [*path, (left - self.clock.left(*now), lead)]

    def _goals(self, path: Path | None, *rates: float) -> tuple[float, float] | None:
        if path is None:
            return None
        home, away = (rate * _along(path, effect) for rate, effect in zip(rates, self.effect, strict=True))
        return home, away

    def _shots(self, inputs: ForecastInputs) -> tuple[float, float] | None:
        if inputs.home_shots is None or inputs.away_shots is None:
            return None
        scale = self.shots.scale.get(inputs.shots_by or "", 1.0)
        return inputs.home_shots / scale, inputs.away_shots / scale

    def _expected_shots(self, path: Path | None, logs: tuple[float, float]) -> tuple[float, float] | None:
        if path is None:
            return None
        home, away = (
            math.exp(level[0] + level[1] * own + level[2] * opponent) * _along(path, effect)
            for level, effect, own, opponent in zip(self.shots.level, self.shots.effect, logs, logs[::-1], strict=True)
        )
        return home, away


def lead_place(lead: int) -> int:
    """Return the index of a goal difference in an effect; wider leads count as the widest."""
    return max(-_WIDEST, min(_WIDEST, lead)) + _WIDEST


def _along(path: Path, effect: Sequence[float]) -> float:
    if len(path) == 1:  # no goal yet
        return path[0][0] * effect[_WIDEST]
    return math.fsum([share * effect[lead_place(lead)] for share, lead in path])


def _surprises(
    prior: float, seen: tuple[float, float] | None, expected: tuple[float, float] | None
) -> tuple[float, float]:
    """Return the log ratios of what was seen to what was expected, both sides shrunk by `prior`; 0 where unknown."""
    if seen is None or expected is None:
        return 0.0, 0.0
    home, away = (math.log((prior + s) / (prior + max(e, 0.0))) for s, e in zip(seen, expected, strict=True))
    return home, away


def _row(
    side: int,
    gone: float,
    lead: int,
    league: int | None,
    logs: tuple[float, float],
    goals: tuple[float, float],
    shots: tuple[float, float],
    reds: tuple[int, int],
) -> Row:
    own, other, sign = side, 1 - side, 1.0 - 2.0 * side
    state = max(-2, min(2, lead)) + 2
    places = [*range(8), _LEAGUE + (league or 0), _LEAD + state, _SQUARED + state, *range(_REDS, _REDS + 4)]
    values = [shots[own], shots[other], goals[own], goals[other]]
    values += [gone, gone * sign, gone * logs[own], gone * logs[other], 0.0 if league is None else gone]
    values += [gone, gone * gone, float(reds[own]), float(reds[other]), 1 - gone, (1 - gone) * sign]
    return Row(places, values)
