"""The readers' rule of `forecasts.v1`: which records count, whoever wrote them and however often.

Ownership of a match is an epoch. A new owner appends its marker (`EpochOpen`) before anything else; behind the marker
all lower epochs are void, so what a zombie still appends is dropped by every reader alike. A forecast's `seq` must lie
above the last one, so what is folded again after a restart is not published again.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.forecast import GENESIS, ChainHead, EpochOpen, Forecast, Published, Pulse

NO_EPOCH = -1
NO_SEQ = -1


class Accepted(Struct, frozen=True, kw_only=True):
    """What a reader of one match has accepted so far. Starts empty; can be kept with a snapshot and continued."""

    epoch: int = NO_EPOCH  # the newest known
    owner: str | None = None  # of the newest epoch's marker; None where the reader began behind it
    seq: int = NO_SEQ  # of the last forecast
    row_hash: str = GENESIS  # of the last forecast: what the next one is chained to
    count: int = 0  # forecasts accepted; all of the match's if the reader began at its first record
    model_version: str | None = None  # of the last forecast


NOTHING = Accepted()


def accept(state: Accepted, record: Published) -> tuple[Accepted, bool]:
    """Apply one record of a match, in log order; return the new state and whether the record counts.

    Dropped are: records of an epoch below the newest, a forecast whose seq is not above the last one, and the second
    marker of one epoch (the first in the log counts; the second's owner sees that and opens a higher epoch). A record
    of an epoch that has no marker yet means that the reader began behind it: it counts, and so does its epoch.
    """
    match record:
        case EpochOpen():
            return _open(state, record)
        case Forecast():
            return _forecast(state, record)
        case ChainHead() | Pulse():
            return _reached(state, record.epoch), record.epoch >= state.epoch


def read_all(records: Iterable[Published], state: Accepted = NOTHING) -> tuple[Accepted, list[Published]]:
    """Apply records of one match in log order; return the final state and those that count."""
    counted = []
    for record in records:
        state, accepted = accept(state, record)
        if accepted:
            counted.append(record)
    return state, counted


def _open(state: Accepted, marker: EpochOpen) -> tuple[Accepted, bool]:
    if marker.epoch <= state.epoch:
        return state, False
    return replace(state, epoch=marker.epoch, owner=marker.owner), True


def _forecast(state: Accepted, forecast: Forecast) -> tuple[Accepted, bool]:
    if forecast.epoch < state.epoch:
        return state, False
    reached = _reached(state, forecast.epoch)
    if forecast.seq <= state.seq:
        return reached, False
    return (
        Accepted(
            epoch=reached.epoch,
            owner=reached.owner,
            seq=forecast.seq,
            row_hash=forecast.row_hash,
            count=state.count + 1,
            model_version=forecast.model_version,
        ),
        True,
    )


def _reached(state: Accepted, epoch: int) -> Accepted:
    return state if epoch <= state.epoch else replace(state, epoch=epoch, owner=None)
