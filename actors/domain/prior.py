"""What our own ratings and form say of a match before its kick-off, for where its prices are not known."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

Chance = Annotated[float, Meta(gt=0, lt=1)]


class Prior(Struct, frozen=True, kw_only=True):
    """Decided once, before kick-off, and logged; `as_of` is the day of the newest result that it knows."""

    home: Chance
    draw: Chance
    away: Chance
    over: Chance  # of more than 2.5 goals
    variant: str  # what was known: no_odds, or past_odds of earlier matches
    model_version: str  # whose weights spoke
    as_of: date
    is_newcomer: bool = False  # no result of one of the teams is known: it counts as one that came up

    @property
    def basis(self) -> str:
        """Return the name of what such a forecast rests on.

        >>> a = dict(home=0.5, draw=0.3, away=0.2, over=0.5, model_version="m", as_of=date(2024, 5, 1))
        >>> Prior(variant="no_odds", **a).basis, Prior(variant="past_odds", is_newcomer=True, **a).basis
        ('prematch:no_odds', 'prematch:past_odds:newcomer')
        """
        return f"prematch:{self.variant}{':newcomer' if self.is_newcomer else ''}"

    @property
    def prices(self) -> tuple[float, float, float]:
        """Return the fair decimal prices of home, draw, away."""
        return 1 / self.home, 1 / self.draw, 1 / self.away

    @property
    def totals(self) -> tuple[float, float, float]:
        """Return line, over and under: the fair decimal prices of the total."""
        return 2.5, 1 / self.over, 1 / (1 - self.over)
