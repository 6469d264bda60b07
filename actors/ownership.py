"""Taking over a match: the epoch is claimed in the log, so that of two claims every reader sees the same one win."""

import logging
from collections.abc import Iterator
from datetime import datetime

from msgspec import DecodeError, Struct

from actors.archive import archived_forecasts
from actors.domain.errors import OffsetOutOfRange, StoreUnavailable
from actors.domain.fixtures import Lease
from actors.domain.forecast import EpochOpen, Published, decode_published, encode_published
from actors.domain.ports import FORECASTS, Archive, EventLog, LogRecord, NewRecord
from actors.domain.published import NOTHING, Accepted, accept

logger = logging.getLogger("touchline.ownership")

_READ_BATCH = 1_000
_READ_WITHIN_S = 5.0  # what is read for is there: a server that is busy gets its time
_CLAIMS = 20  # as many owners may race for one match before the last of them gives up


class Claim(Struct, frozen=True, kw_only=True):
    """An epoch that is ours, and what was published of the match before it."""

    epoch: int
    published: Accepted
    next_offset: int  # of the match's partition of forecasts.v1
    opened_at: datetime  # when the log took the marker, by the log's clock


def claim(log: EventLog, match_id: str, lease: Lease, owner: str, archive: Archive | None = None) -> Claim:
    """Append an epoch-open marker and read up to it; repeat with a higher epoch if another owner's came first.

    Args:
        archive: Says what was published where the log's retention has removed it.
    Raises:
        StoreUnavailable: The log does not answer, or others keep claiming the match.
        OffsetOutOfRange: Retention removed what was published, and there is no archive.
    """
    published, position = _known_before(log, match_id, lease, archive)
    for _ in range(_CLAIMS):
        end = log.end_offsets(FORECASTS).get(lease.partition, 0)
        published, position, _ = _read_to(log, match_id, lease.partition, published, position, end)
        marker = EpochOpen(match_id=match_id, epoch=published.epoch + 1, owner=owner)
        record = NewRecord(key=match_id, value=encode_published(marker))
        [offset] = log.append(FORECASTS, lease.partition, [record])
        published, position, opened_at = _read_to(log, match_id, lease.partition, published, position, offset + 1)
        if opened_at is not None and (published.epoch, published.owner) == (marker.epoch, owner):
            return Claim(epoch=marker.epoch, published=published, next_offset=position, opened_at=opened_at)
    raise StoreUnavailable(FORECASTS, f"claiming {match_id}", f"lost {_CLAIMS} races in a row")


def _known_before(log: EventLog, match_id: str, lease: Lease, archive: Archive | None) -> tuple[Accepted, int]:
    """Return what was accepted up to now, or up to where the log begins, and where to read on."""
    partition, first = lease.partition, lease.forecasts_from
    end = log.end_offsets(FORECASTS).get(partition, 0)
    try:
        if first > end:
            log.read(FORECASTS, {partition: first}, 1, wait_s=0.0)  # raises: it is another log
        published, position, _ = _read_to(log, match_id, partition, NOTHING, first, end)
    except OffsetOutOfRange as gone:
        if archive is None or gone.first <= first:
            raise
        return archived_forecasts(archive, match_id, partition, gone), gone.first
    return published, position


def published_of(records: list[LogRecord], match_id: str) -> Iterator[Published]:
    """Decode the records of one match among those of its partition; what no reader can read counts for none."""
    for record in records:
        if record.key == match_id and record.value:
            try:
                yield decode_published(record.value)
            except DecodeError as error:
                logger.error("Unreadable forecast record", extra={"offset": record.offset, "problem": str(error)})


def _read_to(
    log: EventLog, match_id: str, partition: int, published: Accepted, position: int, end: int
) -> tuple[Accepted, int, datetime | None]:
    """Read on up to `end`; return what counts, where to read on, and when the log took the last record read."""
    taken_at = None
    while position < end:
        records = log.read(FORECASTS, {partition: position}, _READ_BATCH, wait_s=_READ_WITHIN_S)
        if not records:
            raise StoreUnavailable(FORECASTS, f"reading {partition} up to {end}", f"nothing behind {position}")
        records = [record for record in records if record.offset < end]
        for record in published_of(records, match_id):
            published, _ = accept(published, record)
        position = records[-1].offset + 1 if records else end
        taken_at = records[-1].appended_at if records else taken_at
    return published, position, taken_at
