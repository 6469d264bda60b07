"""Team ratings: attack and defence of a team as an extended Kalman filter, one match at a time.

A side's count is Poisson with log rate mu +- h/2 +- t + attack - defence of the other side: mu and h are the league's
level and home advantage, t is the home team's own. Signals other than goals (shots, corners, the rates implied by past
prices) run through the same filter with constants of their own.
Source: model notes of the project, "The recipe"; the filter is that of Fahrmeir (1992), JASA 87(418).
"""

import math

from msgspec import Struct

NEVER = -1_000_000  # a day before all others


class Signal(Struct, frozen=True, kw_only=True):
    """Constants of one filter. Variances are of log rates; growth is a day's."""

    name: str
    dispersion: float  # of a count over that of a Poisson count; of a Gaussian signal its variance
    growth: float
    carry: float  # of a rating over the summer
    summer: float  # variance that the summer adds
    first: float  # variance of an unknown team
    moved: float  # variance that changing league adds
    level_growth: float
    home_growth: float
    newcomers: float  # matches' worth of prior, in newcomers seen
    carry_moved: float  # of a rating into another league
    level: float  # log rate a side where a league is new
    cap: float = math.inf  # counts above it are taken for it
    home_first: float = 0.0  # variance of a team's own home advantage
    gaussian: bool = False  # observes the log rate itself
    second_dispersion: float = 0.0  # above 0: a count is observed beside the Gaussian


class Side(Struct, frozen=True, kw_only=True):
    """One side's rating with its variances, as it stands before a match."""

    attack: float = 0.0
    defence: float = 0.0
    home: float = 0.0  # the team's own home advantage
    attack_variance: float = 0.0
    defence_variance: float = 0.0
    home_variance: float = 0.0


class Level(Struct, frozen=True, kw_only=True):
    """A league's log rate a side and its log home advantage."""

    mu: float
    home: float


def expected(level: Level, home: Side, away: Side) -> tuple[float, float]:
    """Return the log rates of home and away.

    >>> expected(Level(mu=0.25, home=0.3), Side(attack=0.1, defence=0.1), Side(attack=-0.1, defence=-0.1))
    (0.6, -0.1)
    """
    return (
        log_rate(level.mu, 0.5 * level.home, home.home, home.attack, away.defence),
        log_rate(level.mu, -0.5 * level.home, -home.home, away.attack, home.defence),
    )


def updated(signal: Signal, level: Level, home: Side, away: Side, counts: tuple[float, float]) -> tuple[Side, Side]:
    """Return both sides after a match in which they had `counts`; both learn from what was expected before it.

    Args:
        counts: Of home and away; log rates where the signal is Gaussian. NaN: not known, nothing is learnt.
    """
    if math.isnan(counts[0]) or math.isnan(counts[1]):
        return home, away
    at_home, at_away = expected(level, home, away)
    own, error = observation(counts[0], at_home, signal.cap, signal.gaussian)
    attack, attack_variance, conceded, conceded_variance, extra, extra_variance = learn(
        home.attack, home.attack_variance, away.defence, away.defence_variance,
        home.home, home.home_variance, 1.0, error, own, signal.dispersion,
    )  # fmt: skip
    other, error = observation(counts[1], at_away, signal.cap, signal.gaussian)
    scored, scored_variance, defence, defence_variance, extra, extra_variance = learn(
        away.attack, away.attack_variance, home.defence, home.defence_variance,
        extra, extra_variance, -1.0, error, other, signal.dispersion,
    )  # fmt: skip
    return (
        Side(
            attack=attack,
            defence=defence,
            home=extra,
            attack_variance=attack_variance,
            defence_variance=defence_variance,
            home_variance=extra_variance,
        ),
        Side(
            attack=scored,
            defence=conceded,
            home=away.home,
            attack_variance=scored_variance,
            defence_variance=conceded_variance,
            home_variance=away.home_variance,
        ),
    )


def log_rate(mu: float, half_home: float, team_home: float, attack: float, defence: float) -> float:
    """Return the log rate of the side with `attack` against `defence`; the away side's advantages are negative."""
    return mu + half_home + team_home + attack - defence


def observation(count: float, log_rate: float, cap: float, gaussian: bool) -> tuple[float, float]:
    """Return the weight of an observation (the rate of a count, 1 of a Gaussian) and its error."""
    if gaussian:
        return 1.0, count - log_rate
    rate = math.exp(log_rate)
    return rate, min(count, cap) - rate


def learn(
    attack: float,
    attack_variance: float,
    defence: float,
    defence_variance: float,
    home: float,
    home_variance: float,
    sign: float,
    error: float,
    rate: float,
    dispersion: float,
) -> tuple[float, float, float, float, float, float]:
    """Return attack, the other side's defence and the home team's advantage, each with its variance, after one count.

    Args:
        sign: 1 where the home team had the count, -1 where its guest had.
        error: Count minus what was expected of it.
        rate: Weight of the observation, see `observation`.
    """
    gain = 1 / (dispersion + rate * (attack_variance + defence_variance + home_variance))
    return (
        attack + attack_variance * error * gain,
        attack_variance * (1 - attack_variance * rate * gain),
        defence - defence_variance * error * gain,
        defence_variance * (1 - defence_variance * rate * gain),
        home + sign * home_variance * error * gain,
        home_variance * (1 - home_variance * rate * gain),
    )


def learn_level(value: float, variance: float, error: float, rate: float, dispersion: float) -> tuple[float, float]:
    """Return a league's parameter and its variance after a day: error and weight are sums over the day's matches."""
    gain = 1 / (dispersion + variance * rate)
    return value + variance * error * gain, variance * dispersion * gain
