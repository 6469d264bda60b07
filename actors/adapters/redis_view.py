"""The live view in Redis: shared by all replicas, filled by all of them, never the truth."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from actors.adapters.redis_client import Call, ScriptedRedis
from actors.adapters.shared_view import Held, Kept, Outcome, Seen, SeenMatch, SeenTail
from actors.domain.errors import StoreUnavailable
from actors.domain.ports import ViewEntry
from conf.stores import RedisViewConfig

PIECE = 100  # matches or partitions in one round trip
PIECE_BYTES = 1024 * 1024  # of a tail; takes Redis about 10 ms, in which it answers nobody else
_SCRIPT = Path(__file__).with_name("redis_view.lua").read_text(encoding="utf-8")
T = TypeVar("T")


class RedisView:
    """A LiveView, and a SharedView, in one Redis that is a primary; not in Redis Cluster.

    Every change is one run of a script, so entries are compared and set whoever else writes. Redis may lose any of it
    at any time, and with a failover the newest writes: then it knows less, but `tail` vouches for nothing that is gone.
    With a match its bounds are lost too, so whoever decides what is shown must not take this for the truth.

    Every method but `close` raises StoreUnavailable after at most about `timeout_s`; the outcome of a write is then
    unknown, and doing it again is safe. Keys live for `ttl_s` from the last write or `look` on. Threads may share it.
    """

    def __init__(self, config: RedisViewConfig) -> None:
        """Take note of where Redis is; it is not asked yet.

        Raises:
            SetupError: The password file cannot be read.
        """
        self._prefix = config.prefix
        self._redis = ScriptedRedis(config, _SCRIPT, (config.ttl_s, config.tail_per_partition))
        self._links: dict[int, int] = {}  # partition -> offset of the last entry that was put, here or by others

    def check(self) -> None:
        """Ask once whether this Redis will do; raises SetupError if no retry would cure it, else StoreUnavailable."""
        self._redis.check()

    def put(self, entry: ViewEntry) -> bool:
        link = self._links.get(entry.partition, entry.offset - 1)
        reached = max(link, entry.offset)
        try:
            (outcome,) = self.put_all([(entry, link)])
        except StoreUnavailable:
            self._links[entry.partition] = reached  # it may be there, or may be missing
            raise
        if outcome is not Outcome.REFUSED:
            self._links[entry.partition] = reached
        return outcome is Outcome.TAKEN

    def put_all(self, linked: Sequence[tuple[ViewEntry, int]]) -> list[Outcome]:
        return [Outcome(each) for each in self._run("put", [self._put(e, e.epoch, link) for e, link in linked])]

    def latest(self, match_id: str) -> ViewEntry | None:
        (fields,) = self._run("latest", [Call([self._match(match_id)], [])])
        with _readable("latest"):
            return None if fields is None else _latest(match_id, *fields)

    def matches(self) -> list[str]:
        (found,) = self._run("matches", [Call([self._matches], [self._match("")])])
        with _readable("matches"):
            return sorted(match_id.decode() for match_id in found)

    def tail(self, partition: int, after_offset: int) -> list[ViewEntry] | None:
        (found,) = self._run("behind", [Call(self._tail(partition), [after_offset])])
        with _readable("tail"):
            return None if found is None else [_streamed(partition, fields) for _, fields in found]

    def forget(self, match_id: str) -> None:
        self._run("forget", [Call([self._match(match_id), self._matches], [match_id])])

    def look(self, match_ids: Sequence[str], partitions: Sequence[int]) -> Seen:
        matches: list[Any] = []
        for ids in [*_pieces(match_ids)] or [()]:  # also where nothing is asked for: whether it answers is news
            matches += self._look([self._match(match_id) for match_id in ids], ids)
        tails: list[Any] = []
        for some in _pieces(partitions):
            tails += self._look([key for partition in some for key in self._tail(partition)], ())
        with _readable("look"):
            return Seen(
                matches={i: _seen_match(*match) for i, match in zip(match_ids, matches, strict=True) if match},
                tails={p: _seen_tail(*tail) for p, tail in zip(partitions, tails, strict=True) if tail},
            )

    def restore(self, held: Sequence[Held]) -> None:
        for piece in _pieces(held):
            self._run("put", [self._put(each.entry, each.fence, "") for each in piece])

    def restore_tail(self, partition: int, kept: Kept) -> None:
        """Unite, from the newest piece on: what others put meanwhile then follows what is there already."""
        largest = max((len(entry.value) for entry in kept.entries), default=0)
        newest, count = kept.newest, max(1, PIECE_BYTES // max(1, largest))
        for start in reversed(range(0, max(1, len(kept.entries)), count)):
            floor = kept.entries[start - 1].offset if start else kept.floor
            fields = [field for entry in kept.entries[start : start + count] for field in _fields(entry)]
            self._run("mend", [Call(self._tail(partition), [floor, newest, *fields])])
            newest = floor

    def close(self) -> None:
        self._redis.close()

    def _run(self, operation: str, calls: Sequence[Call]) -> list[Any]:
        return self._redis.run(operation, calls) if calls else []

    def _look(self, keys: Sequence[str], match_ids: Sequence[str]) -> list[Any]:
        (told,) = self._run("look", [Call([self._matches, *keys], [len(match_ids), *match_ids])])
        return list(told)

    def _put(self, entry: ViewEntry, fence: int, link: int | str) -> Call:
        keys = [self._match(entry.match_id), self._matches, *self._tail(entry.partition)]
        bounds = (entry.match_id, entry.epoch, entry.seq, entry.partition, entry.offset)
        return Call(keys, [*bounds, entry.value, fence, link])

    @property
    def _matches(self) -> str:
        return f"{self._prefix}:matches"

    def _match(self, match_id: str) -> str:
        return f"{self._prefix}:match:{match_id}"

    def _tail(self, partition: int) -> tuple[str, str]:
        return f"{self._prefix}:tail:{partition}", f"{self._prefix}:entries:{partition}"


def _pieces(all_of: Sequence[T]) -> Iterator[Sequence[T]]:
    return (all_of[start : start + PIECE] for start in range(0, len(all_of), PIECE))


def _fields(entry: ViewEntry) -> tuple[int | str | bytes, ...]:
    return entry.offset, entry.match_id, entry.epoch, entry.seq, entry.value


@contextmanager
def _readable(operation: str) -> Iterator[None]:
    """Run the block that reads an answer; keys of ours that somebody else wrote are no answer."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise StoreUnavailable("Redis", operation, f"the keys hold something else: {error}") from error


def _seen_match(fence: bytes, seq: bytes) -> SeenMatch:
    return SeenMatch(fence=int(fence), seq=int(seq))


def _seen_tail(floor: bytes, newest: bytes, is_full: int | None) -> SeenTail:
    return SeenTail(floor=int(floor), newest=int(newest), is_full=bool(is_full))


def _streamed(partition: int, fields: Sequence[bytes]) -> ViewEntry:
    """Return an entry of the stream; its fields come as name, value, name, value."""
    offset, match_id, epoch, seq, value = fields[1::2]
    return ViewEntry(
        match_id=match_id.decode(),
        epoch=int(epoch),
        seq=int(seq),
        partition=partition,
        offset=int(offset),
        value=value,
    )


def _latest(match_id: str, epoch: bytes, seq: bytes, partition: bytes, offset: bytes, value: bytes) -> ViewEntry:
    return ViewEntry(
        match_id=match_id,
        epoch=int(epoch),
        seq=int(seq),
        partition=int(partition),
        offset=int(offset),
        value=value,
    )
