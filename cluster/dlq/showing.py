"""Letters as text for a terminal. What is in them came from outside: no character of it may steer the terminal."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from actors.domain.letters import Letter
from cluster.dlq.box import Entry

_DETAIL = 120  # characters of it in a list
_ROW = 16  # bytes in a row of a hex dump


def printable(text: str) -> str:
    r"""Return text with every character escaped that is not to be seen: controls, line breaks, changes of direction.

    >>> printable("Müller\x1b[2J\u202e")
    'Müller\\x1b[2J\\u202e'
    """
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def listed(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a line for each letter, in columns."""
    rows = [_columns(entry) for entry in entries]
    widths = [max(len(row[column]) for row in rows) for column in range(5)] if rows else []
    for row, entry in zip(rows, entries, strict=True):
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=True)), _about(entry)])


def _columns(entry: Entry) -> tuple[str, str, str, str, str]:
    size = "lost" if entry.size is None else f"{entry.size} B"
    return when(entry.came_at), printable(entry.id), printable(entry.key or "(no key)"), printable(entry.reason), size


def _about(entry: Entry) -> str:
    detail = printable(entry.detail)
    detail = detail if len(detail) <= _DETAIL else f"{detail[: _DETAIL - 1]}…"
    return f"{detail}  [replayed {when(entry.replayed.replayed_at)}]" if entry.replayed else detail


def counted(entries: Sequence[Entry]) -> str:
    """Say how many letters there are by reason, and how many of those were replayed.

    >>> counted([])
    '0 letters'
    """
    reasons = Counter(printable(entry.reason) for entry in entries)
    replayed = Counter(printable(entry.reason) for entry in entries if entry.replayed)
    parts = [
        f"{count} {reason}" + (f" ({replayed[reason]} replayed)" if replayed[reason] else "")
        for reason, count in sorted(reasons.items())
    ]
    total = f"{len(entries)} letter{'' if len(entries) == 1 else 's'}"
    return f"{total}: {', '.join(parts)}" if parts else total


def shown(letter: Letter, entry: Entry) -> Iterator[str]:
    """Yield a letter as lines, whole."""
    facts = {
        "letter": letter.id,
        "key": "(none)" if letter.key is None else letter.key,
        "reason": letter.reason,
        "detail": letter.detail,
        "came": when(entry.came_at),
        "schema": f"{letter.code_version} of the code that refused it",
        "replayed": _replayed(entry),
        "record": "lost" if letter.raw is None else f"{len(letter.raw)} bytes",
    }
    yield from (f"{name:<9} {printable(value)}" for name, value in facts.items())
    if letter.raw:
        yield ""
        yield from content(letter.raw)


def _replayed(entry: Entry) -> str:
    mark = entry.replayed
    return "no" if mark is None else f"{when(mark.replayed_at)}, to partition {mark.partition} at offset {mark.offset}"


def content(raw: bytes) -> Iterator[str]:
    """Yield a record's bytes as lines: JSON laid out, other text escaped, anything else as a hex dump."""
    try:
        lines = msgspec.json.format(raw, indent=2).decode().split("\n")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = _not_json(raw)
    yield from map(printable, lines)


def _not_json(raw: bytes) -> list[str]:
    try:
        return raw.decode().split("\n")
    except UnicodeDecodeError:
        return [_hex_row(start, raw[start : start + _ROW]) for start in range(0, len(raw), _ROW)]


def _hex_row(start: int, row: bytes) -> str:
    text = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in row)
    return f"{start:08x}  {row.hex(' '):<{3 * _ROW - 1}}  {text}"


def when(at: datetime) -> str:
    """Return a time as it stands in a list."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
