"""What the supervisor should do next: desired state (fixtures) against what is seen (actors), pure."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from actors.domain.fixtures import Fixture


class SupervisorSettings(Struct, frozen=True, kw_only=True):
    """When matches are leased, judged stuck, and let go. Seconds are of the supervisor's monotonic clock."""

    partitions: int = 48
    shared_partitions: int = 8  # the last of them: for matches that find no partition of their own
    lease_before: timedelta = timedelta(hours=24)
    retire_after_s: float = 60.0  # settled and without a new record for so long
    stalled_after_s: float = 15.0  # records wait, none is folded
    start_timeout_s: float = 60.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0


class Seen(Struct, frozen=True, kw_only=True):
    """What is known of one match's actor. Times are seconds of the supervisor's monotonic clock."""

    is_running: bool = False
    started_at: float = 0.0
    offset: int = -1
    moved_at: float = 0.0  # when the offset last grew or, unless the match is settled, when nothing waited
    is_settled: bool = False
    failed: str | None = None
    failures: int = 0
    retry_at: float = 0.0


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


Action = Grant | Start | Stop | Retire


def reconcile(
    fixtures: Mapping[str, Fixture],
    seen: Mapping[str, Seen],
    now: datetime,
    clock_s: float,
    settings: SupervisorSettings,
) -> tuple[Action, ...]:
    """Return what to do next, in order. Doing it twice does no harm."""
    actions: list[Action] = []
    load = Counter(f.lease.partition for f in fixtures.values() if f.lease and f.status != "retired")
    for match_id, fixture in sorted(fixtures.items()):
        if fixture.status == "retired":
            continue
        if fixture.lease is None and fixture.kick_off - now <= settings.lease_before:
            grant = _grant(match_id, load, settings)
            load[grant.partition] += 1
            actions.append(grant)
        elif fixture.lease is not None:
            actions.extend(_tend(match_id, seen.get(match_id, Seen()), clock_s, settings))
    return tuple(actions)


def failed_again(seen: Seen, clock_s: float, settings: SupervisorSettings) -> Seen:
    """Return what is known after an actor ended badly: the next start waits twice as long as the last one."""
    wait_s = min(settings.backoff_first_s * 2**seen.failures, settings.backoff_most_s)
    return Seen(failures=seen.failures + 1, retry_at=clock_s + wait_s, offset=seen.offset)


def _grant(match_id: str, load: Counter[int], settings: SupervisorSettings) -> Grant:
    """Give a free partition while there is one; after that the emptiest of the shared ones."""
    own = settings.partitions - settings.shared_partitions
    for partition in range(own):
        if not load[partition]:
            return Grant(match_id=match_id, partition=partition, shared=False)
    emptiest = min(range(own, settings.partitions), key=lambda partition: load[partition])
    return Grant(match_id=match_id, partition=emptiest, shared=True)


def _tend(match_id: str, seen: Seen, clock_s: float, settings: SupervisorSettings) -> tuple[Action, ...]:
    if not seen.is_running:
        return (Start(match_id=match_id),) if clock_s >= seen.retry_at else ()
    if seen.failed:
        return (Stop(match_id=match_id, why=seen.failed),)
    still_s = clock_s - max(seen.moved_at, seen.started_at)
    if seen.is_settled:
        return (Retire(match_id=match_id),) if still_s > settings.retire_after_s else ()
    patience_s = settings.stalled_after_s if seen.offset >= 0 else settings.start_timeout_s
    return (Stop(match_id=match_id, why=f"no progress for {still_s:.0f} s"),) if still_s > patience_s else ()
