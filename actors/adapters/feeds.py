"""What every feed adapter shares: a match as timed records, the builder that times and numbers them, and detection.

An adapter is a module `feed_<name>` with `sniff(head, path) -> bool` (the first `HEAD_BYTES`, decompressed) and
`read(path, meta) -> MatchFeed`. Values a provider got wrong (a clock beyond its bounds, say) are passed on as they
came: the fold rejects such a record, whole and with a reason, which is where an operator looks for it.
"""

import bz2
import gzip
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec
from msgspec import Struct

from actors.domain.errors import NotAMatch
from actors.domain.events import (
    BEFORE_KICK_OFF,
    MAX_PERIOD_MS,
    Clock,
    FeedRecord,
    FullTime,
    KickOff,
    Payload,
    PeriodEnd,
    PeriodStart,
)
from actors.domain.fixtures import Fixture

KICK_OFF_MS = 5_000  # line-ups and first odds come before it
BREAK_MS = 60_000  # half-time, and the pauses around extra time and before a shoot-out, shortened for playing
UNKNOWN_KICK_OFF = datetime(1970, 1, 1, tzinfo=UTC)  # of a file that does not say when its match was played
HEAD_BYTES = 256 * 1024  # beyond two squads, should a file begin with them
MAX_FILE_BYTES = 256 << 20  # unpacked; a match's events take 1 to 5 MB with every provider
A_MATCH_FILE = "a match file of wyscout, statsbomb, betfair or a provider that kloppy reads"

ADAPTERS: Mapping[str, str] = {  # in the order in which they are asked; kloppy last, since it reads many formats
    "wyscout": "actors.adapters.feed_wyscout",
    "statsbomb": "actors.adapters.feed_statsbomb",
    "betfair": "actors.adapters.feed_betfair",
    "kloppy": "actors.adapters.feed_kloppy",
}


class TimedRecord(Struct, frozen=True, gc=False):
    """A record and when the feed sends it: real milliseconds since the feed began."""

    at_ms: int
    record: FeedRecord


class MatchFeed(Struct, frozen=True):
    """A whole match as its providers sent it, in order of `at_ms`: no ticks, and no lease in the fixture."""

    fixture: Fixture
    records: tuple[TimedRecord, ...]


class FeedAdapter(Protocol):
    """What a module `feed_<name>` offers."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Say whether a file that begins with `head` (decompressed) is this provider's."""
        ...

    def read(self, path: Path, meta: Path | None) -> MatchFeed:
        """Read a file; raises NotAMatch."""
        ...


class _Draft(Struct, frozen=True, gc=False):
    """A record that has no place in its provider's sequence yet."""

    provider: str
    event_id: str
    version: int
    clock: Clock
    payload: Payload
    at_ms: int | None
    rank: int


_START, _PLAY, _END = 0, 1, 2  # among records of the same instant


class FeedBuilder:
    """Collects a match's records in any order; `build` places them on the feed's time line and numbers them.

    Records of the same instant keep the order in which they were added; phase records frame them.
    """

    def __init__(self, fixture: Fixture, provider: str) -> None:
        self._fixture, self._provider = fixture, provider
        self._drafts: list[_Draft] = []
        self._lengths: dict[int, int] = {}

    def add(
        self, clock: Clock, event_id: str, payload: Payload, *, version: int = 1, provider: str | None = None
    ) -> None:
        """Add what happened at a match clock."""
        self._draft(clock, event_id, payload, version, provider, None, _PLAY)

    def before(self, at_ms: int, event_id: str, payload: Payload, *, provider: str | None = None) -> None:
        """Add what was known before kick-off (line-ups, odds), `at_ms` of at most KICK_OFF_MS into the feed."""
        self._draft(BEFORE_KICK_OFF, event_id, payload, 1, provider, at_ms, _PLAY)

    def at(self, at_ms: int, clock: Clock, event_id: str, payload: Payload, *, provider: str | None = None) -> None:
        """Add what has a time of its own, whatever the match clock says (exchange prices, for example)."""
        self._draft(clock, event_id, payload, 1, provider, at_ms, _PLAY)

    def phases(self, lengths: Mapping[int, int] | None = None, *, finished: bool = True) -> None:
        """Add kick-off, period starts and ends, and full time for the periods seen so far, in order.

        Args:
            lengths: ms per period where the provider says; otherwise a period ends with its last record.
            finished: Whether the last period and the match end; False for a file that stops in mid-play.
        """
        seen = self._lengths if lengths is None else {**self._lengths, **lengths}
        self._lengths = {period: min(ms, MAX_PERIOD_MS) for period, ms in sorted(seen.items()) if period}
        last = max(self._lengths, default=0)
        for period, length in self._lengths.items():
            start = KickOff() if period == 1 else PeriodStart()
            self._draft(Clock(period, 0), f"start:{period}", start, 1, None, None, _START)
            if period < last or finished:
                self._draft(Clock(period, length), f"end:{period}", PeriodEnd(), 1, None, None, _END)
        if last and finished:
            self._draft(Clock(last, self._lengths[last]), "full_time", FullTime(), 1, None, None, _END)

    def build(self) -> MatchFeed:
        """Place, sort and number all that was added."""
        starts = period_starts(self._lengths)
        timed = sorted(((self._place(draft, starts), draft) for draft in self._drafts), key=_by_time)
        counts: dict[str, int] = {}
        records = []
        for at_ms, draft in timed:
            counts[draft.provider] = counts.get(draft.provider, 0) + 1
            records.append(TimedRecord(at_ms, self._record(draft, at_ms, counts[draft.provider])))
        return MatchFeed(self._fixture, tuple(records))

    def _draft(
        self,
        clock: Clock,
        event_id: str,
        payload: Payload,
        version: int,
        provider: str | None,
        at_ms: int | None,
        rank: int,
    ) -> None:
        self._drafts.append(_Draft(provider or self._provider, event_id, version, clock, payload, at_ms, rank))
        if at_ms is None:
            self._lengths[clock.period] = max(self._lengths.get(clock.period, 0), _within(clock.ms))

    def _place(self, draft: _Draft, starts: Mapping[int, int]) -> int:
        return draft.at_ms if draft.at_ms is not None else starts[draft.clock.period] + _within(draft.clock.ms)

    def _record(self, draft: _Draft, at_ms: int, provider_seq: int) -> FeedRecord:
        when = self._fixture.kick_off + timedelta(milliseconds=at_ms - KICK_OFF_MS)
        return FeedRecord(
            match_id=self._fixture.match_id,
            provider=draft.provider,
            provider_seq=provider_seq,
            event_id=draft.event_id,
            version=draft.version,
            occurred_at=when,
            received_at=when,
            clock=draft.clock,
            payload=draft.payload,
        )


def period_starts(lengths: Mapping[int, int]) -> dict[int, int]:
    """Return where each period begins on the feed's time line, in ms; period 0 begins with the feed.

    >>> period_starts({1: 2_700_000, 2: 2_800_000})
    {0: 0, 1: 5000, 2: 2765000}
    """
    starts, at_ms = {0: 0}, KICK_OFF_MS
    for period in sorted(set(lengths) - {0}):
        starts[period] = at_ms
        at_ms += lengths[period] + BREAK_MS
    return starts


def read_feed(path: Path, provider: str | None = None, meta: Path | None = None) -> MatchFeed:
    """Read a provider's match file, plain or packed with xz, bz2 or gzip.

    Args:
        path: The file.
        provider: Overrides detection: a key of ADAPTERS, or a name that kloppy's adapter lists in its PROVIDERS.
        meta: The second file of providers that split a match into two.
    Raises:
        NotAMatch: The file is missing, unreadable, or not what its provider would send.
    """
    head = read_head(path)
    if provider is not None and provider not in ADAPTERS:
        return _read_by_kloppy(path, provider, meta)
    names = ADAPTERS if provider is None else (provider,)
    for name in names:
        adapter = _adapter(name)
        if provider is not None or adapter.sniff(head, path):
            return adapter.read(path, meta)
    raise NotAMatch(path.name, A_MATCH_FILE, describe(head))


def read_head(path: Path) -> bytes:
    """Return the first HEAD_BYTES of a file, decompressed; raises NotAMatch."""
    return _read(path, HEAD_BYTES)


def read_bytes(path: Path) -> bytes:
    """Return a whole file, decompressed; raises NotAMatch, also for more than MAX_FILE_BYTES."""
    data = _read(path, MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise NotAMatch(path.name, A_MATCH_FILE, f"more than {MAX_FILE_BYTES >> 20} MiB once unpacked")
    return data


def read_json(path: Path, expected: str) -> Any:
    """Return a file's JSON; raises NotAMatch saying what was expected."""
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAMatch(path.name, expected, f"{describe(data)} ({error})") from error


def describe(head: bytes) -> str:
    """Say in a few words what a file begins with.

    >>> describe(b'')
    'an empty file'
    >>> describe(b'<html>')
    "a file that begins with '<html>'"
    """
    if not head:
        return "an empty file"
    text = head[:40].decode("utf-8", "replace")
    return f"a file that begins with {text!r}"


def _by_time(timed: tuple[int, _Draft]) -> tuple[int, int]:
    return timed[0], timed[1].rank


def _within(ms: int) -> int:
    return min(max(ms, 0), MAX_PERIOD_MS)


def _adapter(name: str) -> FeedAdapter:
    return cast(FeedAdapter, importlib.import_module(ADAPTERS[name]))


def _read_by_kloppy(path: Path, provider: str, meta: Path | None) -> MatchFeed:
    kloppy: Any = importlib.import_module(ADAPTERS["kloppy"])
    known: Iterable[str] = kloppy.PROVIDERS
    if provider not in known:
        expected = f"one of the providers {', '.join(sorted({*ADAPTERS, *known}))}"
        raise NotAMatch(path.name, expected, f"provider {provider!r}")
    return cast(MatchFeed, kloppy.read(path, meta, provider=provider))


_MAGIC: Mapping[bytes, Callable[[Any], IO[bytes]]] = {
    b"\xfd7zXZ\x00": cast(Callable[[Any], IO[bytes]], lzma.open),
    b"BZh": cast(Callable[[Any], IO[bytes]], bz2.open),
    b"\x1f\x8b": cast(Callable[[Any], IO[bytes]], gzip.open),
}


def _read(path: Path, limit: int) -> bytes:
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            magic = raw.read(6)
            raw.seek(0)
            unpack = next((opener for start, opener in _MAGIC.items() if magic.startswith(start)), None)
            return (stack.enter_context(unpack(raw)) if unpack else raw).read(limit)
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise NotAMatch(path.name, A_MATCH_FILE, f"a damaged packed file ({error})") from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise NotAMatch(path.name, A_MATCH_FILE, f"nothing readable ({problem[:1].lower()}{problem[1:]})") from error
