"""What every Ray that we start is told, by the environment; it is read when Ray is imported."""

import os
from collections.abc import Mapping

OF_EVERY_RAY: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AUTH_MODE": "token",  # dashboard and jobs ask for the token in ~/.ray/auth_token, made at the first start
}


def tell_ray(settings: Mapping[str, str]) -> None:
    """Put settings into the environment where nobody has set them otherwise."""
    for name, value in settings.items():
        os.environ.setdefault(name, value)
