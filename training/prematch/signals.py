"""The thirteen filters' constants, and what each of them observes of a match.

Source: model notes of the project, "The recipe": a coordinate search on the validation seasons, whose optimum is flat.
"""

import numpy as np
from msgspec.structs import replace

from actors.domain.ratings import Signal
from training.prematch.table import FloatArray, ResultTable

_GOALS = Signal(
    name="go",
    dispersion=1.0,
    growth=4e-5,
    carry=0.95,
    summer=0.01,
    first=0.03,
    moved=0.03,
    level_growth=3e-6,
    home_growth=1e-6,
    newcomers=16,
    carry_moved=0.25,
    home_first=0.001,
    level=0.25,
)
_COMPOSITE = Signal(
    name="cp",
    dispersion=0.7,
    growth=4e-5,
    carry=0.95,
    summer=0.01,
    first=0.03,
    moved=0.015,
    level_growth=3e-7,
    home_growth=1e-6,
    newcomers=16,
    carry_moved=0.4,
    cap=4.0,
    home_first=0.0005,
    level=0.25,
)
_ON_TARGET = Signal(
    name="st",
    dispersion=1.6,
    growth=4e-5,
    carry=0.85,
    summer=0.01,
    first=0.03,
    moved=0.02,
    level_growth=3e-6,
    home_growth=5e-6,
    newcomers=3,
    carry_moved=0.4,
    cap=14.0,
    level=1.5,
)
_IMPLIED = Signal(
    name="im",
    gaussian=True,
    dispersion=0.02,
    growth=4e-4,
    carry=0.85,
    summer=0.08,
    first=0.1,
    moved=0.03,
    level_growth=1e-7,
    home_growth=1e-5,
    newcomers=16,
    carry_moved=0.4,
    level=0.25,
)
_IMPLIED_AND_SEEN = replace(_IMPLIED, name="im2", first=0.2, second_dispersion=4.0)
PLAY = (  # from what happened on the pitch
    _GOALS,
    replace(_GOALS, name="gof", growth=4e-4, summer=0.03),
    replace(_GOALS, name="ht", level=-0.45),
    _COMPOSITE,
    replace(_COMPOSITE, name="cpf", growth=4e-4, summer=0.03),
    replace(_COMPOSITE, name="cps", growth=5e-6, summer=0.005, carry=1.0),
    _ON_TARGET,
    replace(_ON_TARGET, name="sh", dispersion=3.1, moved=0.015, home_growth=1e-5, cap=float("inf"), level=2.45),
    replace(
        _ON_TARGET,
        name="co",
        dispersion=2.6,
        growth=2e-5,
        carry=0.9,
        moved=0.005,
        level_growth=3e-5,
        cap=float("inf"),
        level=1.6,
    ),
)
PRICES = (  # from the prices of finished matches
    _IMPLIED,
    _IMPLIED_AND_SEEN,
    replace(_IMPLIED_AND_SEEN, name="im3", growth=1e-4, summer=0.02),
)
GOALS_SHARE = 0.4  # of goals in the composite; the rest is what shots and corners were worth
_GOALS_PER = (0.759 * 0.27, 0.759 * 0.045, 0.759 * 0.015)  # shot on target, shot off target, corner


def composite(table: ResultTable) -> FloatArray:
    """Return (n, 2): goals mixed with what shots and corners were worth; goals alone where those are missing."""
    on_target, off_target, corner = _GOALS_PER
    worth = on_target * table.on_target + off_target * (table.shots - table.on_target) + corner * table.corners
    mixed = GOALS_SHARE * table.goals + (1 - GOALS_SHARE) * worth
    return np.where(np.isfinite(mixed).all(axis=1, keepdims=True), mixed, table.goals)


def observed(signal: Signal, table: ResultTable, implied: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the filter sees of each match, (n, 2), and the count beside it, NaN where there is none."""
    counts = {
        "go": table.goals,
        "ht": table.half_time,
        "cp": composite(table),
        "st": table.on_target,
        "sh": table.shots,
        "co": table.corners,
        "im": implied,
    }
    second = counts["cp"] if signal.second_dispersion else np.full_like(table.goals, np.nan)
    return counts[signal.name[:2]], second
