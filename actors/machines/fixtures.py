"""What the supervisor should do next: desired state (fixtures) against what is seen (actors), pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.fixtures import Fixture


class SupervisorSettings(Struct, frozen=True, kw_only=True):
    """When matches are leased, judged stuck, and let go. Seconds are of the supervisor's monotonic clock."""

    partitions: int = 48
    shared_partitions: int = 8  # the last of them: for matches that find no partition of their own
    lease_before: timedelta = timedelta(hours=24)
    retire_after_s: float = 60.0  # settled and without a new record for so long
    retire_unfinished_after_s: float = 6 * 3600.0  # not settled, as long past kick-off and without a new record
    stalled_after_s: float = 15.0  # records wait, none is read; or no answer
    start_timeout_s: float = 60.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0


class Seen(Struct, frozen=True, kw_only=True):
    """What is known of one match's actor. Times are seconds of the supervisor's monotonic clock."""

    is_running: bool = False
    started_at: float = 0.0
    is_reading: bool = False  # since its start it has said where it reads
    offset: int = -1  # the highest that was folded
    next_offset: int = -1  # where it reads on
    grew_at: float | None = None  # when that offset last grew; before that, when the actor was started first
    moved_at: float = 0.0  # when it last read on, or nothing waited for it
    is_settled: bool = False
    failed: str | None = None
    failures: int = 0
    retry_at: float = 0.0


class Report(Struct, frozen=True, kw_only=True):
    """What an actor says of itself, and up to where there is something to read."""

    offset: int
    next_offset: int  # -1: it is still starting
    feed_end: int
    is_settled: bool
    failed: str | None = None


class Grant(Struct, frozen=True, kw_only=True):
    """Lease a partition to the match."""

    match_id: str
    partition: int
    shared: bool


class Start(Struct, frozen=True, kw_only=True):
    """Start the match's actor."""

    match_id: str


class Stop(Struct, frozen=True, kw_only=True):
    """End the match's actor; it is started again after a while."""

    match_id: str
    why: str


class Retire(Struct, frozen=True, kw_only=True):
    """Let the match go: end its actor, free its partition."""

    match_id: str
    is_finished: bool


Action = Grant | Start | Stop | Retire


def counted(fixtures: Mapping[str, Fixture], told: Fixture) -> Fixture:
    """Return a fixture as its newest record counts, given what the records before it said.

    A lease is the first that the log has: two supervisors may run for a while, since a node that is cut off does not
    know it, and both may grant. Whoever reads the topic applies this rule, so no lock service is needed. A lease stays
    when the match is announced again, by whoever knows nothing of it; a partition of its own is nobody else's.

    An id keeps its lease for ever, since snapshots and history know a match by its id and its offsets. A retired match
    lives again only where it is announced with something new, such as a later kick-off, and its partition is free.
    """
    before = fixtures.get(told.match_id)
    if before is None or before.lease is None:
        return replace(told, lease=None) if _is_taken(fixtures, told) else told
    told = replace(told, lease=before.lease)
    is_known = replace(told, status=before.status) == before
    if before.status == "retired" and (is_known or _is_taken(fixtures, told)):
        return before
    return told


def _is_taken(fixtures: Mapping[str, Fixture], told: Fixture) -> bool:
    lease = told.lease
    if lease is None or lease.shared or told.status == "retired":
        return False
    others = (f for f in fixtures.values() if f.match_id != told.match_id and f.status != "retired")
    return any(other.lease is not None and other.lease.partition == lease.partition for other in others)


def reconcile(
    fixtures: Mapping[str, Fixture],
    seen: Mapping[str, Seen],
    now: datetime,
    clock_s: float,
    settings: SupervisorSettings,
) -> tuple[Action, ...]:
    """Return what to do next, in order. Doing it twice does no harm."""
    actions: list[Action] = []
    live = sorted((match_id, fixture) for match_id, fixture in fixtures.items() if fixture.status != "retired")
    load = Counter(fixture.lease.partition for _, fixture in live if fixture.lease)
    for match_id, fixture in live:
        if fixture.lease is not None:
            actions.extend(_tend(fixture, seen.get(match_id, Seen()), now, clock_s, settings))
        elif fixture.kick_off - now <= settings.lease_before:
            grant = _grant(match_id, load, settings)
            load[grant.partition] += 1
            actions.append(grant)
    return tuple(actions)


def started(seen: Seen, clock_s: float) -> Seen:
    """Return what is known once an actor has been started."""
    return replace(
        seen,
        is_running=True,
        started_at=clock_s,
        grew_at=clock_s if seen.grew_at is None else seen.grew_at,
        is_reading=False,
        failed=None,
    )


def answered(seen: Seen, report: Report, clock_s: float, settings: SupervisorSettings) -> Seen:
    """Return what is known after an actor has told how far it is; what it failed at long ago is forgiven."""
    moved = report.next_offset > seen.next_offset or report.next_offset >= report.feed_end
    is_healthy = report.failed is None and clock_s - seen.started_at > settings.backoff_most_s
    return replace(
        seen,
        is_reading=report.next_offset >= 0,
        offset=max(seen.offset, report.offset),
        next_offset=report.next_offset,
        grew_at=clock_s if report.offset > seen.offset else seen.grew_at,
        moved_at=clock_s if moved else seen.moved_at,
        is_settled=report.is_settled,
        failed=report.failed,
        failures=0 if is_healthy else seen.failures,
    )


def failed_again(seen: Seen, clock_s: float, settings: SupervisorSettings) -> Seen:
    """Return what is known after an actor ended badly: the next start waits twice as long as the last one."""
    doublings = min(seen.failures, 32)
    wait_s = min(settings.backoff_first_s * 2**doublings, settings.backoff_most_s)
    return Seen(failures=seen.failures + 1, retry_at=clock_s + wait_s, offset=seen.offset, grew_at=seen.grew_at)


def _grant(match_id: str, load: Counter[int], settings: SupervisorSettings) -> Grant:
    """Give a free partition while there is one; after that the emptiest of the shared ones."""
    own = settings.partitions - settings.shared_partitions
    for partition in range(own):
        if not load[partition]:
            return Grant(match_id=match_id, partition=partition, shared=False)
    emptiest = min(range(own, settings.partitions), key=lambda partition: load[partition])
    return Grant(match_id=match_id, partition=emptiest, shared=True)


def _tend(
    fixture: Fixture, seen: Seen, now: datetime, clock_s: float, settings: SupervisorSettings
) -> Iterator[Action]:
    match_id = fixture.match_id
    if _is_over(fixture, seen, now, clock_s, settings):
        yield Retire(match_id=match_id, is_finished=seen.is_settled)
    elif not seen.is_running:
        if clock_s >= seen.retry_at:
            yield Start(match_id=match_id)
    elif (why := _trouble(seen, clock_s, settings)) is not None:
        yield Stop(match_id=match_id, why=why)


def _is_over(fixture: Fixture, seen: Seen, now: datetime, clock_s: float, settings: SupervisorSettings) -> bool:
    """Say whether nothing more is to be expected of a match; one that just failed may only not have heard it yet."""
    if seen.grew_at is None:
        return False
    quiet_s, patience_s = clock_s - seen.grew_at, settings.retire_unfinished_after_s
    if quiet_s > patience_s and now - fixture.kick_off > timedelta(seconds=patience_s):
        return True
    quiet_s = clock_s - max(seen.grew_at, seen.started_at)
    return seen.is_running and seen.is_settled and seen.failed is None and quiet_s > settings.retire_after_s


def _trouble(seen: Seen, clock_s: float, settings: SupervisorSettings) -> str | None:
    """Say why an actor that runs should be ended."""
    if seen.failed is not None:
        return seen.failed
    still_s = clock_s - max(seen.moved_at, seen.started_at)
    patience_s = settings.stalled_after_s if seen.is_reading else settings.start_timeout_s
    return f"no progress for {still_s:.0f} s" if still_s > patience_s else None
