"""The catalogue of a match's inputs, as the API writes it."""

import math

from actors.domain.features import Extracted, catalogue
from actors.domain.features import Feature as Described
from serve_app.messages import Feature, MatchInput


def _said(low: float, high: float) -> str:
    """Say a range.

    >>> _said(0.0, 40.0), _said(0.0, math.inf), _said(-math.inf, math.inf)
    ('0 to 40', '0 and above', 'any number')
    """
    if math.isinf(low):
        return "any number"
    return f"{low:g} and above" if math.isinf(high) else f"{low:g} to {high:g}"


def _staleness(described: Described) -> str:
    limit_s = described.staleness_limit_s
    return "does not go stale" if limit_s is None else f"stale after {limit_s:g} s of play without word from its source"


MATCH_CATALOGUE: tuple[Feature, ...] = tuple(
    Feature(
        name=described.name,
        definition=described.definition,
        unit=described.unit,
        source=described.source,
        range=_said(*described.range) + ", or missing",
        staleness=_staleness(described),
        group=described.group,
    )
    for described in catalogue()
)


def match_inputs(extracted: Extracted) -> list[MatchInput]:
    """Return every input of the catalogue with its value, age and range."""
    rows = zip(catalogue(), extracted.values.tolist(), extracted.ages_s.tolist(), strict=True)
    return [
        MatchInput(
            name=described.name,
            value=_finite(value),
            unit=described.unit,
            source=described.source,
            group=described.group,
            age_s=_finite(age_s),
            least=_finite(described.range[0]),
            most=_finite(described.range[1]),
        )
        for described, value, age_s in rows
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
