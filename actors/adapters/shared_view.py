"""What a view in memory tells of itself, and what a view that replicas share must take to be filled from it."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

from actors.domain.ports import ViewEntry


class Held(Struct, frozen=True, kw_only=True):
    """The newest entry of a match, and the highest epoch met, which may be that of a refused one."""

    entry: ViewEntry
    fence: int


class Kept(Struct, frozen=True, kw_only=True):
    """The tail of a partition: of the taken entries with floor < offset <= newest none is missing."""

    floor: int
    newest: int
    sound_from: int  # before it, entries did not come in the log's order
    taken: int  # how many entries the tail has ever got, those that left it included
    entries: tuple[ViewEntry, ...]


class Outcome(IntEnum):
    """What became of an entry."""

    REFUSED = 0
    TAKEN = 1
    KNOWN = 2  # this very entry, or one behind it, is there already


class SeenMatch(Struct, frozen=True, kw_only=True):
    """What the shared view holds of a match."""

    fence: int
    seq: int


class SeenTail(Struct, frozen=True, kw_only=True):
    """What the shared view vouches for in a partition; a full one cannot reach further back."""

    floor: int
    newest: int
    is_full: bool


class Seen(Struct, frozen=True, kw_only=True):
    """What the shared view holds of what it was asked for; what is not there is not in it."""

    matches: dict[str, SeenMatch]
    tails: dict[int, SeenTail]


class SharedReader(Protocol):
    """The reading side. Everything raises StoreUnavailable, after a bounded wait."""

    def latest(self, match_id: str) -> ViewEntry | None: ...

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None: ...


class SharedFiller(Protocol):
    """The side that replicas fill, all of them at once. Everything may be repeated, and raises StoreUnavailable."""

    def put_all(self, linked: Sequence[tuple[ViewEntry, int]]) -> list[Outcome]:
        """Put entries of one partition in the log's order, each with the offset of the entry before it.

        Where the view has not got that one, it vouches for nothing up to there from then on.
        """
        ...

    def forget(self, match_id: str) -> None: ...

    def look(self, match_ids: Sequence[str], partitions: Sequence[int]) -> Seen:
        """Say what is there, and let it live on."""
        ...

    def restore(self, held: Sequence[Held]) -> None:
        """Put back the newest entries of matches, unless something newer is there; tails are not added to."""
        ...

    def restore_tail(self, partition: int, kept: Kept) -> None:
        """Unite what the view vouches for with a piece of the log, if they touch; else the newer one stays."""
        ...


class SharedView(SharedReader, SharedFiller, Protocol):
    """Both sides."""

    def close(self) -> None: ...
