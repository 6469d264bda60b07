"""Dead letters: records that could not be used, kept whole with the reason, and marks of those that were replayed."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

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

    @property
    def id(self) -> str:
        """Where the record stood: the key of its letter."""
        return letter_id(self.topic, self.partition, self.offset)


class ReplayMark(Struct, frozen=True, kw_only=True, tag_field="type", tag="replayed"):
    """One record of `feed.dlq` (key: the letter's id): an operator appended the letter's record to its topic again."""

    letter: str
    replayed_at: Annotated[datetime, Meta(tz=True)]  # by the operator's clock
    partition: int  # where it went
    offset: int


class _Tag(Struct):
    type: str | None = None  # letters have none


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
    return NewRecord(key=letter.id, value=msgspec.json.encode(letter))


def letter_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of the letter about a record.

    >>> letter_id("feed.v1", 5, 812)
    'feed.v1/5/812'
    """
    return f"{topic}/{partition}/{offset}"


def replay_mark(mark: ReplayMark) -> NewRecord:
    """Return the record of `feed.dlq` that says that a letter was replayed."""
    return NewRecord(key=mark.letter, value=msgspec.json.encode(mark))


def decode_dlq(value: bytes) -> Letter | ReplayMark:
    """Decode whatever a record of `feed.dlq` is; raises msgspec.DecodeError."""
    is_mark = msgspec.json.decode(value, type=_Tag).type == "replayed"
    return msgspec.json.decode(value, type=ReplayMark) if is_mark else decode_letter(value)


def decode_letter(value: bytes) -> Letter:
    """Decode a letter of `feed.dlq`; raises msgspec.DecodeError, also for a mark."""
    return msgspec.json.decode(value, type=Letter)
