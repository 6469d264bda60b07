"""Whether the inputs that a model is given live are still like those it was fitted on, one by one.

Kept with the model is how its own matches fell into bins, at each minute at which forecasts are judged: goals of the
85th minute are compared with those of the 85th. What a live input then does is one number, the population stability
index, beside the value that chance alone makes of so few matches.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec import Struct

from actors.domain.distribution import FloatArray, ForecastInputs

REFERENCE = "reference.json"  # in a model's folder
SHIFTED = 0.2  # the usual bound of credit scoring: Siddiqi (2006), Credit Risk Scorecards, ch. 9
_DECILES = np.arange(0.1, 1.0, 0.1)
_PRIOR = 0.5  # of a row in each bin: one that is empty on one side must not make the index infinite
_NORMAL_95 = 1.6449

Value = float | str | None


class InputReference(Struct, frozen=True, kw_only=True):
    """How one input fell into bins where the model was fitted; an input is either a number or a name."""

    name: str
    matches: int
    edges: tuple[float, ...] = ()  # deciles: a bin is above the edge before and at most its own; the last is open
    names: tuple[str, ...] = ()  # a bin each, and one for all others
    counts: Mapping[int, tuple[int, ...]]  # by minute; the last bin is of those that are missing


class Reference(Struct, frozen=True, kw_only=True):
    """All inputs of a model, as it was fitted."""

    inputs: tuple[InputReference, ...]


class InputDrift(Struct, frozen=True, kw_only=True):
    """How far one input has moved. `shifted`: `psi` is above `threshold`, which is no less than chance makes of it."""

    input: str
    psi: float
    threshold: float
    shifted: bool
    matches: int  # live
    missing: float  # share, live
    missing_at_fit: float


def _implied(place: int) -> Callable[[ForecastInputs], Value]:
    def read(inputs: ForecastInputs) -> Value:
        prices = inputs.anchor_1x2
        return None if prices is None else 1 / prices[place] / sum(1 / price for price in prices)

    return read


def _overround(inputs: ForecastInputs) -> Value:
    return None if inputs.anchor_1x2 is None else sum(1 / price for price in inputs.anchor_1x2) - 1


def _of_total(place: int) -> Callable[[ForecastInputs], Value]:
    return lambda inputs: None if inputs.anchor_over_under is None else inputs.anchor_over_under[place]


def _named(field: str) -> Callable[[ForecastInputs], Value]:
    return lambda inputs: "named" if getattr(inputs, field) else None  # teams are too many for a bin each


def _field(name: str) -> Callable[[ForecastInputs], Value]:
    def read(inputs: ForecastInputs) -> Value:
        value: Value = getattr(inputs, name)
        return value

    return read


# All but the clock, which is set, and priors, which no model is fitted on.
INPUTS: Mapping[str, Callable[[ForecastInputs], Value]] = MappingProxyType(
    {
        "league": _field("league"),
        "home_team": _named("home_team"),
        "away_team": _named("away_team"),
        **{
            name: _field(name)
            for name in (
                "home_goals",
                "away_goals",
                "home_reds",
                "away_reds",
                "home_shots",
                "away_shots",
                "shots_by",
            )
        },
        "anchor_1x2.home": _implied(0),
        "anchor_1x2.draw": _implied(1),
        "anchor_1x2.away": _implied(2),
        "anchor_1x2.overround": _overround,
        "anchor_over_under.line": _of_total(0),
        "anchor_over_under.over": _of_total(1),
        "goals": lambda inputs: None if inputs.goals is None else len(inputs.goals),
    }
)


def describe(name: str, by_minute: Mapping[int, Sequence[ForecastInputs]]) -> InputReference:
    """Return how an input fell, of the same matches at each minute."""
    values = {minute: [INPUTS[name](inputs) for inputs in rows] for minute, rows in by_minute.items()}
    known = [value for of_minute in values.values() for value in of_minute if value is not None]
    numbers = np.array([value for value in known if not isinstance(value, str)], dtype=np.float64)
    edges = np.unique(np.quantile(numbers, _DECILES, method="inverted_cdf")).tolist() if len(numbers) else []
    empty = InputReference(
        name=name,
        matches=max(map(len, by_minute.values()), default=0),
        edges=tuple(edges),
        names=tuple(sorted({value for value in known if isinstance(value, str)})),
        counts={},
    )
    counts = {minute: _counts(empty, of_minute) for minute, of_minute in values.items()}
    return InputReference(name=name, matches=empty.matches, edges=empty.edges, names=empty.names, counts=counts)


def drift(reference: InputReference, matches: Sequence[Mapping[int, ForecastInputs]]) -> InputDrift:
    """Compare an input with its reference, given the inputs of live matches by minute, at least one.

    Each minute weighs as much in the reference as it does live, so matches may be under way. Rows of a match go
    together, so what chance may do is reckoned as if each match were one row: rather too much than too little.
    Source: Yurdakul and Naranjo (2020), Journal of Risk Model Validation 14(3): PSI of equals is
    (1/n + 1/m) times a chi-squared of bins - 1 degrees of freedom.
    """
    read = INPUTS[reference.name]
    live, fitted = np.zeros(_bins(reference)), np.zeros(_bins(reference))
    for minute, at_fit in reference.counts.items():
        counts = _counts(reference, [read(rows[minute]) for rows in matches if minute in rows])
        live += counts
        fitted += np.array(at_fit) * (sum(counts) / max(sum(at_fit), 1))
    used = int(np.count_nonzero(live + fitted))
    noise = (1 / max(len(matches), 1) + 1 / max(reference.matches, 1)) * chi_squared_95(used - 1)
    psi, threshold = stability_index(live, fitted), max(SHIFTED, noise)
    total = max(live.sum(), 1.0)
    return InputDrift(
        input=reference.name,
        psi=psi,
        threshold=threshold,
        shifted=psi > threshold,
        matches=len(matches),
        missing=float(live[-1] / total),
        missing_at_fit=float(fitted[-1] / total),
    )


def stability_index(live: FloatArray, fitted: FloatArray) -> float:
    """Return the population stability index of (bins,) counts: 0 where both have the same shares.

    >>> stability_index(np.array([50.0, 50.0]), np.array([50.0, 50.0]))
    0.0
    >>> round(stability_index(np.array([900.0, 100.0]), np.array([500.0, 500.0])), 2)
    0.88
    """
    p, q = (counts + _PRIOR for counts in (live, fitted))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def chi_squared_95(freedom: int) -> float:
    """Return the 95th percentile of a chi-squared variable; 0 without freedom.

    Source: Wilson and Hilferty (1931), PNAS 17(12): within 0.1 from two degrees of freedom on.

    >>> round(chi_squared_95(9), 1)
    16.9
    """
    if freedom < 1:
        return 0.0
    step = 2 / (9 * freedom)
    return float(freedom * (1 - step + _NORMAL_95 * math.sqrt(step)) ** 3)


def _bins(reference: InputReference) -> int:
    return (len(reference.names) if reference.names else len(reference.edges)) + 2


def _counts(reference: InputReference, values: Sequence[Value]) -> tuple[int, ...]:
    found, missing = Counter[int](), _bins(reference) - 1
    places = {name: place for place, name in enumerate(reference.names)}
    numbers = [value for value in values if isinstance(value, int | float)]
    found.update(np.searchsorted(reference.edges, numbers).tolist() if not reference.names else [])
    found.update(places.get(value, missing - 1) for value in values if isinstance(value, str))
    found[missing] = sum(value is None for value in values)
    return tuple(found[place] for place in range(missing + 1))
