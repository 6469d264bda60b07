"""What the supervisor does next, as a pure function of fixtures and of what is seen of their actors."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.domain.fixtures import Fixture, Lease, Team
from actors.machines.fixtures import (
    Action,
    Grant,
    Report,
    Retire,
    Seen,
    Start,
    Stop,
    SupervisorSettings,
    answered,
    failed_again,
    reconcile,
    started,
)

NOW = datetime(2026, 8, 1, 15, tzinfo=UTC)
CLOCK_S = 50_000.0
SETTINGS = SupervisorSettings(partitions=5, shared_partitions=2)


def a_fixture(
    match_id: str, partition: int | None = None, *, kick_off: datetime = NOW, shared: bool = False
) -> Fixture:
    lease = None if partition is None else Lease(partition=partition, start_offset=0, shared=shared)
    return Fixture(match_id=match_id, kick_off=kick_off, home=Team(name="A"), away=Team(name="B"), lease=lease)


def retired(match_id: str, partition: int) -> Fixture:
    return replace(a_fixture(match_id, partition), status="retired")


def decide(
    fixtures: Iterable[Fixture], seen: Mapping[str, Seen] | None = None, clock_s: float = CLOCK_S
) -> list[Action]:
    return list(reconcile({f.match_id: f for f in fixtures}, seen or {}, NOW, clock_s, SETTINGS))


def running(**changes: object) -> Seen:
    """An actor that was started a while ago, reads, and has nothing waiting."""
    seen = Seen(
        is_running=True,
        started_at=CLOCK_S - 1_000,
        is_reading=True,
        offset=9,
        next_offset=10,
        grew_at=CLOCK_S - 100,
        moved_at=CLOCK_S,
    )
    return replace(seen, **changes)


def test_own_partitions_are_given_first_and_then_shared_ones() -> None:
    grants = decide(a_fixture(f"m{number}") for number in range(7))
    assert [(g.partition, g.shared) for g in grants if isinstance(g, Grant)] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, True),
        (3, True),
        (4, True),
    ]


def test_a_partition_that_a_live_match_has_is_not_given_again_and_one_of_a_retired_match_is() -> None:
    fixtures = [a_fixture("live", 0), retired("done", 1), a_fixture("new")]
    assert decide(fixtures)[1:] == [Grant(match_id="new", partition=1, shared=False)]


def test_the_emptiest_shared_partition_is_given() -> None:
    taken = [a_fixture(f"own{p}", p) for p in range(3)] + [a_fixture("s1", 3, shared=True)]
    grants = [action for action in decide([*taken, a_fixture("zz")]) if isinstance(action, Grant)]
    assert grants == [Grant(match_id="zz", partition=4, shared=True)]


def test_a_match_is_leased_a_day_before_its_kick_off_and_not_earlier() -> None:
    day = SETTINGS.lease_before
    assert decide([a_fixture("soon", kick_off=NOW + day)]) == [Grant(match_id="soon", partition=0, shared=False)]
    assert decide([a_fixture("later", kick_off=NOW + day + timedelta(seconds=1))]) == []
    assert len(decide([a_fixture("late", kick_off=NOW - timedelta(hours=1))])) == 1


def test_a_leased_match_is_started_once() -> None:
    assert decide([a_fixture("m", 0)]) == [Start(match_id="m")]
    assert decide([a_fixture("m", 0)], {"m": started(Seen(), CLOCK_S)}) == []


def test_a_retired_match_is_left_alone_whatever_is_seen_of_it() -> None:
    assert decide([retired("m", 0)], {"m": running(failed="broken")}) == []


def test_after_each_failure_the_next_start_waits_twice_as_long_up_to_a_bound() -> None:
    seen, waits = Seen(), []
    for _ in range(9):
        seen = failed_again(seen, CLOCK_S, SETTINGS)
        waits.append(seen.retry_at - CLOCK_S)
        assert decide([a_fixture("m", 0)], {"m": seen}, seen.retry_at - 0.01) == []
        assert decide([a_fixture("m", 0)], {"m": seen}, seen.retry_at) == [Start(match_id="m")]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert failed_again(replace(seen, failures=10_000), CLOCK_S, SETTINGS).retry_at == CLOCK_S + 30


def test_failures_of_long_ago_are_forgiven_once_an_actor_has_run_for_a_while() -> None:
    seen = started(failed_again(replace(Seen(), failures=5), CLOCK_S, SETTINGS), CLOCK_S)
    report = Report(offset=3, next_offset=4, feed_end=4, is_settled=False)
    assert answered(seen, report, CLOCK_S + 30, SETTINGS).failures == 6
    assert answered(seen, report, CLOCK_S + 31, SETTINGS).failures == 0
    assert answered(seen, replace(report, failed="again"), CLOCK_S + 31, SETTINGS).failures == 6


def test_an_actor_that_says_it_failed_is_stopped_with_its_reason() -> None:
    assert decide([a_fixture("m", 0)], {"m": running(failed="disk full")}) == [Stop(match_id="m", why="disk full")]


def test_an_actor_before_which_records_wait_is_stopped_after_a_while() -> None:
    still = running(moved_at=CLOCK_S - SETTINGS.stalled_after_s)
    assert decide([a_fixture("m", 0)], {"m": still}) == []
    assert decide([a_fixture("m", 0)], {"m": still}, CLOCK_S + 1) == [Stop(match_id="m", why="no progress for 16 s")]


def test_an_actor_that_is_starting_is_given_more_time_than_one_that_reads() -> None:
    starting = started(Seen(), CLOCK_S)
    assert decide([a_fixture("m", 0)], {"m": starting}, CLOCK_S + SETTINGS.start_timeout_s) == []
    assert len(decide([a_fixture("m", 0)], {"m": starting}, CLOCK_S + SETTINGS.start_timeout_s + 1)) == 1
    claiming = answered(
        starting, Report(offset=-1, next_offset=-1, feed_end=9, is_settled=False), CLOCK_S + 20, SETTINGS
    )
    assert decide([a_fixture("m", 0)], {"m": claiming}, CLOCK_S + 40) == []


def after(seen: Seen, seconds: int, report: Report) -> Seen:
    """The same answer once a second for so long."""
    for second in range(1, seconds + 1):
        seen = answered(seen, report, CLOCK_S + second, SETTINGS)
    return seen


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (
            Report(offset=-1, next_offset=700, feed_end=700, is_settled=False),
            "a taken-over partition, nothing sent yet",
        ),
        (Report(offset=9, next_offset=900, feed_end=900, is_settled=False), "a shared partition: the rest is others'"),
        (Report(offset=9, next_offset=10, feed_end=10, is_settled=False), "half-time"),
    ],
)
def test_an_actor_for_which_nothing_waits_is_left_alone(report: Report, why: str) -> None:
    seen = after(started(Seen(), CLOCK_S), 300, report)
    assert decide([a_fixture("m", 0)], {"m": seen}, CLOCK_S + 300) == [], why


def test_an_actor_that_reads_on_slowly_is_left_alone_and_one_that_stands_still_is_not() -> None:
    seen = started(Seen(), CLOCK_S)
    for second in range(100):
        report = Report(offset=-1, next_offset=second // 10, feed_end=10_000, is_settled=False)
        seen = answered(seen, report, CLOCK_S + second, SETTINGS)
        assert decide([a_fixture("m", 0)], {"m": seen}, CLOCK_S + second) == []
    stuck = Report(offset=-1, next_offset=9, feed_end=10_000, is_settled=False)
    for second in range(100, 120):
        seen = answered(seen, stuck, CLOCK_S + second, SETTINGS)
    assert decide([a_fixture("m", 0)], {"m": seen}, CLOCK_S + 119) == [Stop(match_id="m", why="no progress for 29 s")]


def test_a_settled_match_is_retired_once_it_has_been_quiet_for_a_while() -> None:
    settled = running(is_settled=True, grew_at=CLOCK_S - SETTINGS.retire_after_s)
    assert decide([a_fixture("m", 0)], {"m": settled}) == []
    assert decide([a_fixture("m", 0)], {"m": settled}, CLOCK_S + 1) == [Retire(match_id="m", is_finished=True)]


def test_a_correction_keeps_a_settled_match_a_while_longer() -> None:
    settled = running(is_settled=True, grew_at=CLOCK_S - 59)
    report = Report(offset=10, next_offset=11, feed_end=11, is_settled=True)
    corrected = after(settled, 59, report)
    assert decide([a_fixture("m", 0)], {"m": corrected}, CLOCK_S + 59) == []
    assert decide([a_fixture("m", 0)], {"m": after(settled, 62, report)}, CLOCK_S + 62) == [
        Retire(match_id="m", is_finished=True)
    ]


def test_a_match_that_was_settled_before_its_actor_failed_is_heard_again_first() -> None:
    quiet = running(is_settled=True, grew_at=CLOCK_S - 900)
    again = started(failed_again(quiet, CLOCK_S, SETTINGS), CLOCK_S)
    assert decide([a_fixture("m", 0)], {"m": again}, CLOCK_S + 1) == []
    assert not again.is_settled


PATIENCE_S = SETTINGS.retire_unfinished_after_s
LONG_AGO = NOW - timedelta(seconds=PATIENCE_S + 1)


def test_a_match_that_never_settles_is_let_go_long_after_its_last_record() -> None:
    abandoned, forgotten = a_fixture("m", 0, kick_off=LONG_AGO), running(grew_at=CLOCK_S - PATIENCE_S - 1)
    assert decide([abandoned], {"m": forgotten}) == [Retire(match_id="m", is_finished=False)]
    assert decide([abandoned], {"m": running(grew_at=CLOCK_S - PATIENCE_S)}) == []
    assert decide([a_fixture("m", 0, kick_off=NOW)], {"m": forgotten}) == []  # leased a day ago, kicks off now


def test_a_match_that_cannot_be_read_is_not_started_for_ever() -> None:
    """The clock of its last record goes on through failures and restarts of its actor."""
    seen = started(Seen(), CLOCK_S)
    for hour in range(1, 8):
        clock_s = CLOCK_S + 3_600 * hour
        actions = decide([a_fixture("m", 0, kick_off=LONG_AGO)], {"m": seen}, clock_s)
        seen = started(failed_again(seen, clock_s, SETTINGS), clock_s)
    assert actions == [Retire(match_id="m", is_finished=False)]


def test_a_match_found_unfinished_after_days_is_started_before_it_is_judged() -> None:
    assert decide([a_fixture("m", 0, kick_off=NOW - timedelta(days=3))]) == [Start(match_id="m")]


# The world as actions change it, as far as it matters here.

IDS = [f"m{number}" for number in range(9)]
SEEN = st.one_of(
    st.none(),
    st.builds(
        Seen,
        is_running=st.booleans(),
        started_at=st.sampled_from([0.0, CLOCK_S - 20, CLOCK_S]),
        is_reading=st.booleans(),
        offset=st.sampled_from([-1, 5]),
        grew_at=st.sampled_from([None, 0.0, CLOCK_S - 70, CLOCK_S]),
        moved_at=st.sampled_from([0.0, CLOCK_S]),
        is_settled=st.booleans(),
        failed=st.sampled_from([None, "broken"]),
        failures=st.integers(0, 5),
        retry_at=st.sampled_from([0.0, CLOCK_S + 5]),
    ),
)
FIXTURES = st.builds(
    lambda match_id, kick_off_h, retired: replace(
        a_fixture(match_id, kick_off=NOW + timedelta(hours=kick_off_h)), status="retired" if retired else "scheduled"
    ),
    st.sampled_from(IDS),
    st.sampled_from([-30, 0, 20, 40]),
    st.booleans(),
)
WORLDS = st.tuples(st.lists(FIXTURES, unique_by=lambda f: f.match_id), st.dictionaries(st.sampled_from(IDS), SEEN))


def done(
    fixtures: dict[str, Fixture], seen: dict[str, Seen], actions: Iterable[Action]
) -> tuple[dict[str, Fixture], dict[str, Seen]]:
    fixtures, seen = dict(fixtures), dict(seen)
    for action in actions:
        fixture, known = fixtures[action.match_id], seen.get(action.match_id, Seen())
        match action:
            case Grant(partition=partition, shared=shared):
                fixtures[action.match_id] = replace(
                    fixture, lease=Lease(partition=partition, start_offset=0, shared=shared)
                )
            case Start():
                seen[action.match_id] = started(known, CLOCK_S)
            case Stop():
                seen[action.match_id] = failed_again(known, CLOCK_S, SETTINGS)
            case Retire():
                fixtures[action.match_id] = replace(fixture, status="retired")
                seen.pop(action.match_id, None)
    return fixtures, seen


@settings(max_examples=300)
@given(world=WORLDS, rounds=st.integers(1, 4))
def test_whatever_is_seen_no_own_partition_has_two_matches_and_every_action_settles(
    world: tuple[list[Fixture], dict[str, Seen | None]], rounds: int
) -> None:
    fixtures = {fixture.match_id: fixture for fixture in world[0]}
    seen = {match_id: each for match_id, each in world[1].items() if each is not None}
    for _ in range(rounds + 2):
        actions = reconcile(fixtures, seen, NOW, CLOCK_S, SETTINGS)
        assert max(Counter(action.match_id for action in actions).values(), default=0) <= 1
        assert all(fixtures[action.match_id].status != "retired" for action in actions)
        fixtures, seen = done(fixtures, seen, actions)
        live = [f.lease for f in fixtures.values() if f.lease and f.status != "retired"]
        own = [lease.partition for lease in live if not lease.shared]
        assert len(own) == len(set(own))
        assert all(lease.shared == (lease.partition >= 3) for lease in live)
    assert reconcile(fixtures, seen, NOW, CLOCK_S, SETTINGS) == ()


@settings(max_examples=200)
@given(world=WORLDS)
def test_doing_a_round_twice_is_doing_it_once(world: tuple[list[Fixture], dict[str, Seen | None]]) -> None:
    """A supervisor that dies behind its actions decides them again: what they leave behind is the same."""
    fixtures = {fixture.match_id: fixture for fixture in world[0]}
    seen = {match_id: each for match_id, each in world[1].items() if each is not None}
    actions = reconcile(fixtures, seen, NOW, CLOCK_S, SETTINGS)
    assert actions == reconcile(fixtures, seen, NOW, CLOCK_S, SETTINGS)
    once = done(fixtures, seen, actions)
    grants_and_retirements = [a for a in actions if isinstance(a, Grant | Retire)]
    assert done(*once, grants_and_retirements)[0] == once[0]
    starts = [a for a in actions if isinstance(a, Start)]
    assert done(*once, starts)[1] == once[1]
