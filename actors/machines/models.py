"""The swap of the served model, as pure functions: prepare, acknowledged by every replica, commit at one epoch.

Any failure and any silence refuses the swap, and what was live stays live. What is decided here counts once it can be
read in the log: a decision whose write got no answer is made anew behind the next read, so it never counts twice.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.models import (
    Answer,
    Candidate,
    Committed,
    ModelLog,
    ModelRecord,
    Orders,
    Refused,
    ReplicaReport,
    read_model_record,
)

AT_START = "the registry was started anew before it was decided; ask again"


class SwapSettings(Struct, frozen=True, kw_only=True):
    """How long the registry waits."""

    silent_after_s: float = 3.0  # six reports that did not come: a replica that serves on without hearing of a commit
    prepare_within_s: float = 60.0  # loading, golden vectors, comparing cost: seconds, on a machine that is busy


class Heard(Struct, frozen=True, kw_only=True):
    """The last report of a replica, and when it came."""

    report: ReplicaReport
    at_s: float


class RegistryState(Struct, frozen=True, kw_only=True):
    """What a registry knows. Times are seconds of its own monotonic clock."""

    configured: str  # the version in model.folder
    started_s: float
    log: ModelLog = ModelLog()
    replicas: Mapping[str, Heard] = {}
    preparing: str | None = None  # the request under way: the first that is open
    since_s: float = 0.0
    interrupted: tuple[str, ...] = ()  # requests that an earlier registry left open


def started(configured: str, log: ModelLog, now_s: float) -> RegistryState:
    """Return the state of a registry that has just read the log: it takes up nothing that another one began."""
    interrupted = tuple(asked.request for asked in log.open)
    return RegistryState(configured=configured, started_s=now_s, log=log, interrupted=interrupted)


def recorded(state: RegistryState, record: ModelRecord) -> RegistryState:
    """Apply a record of the log."""
    return replace(state, log=read_model_record(state.log, record))


def reported(state: RegistryState, report: ReplicaReport, now_s: float) -> RegistryState:
    """Note a replica's report; a replica that is new takes part in a swap that is under way."""
    return replace(state, replicas={**state.replicas, report.replica: Heard(report=report, at_s=now_s)})


def left(state: RegistryState, replica: str) -> RegistryState:
    """Forget a replica that said it ends."""
    return replace(state, replicas={name: heard for name, heard in state.replicas.items() if name != replica})


def begun(state: RegistryState, now_s: float, settings: SwapSettings) -> RegistryState:
    """Take up the next request if none is under way; who fell silent before it began takes no part."""
    request = state.log.open[0].request if state.log.open else None
    if request == state.preparing and request is not None:
        return state
    heard = {name: h for name, h in state.replicas.items() if now_s - h.at_s <= settings.silent_after_s}
    return replace(state, replicas=heard, preparing=request, since_s=now_s)


def orders(state: RegistryState) -> Orders:
    """Return what every replica is to do now."""
    log, candidate = state.log, None
    if log.open and log.open[0].request == state.preparing and log.open[0].request not in state.interrupted:
        wanted = log.open[0].version or log.previous
        if wanted is not None and wanted != log.version:
            was_live = wanted == log.previous
            candidate = Candidate(request=log.open[0].request, version=wanted, was_live=was_live)
    return Orders(epoch=log.epoch, version=log.version, previous=log.previous, candidate=candidate)


def decision(state: RegistryState, now_s: float, now: datetime, settings: SwapSettings) -> Committed | Refused | None:
    """Return what is to be written to the log now, None while there is nothing to decide.

    Args:
        now: Aware UTC, for the record.
    """
    if state.configured != state.log.configured:
        return _commit(state, state.configured, None, now)
    if state.preparing is None:
        return None
    if why := _refusal(state, now_s, settings):
        return Refused(request=state.preparing, why=why, at=now)
    candidate = orders(state).candidate
    if candidate is None or not _all_ready(state, now_s, settings):
        return None
    return _commit(state, candidate.version, candidate.request, now)


def _refusal(state: RegistryState, now_s: float, settings: SwapSettings) -> str | None:
    log = state.log
    if state.preparing in state.interrupted:
        return AT_START
    wanted = log.open[0].version or log.previous
    if wanted is None:
        return "no other version was live before"
    if wanted == log.version:
        return f"{wanted} is live already"
    for name, heard in state.replicas.items():
        answer = _answer(state, heard)
        if answer is not None and answer.problem is not None:
            return f"replica {name}: {answer.problem}"
        if now_s - heard.at_s > settings.silent_after_s:
            return f"replica {name} has been silent for {now_s - heard.at_s:.1f} s"
    if now_s - state.since_s > settings.prepare_within_s:
        return f"after {settings.prepare_within_s:g} s not every replica was ready; {_waited_for(state)}"
    return None


def _all_ready(state: RegistryState, now_s: float, settings: SwapSettings) -> bool:
    """Say whether all have acknowledged; a young registry has not heard of every replica yet."""
    is_known = now_s - state.started_s > settings.silent_after_s
    return is_known and bool(state.replicas) and all(_answer(state, heard) for heard in state.replicas.values())


def _answer(state: RegistryState, heard: Heard) -> Answer | None:
    answer = heard.report.answer
    return answer if answer is not None and answer.request == state.preparing else None


def _waited_for(state: RegistryState) -> str:
    late = sorted(name for name, heard in state.replicas.items() if _answer(state, heard) is None)
    return f"missing: {', '.join(late)}" if late else "no replica reports"


def _commit(state: RegistryState, version: str, request: str | None, now: datetime) -> Committed:
    log, answers = state.log, [_answer(state, heard) for heard in state.replicas.values()]
    ratios = [answer.cpu_ratio for answer in answers if answer is not None and answer.cpu_ratio is not None]
    return Committed(
        epoch=log.epoch + 1,
        version=version,
        previous=log.version if version != log.version else log.previous,
        configured=state.configured,
        request=request,
        replicas=sum(answer is not None for answer in answers),
        cpu_ratio=max(ratios, default=None),
        at=now,
    )
