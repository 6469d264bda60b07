"""The catalogue: every named input, in the order of the vector."""

import hashlib

import msgspec

from actors.domain.features.clock_state import SHOT_FEATURES, SINCE_FEATURES, STATE_FEATURES
from actors.domain.features.describe import Feature
from actors.domain.features.prematch import BEFORE_FEATURES
from actors.domain.features.prices import PRICE_FEATURES
from actors.domain.features.squads import INCIDENT_FEATURES, SQUAD_FEATURES
from actors.domain.features.windows import PRESSURE_FEATURES, RATE_FEATURES, SHARE_FEATURES

_FEATURES: tuple[Feature, ...] = (
    *(*STATE_FEATURES, *SINCE_FEATURES, *SHOT_FEATURES, *INCIDENT_FEATURES, *SQUAD_FEATURES),
    *(*RATE_FEATURES, *SHARE_FEATURES, *PRESSURE_FEATURES, *BEFORE_FEATURES, *PRICE_FEATURES),
)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in _FEATURES)
CATALOGUE_ID = hashlib.sha256(msgspec.json.encode(_FEATURES)).hexdigest()[:16]  # another one: other columns


def catalogue() -> tuple[Feature, ...]:
    """Return all inputs in the order of the vector."""
    return _FEATURES
