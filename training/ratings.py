"""Simple team ratings: attack and defence of every team, filtered from goals, for matches that have no prices.

One extended Kalman filter over all leagues, day by day. A side's goals are Poisson with log rate
mu +- h/2 + attack - defence of the other side (+ for home); mu and h belong to the league.
Source: model notes of the project, "The recipe", signal `go`, without the team's own home effect and with fixed
newcomer means; constants from there.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

_PHI = 1.0  # dispersion of goals
_GROWTH = 4e-5  # variance a day
_CARRY = 0.95  # over the summer
_CARRY_OTHER_LEAGUE = 0.25
_SUMMER = 0.01  # variance
_FIRST = 0.03  # variance of an unknown team, and what changing league adds
_FEWEST = 0.5  # of a league's teams of last season must be seen to tell its mean
_NEWCOMER = 0.15  # promoted and new teams start that much below the league's mean, relegated ones above
_MU_START, _HOME_START = 0.25, 0.25
_MU_VARIANCE, _HOME_VARIANCE = 0.02, 0.01
_MU_GROWTH, _HOME_GROWTH = 3e-6, 1e-6  # variance a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finished match as the filter sees it. `day` counts days; `season` is the year it started in."""

    league: str
    country: str
    tier: int
    season: int
    day: int
    home: str
    away: str
    home_goals: int
    away_goals: int


@dataclass(slots=True)
class _Team:
    league: str
    tier: int
    season: int
    day: int
    attack: float
    defence: float
    attack_variance: float = _FIRST
    defence_variance: float = _FIRST


@dataclass(slots=True)
class _League:
    country: str
    day: int
    mu: float = _MU_START
    home: float = _HOME_START
    mu_variance: float = _MU_VARIANCE
    home_variance: float = _HOME_VARIANCE
    teams: int = 0  # of its last season


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """A team's state at the end of training."""

    country: str
    team: str
    league: str
    attack: float
    defence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeagueLevel:
    """A league's log goals a side and log home advantage at the end of training."""

    league: str
    country: str
    mu: float
    home: float


@dataclass(slots=True)
class RatingFilter:
    """Runs over results in the order of days; knows of each day only what was played before it."""

    teams: dict[tuple[str, str], _Team] = field(default_factory=dict)  # by country and name
    leagues: dict[str, _League] = field(default_factory=dict)

    def run(self, results: Sequence[Result]) -> Iterator[tuple[Result, float, float]]:
        """Yield each result with the rates expected before its day; `results` are sorted by day."""
        entrants: dict[tuple[str, int], dict[str, Result]] = {}
        for result in results:  # who plays in a season is known before its first match
            season = entrants.setdefault((result.league, result.season), {})
            season.setdefault(result.home, result)
            season.setdefault(result.away, result)
        for _, matches in groupby(results, key=lambda result: result.day):
            today = list(matches)
            for result in today:
                season = entrants.pop((result.league, result.season), {})
                if season:
                    self._start_season(result, season)
            yield from self._play(today)

    def levels(self) -> list[LeagueLevel]:
        """Return all leagues by code."""
        return [
            LeagueLevel(league=code, country=league.country, mu=league.mu, home=league.home)
            for code, league in sorted(self.leagues.items())
        ]

    def rated(self, days: int) -> list[Rated]:
        """Return the teams that played within so many days of their league's newest match, by country and name."""
        newest: dict[str, int] = {}  # a league may be followed on where the results of others end
        for team in self.teams.values():
            newest[team.league] = max(newest.get(team.league, team.day), team.day)
        return [
            Rated(country=country, team=name, league=team.league, attack=team.attack, defence=team.defence)
            for (country, name), team in sorted(self.teams.items())
            if team.day >= newest[team.league] - days
        ]

    def _start_season(self, first: Result, entrants: Iterable[str]) -> None:
        league = self.leagues.setdefault(first.league, _League(country=first.country, day=first.day))
        teams = [self._enter(first, name) for name in entrants]
        if len(teams) < _FEWEST * league.teams:  # a log that follows a few of its matches: they are not its mean
            return
        league.teams = len(teams)
        attack = sum(team.attack for team in teams) / len(teams)
        defence = sum(team.defence for team in teams) / len(teams)
        for team in teams:  # a league's mean is mu, so that the teams' is nought
            team.attack -= attack
            team.defence -= defence

    def _enter(self, first: Result, name: str) -> _Team:
        key = (first.country, name)
        team = self.teams.get(key)
        if team is None:
            team = _Team(first.league, first.tier, first.season, first.day, -_NEWCOMER, -_NEWCOMER)
            self.teams[key] = team
            return team
        moved = team.league != first.league
        carry = _CARRY_OTHER_LEAGUE if moved else _CARRY
        step = _NEWCOMER * ((first.tier > team.tier) - (first.tier < team.tier)) if moved else 0.0
        team.attack, team.defence = carry * team.attack + step, carry * team.defence + step
        added = _SUMMER + (_FIRST if moved else 0.0)
        team.attack_variance = carry**2 * team.attack_variance + added
        team.defence_variance = carry**2 * team.defence_variance + added
        team.league, team.tier, team.season = first.league, first.tier, first.season
        return team

    def _play(self, today: list[Result]) -> Iterator[tuple[Result, float, float]]:
        """Play one day: teams learn match by match, leagues from all of their matches at once."""
        surprises: dict[str, list[tuple[float, float, float, float]]] = {}
        for result in today:
            league = self.leagues[result.league]
            home, away = self.teams[result.country, result.home], self.teams[result.country, result.away]
            home_rate = math.exp(league.mu + league.home / 2 + home.attack - away.defence)
            away_rate = math.exp(league.mu - league.home / 2 + away.attack - home.defence)
            yield result, home_rate, away_rate
            _age(home, result.day)
            _age(away, result.day)
            _learn(home, away, result.home_goals - home_rate, home_rate)
            _learn(away, home, result.away_goals - away_rate, away_rate)
            surprise = (result.home_goals - home_rate, result.away_goals - away_rate, home_rate, away_rate)
            surprises.setdefault(result.league, []).append(surprise)
        for code, seen in surprises.items():
            _learn_level(self.leagues[code], today[0].day, seen)


def _age(team: _Team, day: int) -> None:
    growth = _GROWTH * (day - team.day)
    team.attack_variance += growth
    team.defence_variance += growth
    team.day = day


def _learn(scoring: _Team, conceding: _Team, error: float, rate: float) -> None:
    gain = 1 / (_PHI + rate * (scoring.attack_variance + conceding.defence_variance))
    scoring.attack += scoring.attack_variance * error * gain
    conceding.defence -= conceding.defence_variance * error * gain
    scoring.attack_variance *= 1 - scoring.attack_variance * rate * gain
    conceding.defence_variance *= 1 - conceding.defence_variance * rate * gain


def _learn_level(league: _League, day: int, seen: list[tuple[float, float, float, float]]) -> None:
    league.mu_variance += _MU_GROWTH * (day - league.day)
    league.home_variance += _HOME_GROWTH * (day - league.day)
    league.day = day
    rates = math.fsum(home_rate + away_rate for _, _, home_rate, away_rate in seen)
    gain = 1 / (_PHI + league.mu_variance * rates)
    league.mu += league.mu_variance * gain * math.fsum(home + away for home, away, _, _ in seen)
    league.mu_variance *= _PHI * gain
    gain = 1 / (_PHI + league.home_variance * rates / 4)
    league.home += league.home_variance * gain * math.fsum(home - away for home, away, _, _ in seen) / 2
    league.home_variance *= _PHI * gain


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingTable:
    """The ratings in a model file: looks up what is expected of a fixture; nobody is unknown enough to fail."""

    levels: Mapping[str, LeagueLevel]
    teams: Mapping[tuple[str, str], Rated]  # by country and name
    average: tuple[float, float]  # goals of home and away over all leagues

    def means(self, league: str | None, home: str | None, away: str | None) -> tuple[float, float, str]:
        """Return the goals expected of home and away, and the basis: ratings if either side has one, else league."""
        home_rating, away_rating = self._rating(league, home), self._rating(league, away)
        level = self.levels.get(league or "")
        known = home_rating or away_rating
        if level is None and known is not None:
            level = self.levels.get(known.league)
        if level is None:
            return *self.average, "league"
        home_attack, home_defence = _strengths(home_rating, level)
        away_attack, away_defence = _strengths(away_rating, level)
        home_mean = math.exp(level.mu + level.home / 2 + home_attack - away_defence)
        away_mean = math.exp(level.mu - level.home / 2 + away_attack - home_defence)
        return home_mean, away_mean, "league" if known is None else "ratings"

    def _rating(self, league: str | None, team: str | None) -> Rated | None:
        if team is None:
            return None
        level = self.levels.get(league or "")
        if level is not None:
            return self.teams.get((level.country, team))
        namesakes = [rated for (_, name), rated in self.teams.items() if name == team]
        return namesakes[0] if len(namesakes) == 1 else None


def _strengths(rating: Rated | None, level: LeagueLevel) -> tuple[float, float]:
    """Return attack and defence; without a rating in this league, the league's mean."""
    if rating is None or rating.league != level.league:
        return 0.0, 0.0
    return rating.attack, rating.defence
