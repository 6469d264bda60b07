"""What may befall an operation, and how often: tables that turn one drawn byte into one fate."""

from collections.abc import Iterator
from hashlib import shake_128

# The fates, from harmless to worst; plain numbers, since each operation of each schedule looks one up.
GO, YIELD, LATE, SHORT, PAUSED, PAUSED_BEHIND, REFUSED, UNACKNOWLEDGED, TORN, CRASHED, CRASHED_BEHIND, TORN_CRASH = (
    range(12)
)
FATES = (
    "went well",
    "waited for others before it",
    "was answered late",
    "brought less than there was",
    "paused the process before it",
    "paused the process behind it",
    "refused",
    "unacknowledged",
    "torn",
    "crash before it",
    "crash behind it",
    "torn by a crash",
)

# The operations of the ports.
APPEND, LETTER, READ, ENDS, LOAD, SAVE, PREDICT, WRITE, OFFSETS, COMMIT, PUT = range(11)
OPERATIONS = (
    "append to forecasts",
    "append of dead letters",
    "read of the log",
    "look at the log's ends",
    "load of a snapshot",
    "save of a snapshot",
    "prediction",
    "write to history",
    "load of history's offsets",
    "commit of history's offsets",
    "put into the view",
)
CALM = 256  # what a schedule draws when its bytes are used up: everything goes well from there on

_ASKED = {YIELD: 45, REFUSED: 7, CRASHED: 4, PAUSED: 4}
_DONE = {YIELD: 45, LATE: 15, REFUSED: 9, UNACKNOWLEDGED: 9, CRASHED: 5, CRASHED_BEHIND: 5, PAUSED: 5}
_WEIGHTS: dict[int, dict[int, int]] = {  # in 256ths, for the middle temper
    APPEND: {**_DONE, TORN: 10, TORN_CRASH: 5, PAUSED: 7, PAUSED_BEHIND: 6},
    LETTER: {**_DONE, TORN: 10, TORN_CRASH: 5},
    READ: {YIELD: 40, SHORT: 20, REFUSED: 4, CRASHED: 3, PAUSED: 4},
    ENDS: _ASKED,
    LOAD: _ASKED,
    SAVE: {**_DONE, PAUSED: 9},
    PREDICT: {YIELD: 25, REFUSED: 12, CRASHED: 4, PAUSED: 4},
    WRITE: {**_DONE, TORN: 16, TORN_CRASH: 10},
    OFFSETS: _ASKED,
    COMMIT: _DONE,
    PUT: {YIELD: 20, CRASHED: 5, CRASHED_BEHIND: 5, PAUSED: 3},
}
_TEMPERS = (
    {"faults": 0.0, "waits": 2.5},
    {"faults": 0.5, "waits": 1.0},
    {"faults": 1.0, "waits": 1.0},
    {"faults": 2.0, "waits": 1.5},
)


def drawn(seed: int, size: int) -> bytes:
    """Return the first bytes of a seed, the same on every machine."""
    return shake_128(seed.to_bytes(8, "big")).digest(size)


def _table(weights: dict[int, int], faults: float, waits: float) -> bytes:
    fates = bytearray()
    for fate, weight in weights.items():
        fates += bytes([fate]) * round(weight * (waits if fate < PAUSED else faults))
    return bytes(fates) + bytes(CALM + 1 - len(fates))


TABLES = tuple(tuple(_table(_WEIGHTS[operation], **temper) for operation in _WEIGHTS) for temper in _TEMPERS)


def struck() -> Iterator[tuple[int, int]]:
    """Yield every (operation, fate) that can strike."""
    for operation, weights in _WEIGHTS.items():
        yield from ((operation, fate) for fate in weights)
