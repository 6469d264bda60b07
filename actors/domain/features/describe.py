"""What the catalogue says of an input."""

import math
from typing import Literal

from msgspec import Struct

Group = Literal[
    "state_and_clock",
    "rates",
    "zones_and_sides",
    "shot_quality",
    "momentum",
    "discipline",
    "substitutions",
    "lineups",
    "ratings",
    "form",
    "schedule",
    "head_to_head",
    "league",
    "prices",
]
Source = Literal["feed", "odds", "before"]  # ball events and incidents; prices; what is known before kick-off
SIDES = ("home", "away")
UNBOUNDED = (-math.inf, math.inf)
FEED_STALE_S = 10.0  # of silence in play, when a forecast is SUSPENDED
PRICE_STALE_S = 60.0  # of play, when no edge is shown against an in-play quote any more


class Feature(Struct, frozen=True, kw_only=True):
    """One named input. A value outside `range` is a fault of the feed or of ours; NaN is missing, never zero."""

    name: str
    definition: str
    unit: str
    source: Source
    group: Group
    range: tuple[float, float] = UNBOUNDED
    staleness_limit_s: float | None = None  # None: does not go stale
