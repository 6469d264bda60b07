"""What `training.fit_quantities` learnt: the weights of the shot model and the value of each zone of the pitch."""

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).with_name("fitted.json")


class Fitted(Struct, frozen=True, kw_only=True):
    """Fitted constants, and what they were fitted on."""

    source: str
    until: str  # nothing dated on or after this day was used
    matches: int
    shots: int
    goals: int
    moves: int
    shot_weights: dict[str, float]  # by term, of the log-odds of a goal
    penalty: float  # probability of a goal
    zone_value: tuple[tuple[float, ...], ...]  # along x, then y: chance of a goal in the possession that is there


@cache
def fitted() -> Fitted:
    """Return the constants; read once."""
    return msgspec.json.decode(FILE.read_bytes(), type=Fitted)
