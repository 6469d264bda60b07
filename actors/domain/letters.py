"""Dead letters: records that could not be used, kept whole with the reason."""

import msgspec
from msgspec import Struct

from actors.domain.match import STATE_SCHEMA
from actors.domain.ports import LogRecord, NewRecord


class Letter(Struct, frozen=True, kw_only=True):
    """One record of `feed.dlq` (key: topic/partition/offset, so that writing it twice is seen)."""

    topic: str
    partition: int
    offset: int
    key: str | None
    reason: str
    detail: str
    code_version: int
    raw: bytes | None  # as it came, base64 in JSON


def dead_letter(topic: str, record: LogRecord, reason: str, detail: str) -> NewRecord:
    """Return the dead letter of a record."""
    letter = Letter(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        reason=reason,
        detail=detail,
        code_version=STATE_SCHEMA,
        raw=record.value,
    )
    return NewRecord(key=f"{topic}/{record.partition}/{record.offset}", value=msgspec.json.encode(letter))


def decode_letter(value: bytes) -> Letter:
    """Decode a record of `feed.dlq`; raises msgspec.DecodeError."""
    return msgspec.json.decode(value, type=Letter)
