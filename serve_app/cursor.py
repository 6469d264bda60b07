"""Opaque cursors: positions and page places that clients hand back unread, with a checksum against typing errors."""

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator

from msgspec import Struct

MAX_LENGTH = 4096  # 400 partitions of ten bytes; beyond it is no cursor of ours
EXPECTED = "a cursor as an earlier answer gave it, unchanged"
_VERSION = 1
_COMPLETE, _INCOMPLETE = b"p", b"i"
_MAX_OFFSET = 2**63 - 1
_CHECK_BYTES = 4


class BadCursor(ValueError):
    """What came is no cursor of ours (HTTP 400)."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"expected {EXPECTED}: {self.problem}"


class Position(Struct, frozen=True, kw_only=True):
    """Where a stream is: next offset by partition. Incomplete: of the partitions left out, not even images came yet."""

    offsets: dict[int, int] = {}
    is_complete: bool = False


NOWHERE = Position()  # of a client that comes for the first time


def encode_position(position: Position) -> str:
    """Encode a position; partitions at 0 are left out.

    >>> decode_position(encode_position(Position(offsets={0: 17, 5: 300, 7: 0}, is_complete=True)))
    Position(offsets={0: 17, 5: 300}, is_complete=True)
    """
    numbers = bytearray()
    for partition, offset in sorted(position.offsets.items()):
        if offset > 0:
            numbers += _varint(partition)
            numbers += _varint(offset)
    return seal((_COMPLETE if position.is_complete else _INCOMPLETE) + bytes(numbers))


def decode_position(cursor: str) -> Position:
    """Decode a position.

    Raises:
        BadCursor: It is garbage, was changed, or is a cursor of something else.
    """
    kind, raw = _opened(cursor, (_COMPLETE, _INCOMPLETE))
    numbers = list(_varints(raw))
    if len(numbers) % 2:
        raise BadCursor("it ends in the middle")
    if any(number > _MAX_OFFSET for number in numbers):
        raise BadCursor("it names a position that no log has")
    offsets = dict(zip(numbers[::2], numbers[1::2], strict=True))
    return Position(offsets=offsets, is_complete=kind == _COMPLETE)


def encode_place(kind: str, place: str) -> str:
    """Encode the place of a page; `kind` is one letter that names the list.

    >>> decode_place("m", encode_place("m", "2018|wyscout:1"))
    '2018|wyscout:1'
    """
    return seal(kind.encode() + place.encode())


def decode_place(kind: str, cursor: str) -> str:
    """Decode the place of a page of the same list; raises BadCursor."""
    try:
        return _opened(cursor, (kind.encode(),))[1].decode()
    except UnicodeDecodeError as error:
        raise BadCursor("it holds no text") from error


def seal(content: bytes) -> str:
    """Return content with version and checksum as text for a URL."""
    body = bytes([_VERSION]) + content
    return urlsafe_b64encode(body + _check(body)).rstrip(b"=").decode()


def _opened(cursor: str, kinds: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    if not 0 < len(cursor) <= MAX_LENGTH:
        raise BadCursor(f"it has {len(cursor)} characters")
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise BadCursor("it is no base64url") from error
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(body) < 2 or _check(body) != check:
        raise BadCursor("its checksum is wrong")
    if body[0] != _VERSION or body[1:2] not in kinds:
        raise BadCursor("it belongs to another list or version")
    return body[1:2], body[2:]


def _check(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECK_BYTES, "big")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    if shift:
        raise BadCursor("it ends in the middle")
