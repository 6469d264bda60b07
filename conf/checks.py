"""What a value of the configuration must be; what is wrong is one sentence that begins with the key's full name."""

import math
from typing import Any

MISSING: Any = "???"  # OmegaConf's: a value that has no default; with its import each process would take 5 MB more


def need(holds: bool, key: str, what: str, was: object) -> None:
    """Raise ValueError unless `holds`."""
    if not holds:
        raise ValueError(f"{key} must be {what}, was {was!r}")


def need_text(key: str, was: str) -> None:
    """Raise ValueError for an empty name or path."""
    need(bool(was.strip()), key, "a name or path that is not empty", was)


def need_whole(key: str, was: int, least: int = 1, most: int | None = None) -> None:
    """Raise ValueError for a number out of its bounds."""
    within = f"at least {least}" if most is None else f"between {least} and {most}"
    need(was >= least and (most is None or was <= most), key, within, was)


def need_port(key: str, was: int) -> None:
    """Raise ValueError for what is no TCP port."""
    need_whole(key, was, most=65_535)


def need_positive(key: str, was: float) -> None:
    """Raise ValueError for zero, less, or no number."""
    need(0 < was < math.inf, key, "a finite number above 0", was)


def need_rate(key: str, was: float) -> None:
    """Raise ValueError for what is no probability."""
    need(0 <= was <= 1, key, "a probability between 0 and 1", was)
