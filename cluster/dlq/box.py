"""Reading `feed.dlq`: each letter once, in the order in which they came, and which of them were replayed."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from actors.domain.errors import OffsetOutOfRange, SetupError
from actors.domain.letters import Letter, ReplayMark, decode_dlq, decode_letter
from actors.domain.ports import DEAD_LETTERS, EventLog, LogRecord

_PAGE = 200


class Entry(Struct, frozen=True, kw_only=True):
    """What a list says of a letter; its record is read again when it is needed, so that a full box fits in memory."""

    id: str
    key: str | None
    reason: str
    detail: str
    size: int | None  # bytes of the record; None: they were lost
    came_at: datetime  # aware UTC, the log's clock
    at: int  # offset in feed.dlq
    replayed: ReplayMark | None = None  # the last time


class Box(Struct, frozen=True, kw_only=True):
    """All letters, the oldest first, and how many records of feed.dlq nobody can read."""

    entries: tuple[Entry, ...]
    unreadable: int

    def named(self, ids: list[str]) -> list[Entry]:
        """Return the letters of these ids; raises SetupError if one is not there."""
        known = {entry.id: entry for entry in self.entries}
        for wanted in ids:
            if wanted not in known:
                raise SetupError(f"feed.dlq has no letter {wanted!r}; `list` shows what it has")
        return [known[wanted] for wanted in dict.fromkeys(ids)]


def read_box(log: EventLog) -> Box:
    """Read feed.dlq up to its present end. A letter that a crash had appended twice is one letter."""
    entries, unreadable = dict[str, Entry](), 0
    for record in _records(log):
        try:
            found = decode_dlq(record.value or b"")
        except msgspec.DecodeError:
            unreadable += 1
            continue
        match found:
            case Letter() as letter:
                entries.setdefault(letter.id, _entry(letter, record))
            case ReplayMark() as mark if mark.letter in entries:
                entries[mark.letter] = replace(entries[mark.letter], replayed=mark)
    return Box(entries=tuple(entries.values()), unreadable=unreadable)


def read_letter(log: EventLog, entry: Entry) -> Letter:
    """Read one letter whole; raises SetupError if it is gone."""
    try:
        [record] = log.read(DEAD_LETTERS, {0: entry.at}, 1, 0.0)
        return decode_letter(record.value or b"")
    except (OffsetOutOfRange, ValueError, msgspec.DecodeError) as error:
        raise SetupError(f"the letter {entry.id} cannot be read any more") from error


def _records(log: EventLog) -> Iterator[LogRecord]:
    position, end = 0, log.end_offsets(DEAD_LETTERS)[0]
    while position < end:
        try:
            records = log.read(DEAD_LETTERS, {0: position}, _PAGE, 0.0)
        except OffsetOutOfRange as gone:
            if gone.first <= position:
                raise
            position = gone.first
            continue
        yield from (record for record in records if record.offset < end)
        position = records[-1].offset + 1 if records else end


def _entry(letter: Letter, record: LogRecord) -> Entry:
    return Entry(
        id=letter.id,
        key=letter.key,
        reason=letter.reason,
        detail=letter.detail,
        size=None if letter.raw is None else len(letter.raw),
        came_at=record.appended_at,
        at=record.offset,
    )
