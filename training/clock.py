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
        return place_of(period, clock_ms, *self.constants)

    @property
    def constants(self) -> tuple[float, float, float, float, float]:
        """What `place_of` takes behind the clock."""
        return self.first_stoppage_share, self.first.floor, self.first.decay_s, self.second.floor, self.second.decay_s


def place_of(
    period: int,
    clock_ms: int,
    first_share: float,
    first_floor: float,
    first_decay_s: float,
    second_floor: float,
    second_decay_s: float,
) -> tuple[int, float]:
    """Return the block of a clock, and how much of that block is left. Plain, so that it can be compiled."""
    if period <= 0:
        return 0, 1.0
    if period > 2:
        return _LAST, 0.0
    if clock_ms >= _HALF_MS:
        floor, decay_s = (first_floor, first_decay_s) if period == 1 else (second_floor, second_decay_s)
        left = floor + (1 - floor) * math.exp(-((clock_ms - _HALF_MS) / 1000) / decay_s)
        return (_LAST_OF_FIRST_HALF, first_share * left) if period == 1 else (_LAST, left)
    if period == 2:
        return _LAST_OF_FIRST_HALF + 1 + clock_ms // _BLOCK_MS, 1 - (clock_ms % _BLOCK_MS) / _BLOCK_MS
    block = min(clock_ms // _BLOCK_MS, _LAST_OF_FIRST_HALF)
    gone = (clock_ms - block * _BLOCK_MS) / _BLOCK_MS
    return block, 1 - gone * (1 - first_share if block == _LAST_OF_FIRST_HALF else 1.0)
