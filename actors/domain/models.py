"""Model versions: the records of `models.v1`, which say what is committed, and what registry and replicas exchange.

The log decides. A swap is asked for, and then either committed, with the next epoch, or refused; of two answers to one
request the first in the log counts, whoever wrote them.
"""

from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace


class SwapAsked(Struct, frozen=True, kw_only=True, tag_field="type", tag="swap_asked"):
    """Somebody wants another version to be served; history holds its files. None: the one that was live before."""

    request: str
    version: str | None
    at: datetime


class Committed(Struct, frozen=True, kw_only=True, tag_field="type", tag="committed"):
    """From this epoch on a version is served, after every replica had acknowledged it."""

    epoch: int
    version: str
    previous: str | None
    configured: str  # the version in model.folder at that time: another one there later is what the operator wants
    request: str | None  # None: committed at a start, when nobody served yet
    replicas: int
    cpu_ratio: float | None  # of the slowest replica: the version's CPU over that of the one before
    at: datetime


class Refused(Struct, frozen=True, kw_only=True, tag_field="type", tag="refused"):
    """A swap that did not happen; what was live stays live."""

    request: str
    why: str
    at: datetime


ModelRecord = SwapAsked | Committed | Refused

_decoder: msgspec.json.Decoder[ModelRecord] = msgspec.json.Decoder(ModelRecord)


def encode_model_record(record: ModelRecord) -> bytes:
    """Encode a record for `models.v1`."""
    return msgspec.json.encode(record)


def decode_model_record(value: bytes) -> ModelRecord:
    """Decode a record of `models.v1`; raises msgspec.DecodeError."""
    return _decoder.decode(value)


class ModelLog(Struct, frozen=True, kw_only=True):
    """What the records so far say. Starts empty."""

    epoch: int = 0  # of the last commit
    version: str | None = None  # live; None: none committed yet
    previous: str | None = None  # what a rollback goes back to
    configured: str | None = None
    open: tuple[SwapAsked, ...] = ()  # in the order in which they were asked for


def read_model_record(log: ModelLog, record: ModelRecord) -> ModelLog:
    """Apply one record in log order; what does not count changes nothing."""
    match record:
        case SwapAsked():
            return replace(log, open=(*log.open, record))
        case Refused():
            return replace(log, open=_without(log, record.request))
        case Committed():
            if not counts(log, record):
                return log
            return ModelLog(
                epoch=record.epoch,
                version=record.version,
                previous=record.previous,
                configured=record.configured,
                open=_without(log, record.request),
            )


def counts(log: ModelLog, record: Committed) -> bool:
    """Say whether a commit counts: the next epoch, for a request that nobody has answered yet or for none."""
    is_open = record.request is None or any(asked.request == record.request for asked in log.open)
    return is_open and record.epoch == log.epoch + 1


def _without(log: ModelLog, request: str | None) -> tuple[SwapAsked, ...]:
    return tuple(asked for asked in log.open if asked.request != request)


class Candidate(Struct, frozen=True, kw_only=True):
    """The version that replicas are to load aside. One that was live before is not compared in cost."""

    request: str
    version: str
    was_live: bool


class Orders(Struct, frozen=True, kw_only=True):
    """What every replica is to do: serve one version, keep the one before it, prepare another."""

    epoch: int
    version: str | None
    previous: str | None
    candidate: Candidate | None


NO_ORDERS = Orders(epoch=0, version=None, previous=None, candidate=None)  # before anything is known


class Answer(Struct, frozen=True, kw_only=True):
    """A replica's word on a candidate: ready where there is no problem."""

    request: str
    problem: str | None = None
    cpu_ratio: float | None = None  # candidate over the version served


class ReplicaReport(Struct, frozen=True, kw_only=True):
    """A replica's sign of life: what it serves (None: nothing yet), and how far it is with the candidate."""

    replica: str
    version: str | None
    answer: Answer | None
