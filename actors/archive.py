"""What a match reads from history where retention has removed it from the log."""

from actors.domain.errors import OffsetOutOfRange, StoreUnavailable
from actors.domain.forecast import Forecast, decode_published
from actors.domain.ports import FEED, FORECASTS, Archive, EventRow
from actors.domain.published import NOTHING, Accepted

_PAGE = 500


def archived_feed(
    archive: Archive, match_id: str, partition: int, after_offset: int, limit: int, gone: OffsetOutOfRange
) -> list[EventRow]:
    """Return the next of a match's feed records that lie behind `after_offset` and before what the log still has.

    Records of other keys on the match's partition are not among them: what was refused of them is not counted again.

    Raises:
        StoreUnavailable: History is not as far yet as retention is.
    """
    _need_caught_up(archive, FEED, partition, gone.first)
    rows = archive.events(match_id, partition, after_offset, limit)
    return [row for row in rows if row.offset < gone.first]


def archived_forecasts(archive: Archive, match_id: str, partition: int, gone: OffsetOutOfRange) -> Accepted:
    """Return what readers had accepted of a match before what the log still has of its forecasts.

    Raises:
        StoreUnavailable: History is not as far yet as retention is.
    """
    _need_caught_up(archive, FORECASTS, partition, gone.first)
    accepted = NOTHING
    while page := archive.predictions(match_id, accepted.seq, _PAGE):
        last = decode_published(page[-1].forecast)
        assert isinstance(last, Forecast)  # history keeps nothing else as a prediction
        count = accepted.count + len(page)
        accepted = Accepted(
            epoch=last.epoch, seq=last.seq, row_hash=last.row_hash, count=count, model_version=last.model_version
        )
    return accepted


def _need_caught_up(archive: Archive, topic: str, partition: int, first: int) -> None:
    copied = archive.offsets(topic).get(partition, 0)
    if copied < first:
        cause = f"{topic}/{partition} begins at {first}, history has it up to {copied}"
        raise StoreUnavailable("history", "rebuilding what retention removed", cause)
