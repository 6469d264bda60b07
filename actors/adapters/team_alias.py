"""Team names of a provider and the names under which the ratings (football-data's names) know these teams.

The file beside this one is reviewed by hand; a name that it does not hold has no rating, and nothing is guessed.
`cluster/demo/make_sheets.py` says how it was begun.
"""

from functools import cache
from pathlib import Path

import msgspec

ALIASES = Path(__file__).with_name("team_alias.json")


def rating_key(provider: str, name: str) -> str | None:
    """Return the name under which the ratings know a provider's team, or None.

    >>> rating_key("wyscout", "Manchester City")
    'Man City'
    >>> rating_key("wyscout", "Italy") is None
    True
    """
    return _aliases().get(provider, {}).get(name)


@cache
def _aliases() -> dict[str, dict[str, str]]:
    return msgspec.json.decode(ALIASES.read_bytes(), type=dict[str, dict[str, str]])
