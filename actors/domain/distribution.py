"""What a model says about a match: the joint distribution of the goals still to come in regular time."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from actors.domain.events import Score, Side
from actors.domain.prior import Prior

FloatArray = NDArray[np.float64]
MAX_REMAINING = 10  # goals still to come per side; the mass beyond is folded into the last cell


class GoalAt(Struct, frozen=True, array_like=True):
    """When a goal of regular time was scored, and for which side."""

    period: int
    clock_ms: int
    side: Side


class ForecastInputs(Struct, frozen=True, kw_only=True):
    """Everything the odds-anchored model sees; a pure function of the log. Missing is None, never zero.

    `clock_ms` counts from the start of `period`; (0, 0) is before kick-off, the half-time break is (2, 0), and from
    (3, 0) on regular time is over. Goals are those of regular time. Prices are decimal, the last before kick-off.
    """

    league: str | None = None
    home_team: str | None = None  # rating keys
    away_team: str | None = None
    period: int = 0
    clock_ms: int = 0
    home_goals: int = 0
    away_goals: int = 0
    home_reds: int = 0  # players sent off while on the pitch
    away_reds: int = 0
    anchor_1x2: tuple[float, float, float] | None = None
    anchor_over_under: tuple[float, float, float] | None = None  # line, over, under
    home_shots: int | None = None  # of regular time, own goals apart; None until the provider has sent a shot
    away_shots: int | None = None
    shots_by: str | None = None  # the provider that counted them: not every one calls the same things shots
    goals: tuple[GoalAt, ...] | None = None  # those that the score counts, in order; None: when they fell is not known
    prior: Prior | UnsetType = UNSET  # what speaks without prices; not written where there is none, as before there was

    @property
    def is_over(self) -> bool:
        """Whether regular time has ended."""
        return self.period >= 3


class Runtime(Struct, frozen=True, kw_only=True):
    """What bit-identity is promised for."""

    torch: str
    cpu_capability: str


class ScoreDistribution(Struct, frozen=True, kw_only=True):
    """Joint distribution of the remaining goals of regular time, beside the score as it stands."""

    score: Score
    remaining: FloatArray  # (MAX_REMAINING + 1, MAX_REMAINING + 1), home goals down, away across; sums to 1
    next_home: float  # next goal of regular time is home's; with next_away and remaining[0, 0] sums to 1
    next_away: float


class Distributions(Struct, frozen=True, kw_only=True):
    """Many score distributions, a row each: fields as those of `ScoreDistribution`, along the first axis."""

    home_goals: NDArray[np.int64]
    away_goals: NDArray[np.int64]
    remaining: FloatArray  # (rows, MAX_REMAINING + 1, MAX_REMAINING + 1)
    next_home: FloatArray
    next_away: FloatArray


def stacked(rows: Sequence[ScoreDistribution]) -> Distributions:
    """Return one distribution or more as the rows of a batch."""
    return Distributions(
        home_goals=np.array([row.score.home for row in rows]),
        away_goals=np.array([row.score.away for row in rows]),
        remaining=np.stack([row.remaining for row in rows]),
        next_home=np.array([row.next_home for row in rows]),
        next_away=np.array([row.next_away for row in rows]),
    )


def unstacked(rows: Distributions) -> list[ScoreDistribution]:
    """Return the rows one by one, each with a grid of its own that cannot be changed."""
    numbers = zip(
        *(each.tolist() for each in (rows.home_goals, rows.away_goals, rows.next_home, rows.next_away)), strict=True
    )
    return [
        ScoreDistribution(
            score=Score(home, away), remaining=_frozen(rows.remaining[i]), next_home=next_home, next_away=next_away
        )
        for i, (home, away, next_home, next_away) in enumerate(numbers)
    ]


def _frozen(grid: FloatArray) -> FloatArray:
    own = grid.copy()  # a view would keep the whole batch alive
    own.setflags(write=False)
    return own


class Intervals(Struct, frozen=True, kw_only=True):
    """Where the probabilities of the result lie at confidence `level`, as (low, high) each."""

    level: float
    home: tuple[float, float]
    draw: tuple[float, float]
    away: tuple[float, float]


class Prediction(Struct, frozen=True, kw_only=True):
    """One answer of a forecaster. `basis` says what the scoring rates rest on: prices, a prior, ratings or league."""

    distribution: ScoreDistribution
    model_version: str
    basis: str
    home_rate: float  # expected goals of the whole match at its start, as implied by the basis
    away_rate: float
    runtime: Runtime
    intervals: Intervals | None = None  # None where the model has no ensemble


class Predictions(Struct, frozen=True, kw_only=True):
    """Many answers of a forecaster, a row each: fields as those of `Prediction`."""

    distributions: Distributions
    model_version: str
    bases: tuple[str, ...]
    home_rate: FloatArray
    away_rate: FloatArray
    runtime: Runtime
    level: float  # of the intervals
    bounds: FloatArray | None  # (rows, 6): low and high of home, draw and away; None where the model has no ensemble

    def rows(self, start: int, stop: int) -> "Predictions":
        """Return some of the answers, as views of these."""
        if (start, stop) == (0, len(self.bases)):
            return self
        many, cut = self.distributions, slice(start, stop)
        return Predictions(
            distributions=Distributions(
                home_goals=many.home_goals[cut],
                away_goals=many.away_goals[cut],
                remaining=many.remaining[cut],
                next_home=many.next_home[cut],
                next_away=many.next_away[cut],
            ),
            model_version=self.model_version,
            bases=self.bases[cut],
            home_rate=self.home_rate[cut],
            away_rate=self.away_rate[cut],
            runtime=self.runtime,
            level=self.level,
            bounds=None if self.bounds is None else self.bounds[cut],
        )

    def intervals(self) -> Sequence[Intervals | None]:
        """Return the intervals of each row."""
        if self.bounds is None:
            return [None] * len(self.bases)
        rows = map(tuple, self.bounds.tolist())
        return [Intervals(level=self.level, home=row[:2], draw=row[2:4], away=row[4:]) for row in rows]

    def each(self) -> list[Prediction]:
        """Return the answers one by one; none keeps the others' memory."""
        rates = zip(self.bases, self.home_rate.tolist(), self.away_rate.tolist(), strict=True)
        return [
            Prediction(
                distribution=distribution,
                model_version=self.model_version,
                basis=basis,
                home_rate=home_rate,
                away_rate=away_rate,
                runtime=self.runtime,
                intervals=intervals,
            )
            for distribution, (basis, home_rate, away_rate), intervals in zip(
                unstacked(self.distributions), rates, self.intervals(), strict=True
            )
        ]


class Forecaster(Protocol):
    """Turns inputs into score distributions. Never learns, never mutates, whatever else is in the batch."""

    @property
    def model_version(self) -> str: ...

    def predict(self, inputs: "list[ForecastInputs]") -> list[Prediction]: ...
