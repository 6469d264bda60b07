"""What each group of inputs is worth: the same matches, forecast as if the group had never come."""

from collections.abc import Mapping
from types import MappingProxyType

from actors.domain.distribution import Forecaster
from training.live_data import LiveMatches
from training.live_score import MINUTES, LiveForecasts, forecast, score
from training.metrics import Interval, paired_bootstrap

GROUPS: Mapping[str, Mapping[str, object]] = MappingProxyType(  # what stands in for each
    {
        "shots": {"home_shots": None, "away_shots": None, "shots_by": None},
        "times of goals": {"goals": None},
        "red cards": {"home_reds": 0, "away_reds": 0},
        "prices of totals": {"anchor_over_under": None},
        "all prices": {"anchor_1x2": None, "anchor_over_under": None},
    }
)


def ablation(
    forecaster: Forecaster, matches: LiveMatches, whole: LiveForecasts, seed: int, resamples: int
) -> dict[str, list[Interval]]:
    """Return by group what its absence adds to the ranked probability score, at each of MINUTES; above 0 it helps."""
    reference = score(whole.chances, matches).rps
    added = {
        group: score(forecast(forecaster, matches, instead).chances, matches).rps - reference
        for group, instead in GROUPS.items()
    }
    return {group: [paired_bootstrap(row, seed, resamples) for row in rows] for group, rows in added.items()}


def ablation_lines(found: Mapping[str, list[Interval]]) -> list[str]:
    """Return the table of `ablation`."""
    head = f"{'RPS x .001 more without':24}" + "".join(f"{minute:>21}'" for minute in MINUTES)
    rows = ("".join(f"{gain.thousandths():>22}" for gain in gains) for gains in found.values())
    return [head, *(f"{'  ' + group:24}{row}" for group, row in zip(found, rows, strict=True))]
