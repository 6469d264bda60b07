"""How much of a match is still to come at a clock: shares of goals by block, half times and stoppage included."""

import math
from dataclasses import dataclass, field

from training.chain import BLOCKS

_BLOCK_MS = 300_000
_HALF_MS = 2_700_000
_LAST_OF_FIRST_HALF = 8  # minutes 40-45 and the first half's stoppage
_LAST = BLOCKS - 1  # 90+


@dataclass(frozen=True, slots=True, kw_only=True)
class Stoppage:
    """Expected stoppage still to come, given that the half is not over, as a share of what is expected at 45:00.

    After s seconds that is floor + (1 - floor) exp(-s / decay_s): it falls at first, then hovers, since a half that
    has gone on so long may go on longer.
    """

    floor: float
    decay_s: float

    def left(self, elapsed_s: float) -> float:
        """Return the share after `elapsed_s` seconds of stoppage; 1 at 0, above 0 for ever."""
        return self.floor + (1 - self.floor) * math.exp(-elapsed_s / self.decay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockShares:
    """Shares of a match's goals by block of five minutes; they sum to 1."""

    blocks: tuple[float, ...]
    first_stoppage_share: float  # of the ninth block's goals, those behind 45:00
    first: Stoppage
    second: Stoppage
    tails: tuple[float, ...] = field(init=False)  # of each block, the shares behind it

    def __post_init__(self) -> None:
        object.__setattr__(self, "tails", tuple(math.fsum(self.blocks[block + 1 :]) for block in range(BLOCKS)))

    def to_come(self, period: int, clock_ms: int) -> list[float]:
        """Return the (BLOCKS,) shares still to come at `clock_ms` of `period`: never more at a later clock.

        All of them before kick-off, some as long as the second half lasts, none from period 3 on.
        """
        block, left = self._place(period, clock_ms)
        return [0.0] * block + [self.blocks[block] * left, *self.blocks[block + 1 :]]

    def left(self, period: int, clock_ms: int) -> float:
        """Return the sum of the shares still to come."""
        block, left = self._place(period, clock_ms)
        return self.blocks[block] * left + self.tails[block]

    def _place(self, period: int, clock_ms: int) -> tuple[int, float]:
        """Return the block of a clock, and how much of that block is left."""
        if period <= 0:
            return 0, 1.0
        if period > 2:
            return _LAST, 0.0
        return self._first_half(clock_ms) if period == 1 else self._second_half(clock_ms)

    def _first_half(self, clock_ms: int) -> tuple[int, float]:
        block = min(clock_ms // _BLOCK_MS, _LAST_OF_FIRST_HALF)
        if clock_ms >= _HALF_MS:
            return block, self.first_stoppage_share * self.first.left((clock_ms - _HALF_MS) / 1000)
        gone = (clock_ms - block * _BLOCK_MS) / _BLOCK_MS
        return block, 1 - gone * (1 - self.first_stoppage_share if block == _LAST_OF_FIRST_HALF else 1)

    def _second_half(self, clock_ms: int) -> tuple[int, float]:
        block = _LAST_OF_FIRST_HALF + 1 + clock_ms // _BLOCK_MS
        if clock_ms >= _HALF_MS:
            return _LAST, self.second.left((clock_ms - _HALF_MS) / 1000)
        return block, 1 - (clock_ms % _BLOCK_MS) / _BLOCK_MS
