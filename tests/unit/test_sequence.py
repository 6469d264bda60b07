"""Gap accounting: what is missing is known exactly, whatever the order, and kept small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.match import Sequence
from actors.machines.sequence import (
    MAX_JUMP,
    MAX_RUNS,
    ODDS_WINDOW,
    account,
    advance,
    alive,
    forgiven,
    healed,
    is_new,
    lose,
)
from tests.unit.drawn_feed import PATIENT


def numbers(runs: tuple[tuple[int, int], ...]) -> set[int]:
    """Return all numbers in runs."""
    return {number for first, last in runs for number in range(first, last + 1)}


def after(*seqs: int) -> Sequence:
    """Return the account of records with these numbers."""
    sequence = Sequence()
    for seq in seqs:
        sequence = advance(sequence, seq)
    return sequence


@PATIENT
@given(st.lists(st.tuples(st.sampled_from([advance, alive, healed]), st.integers(1, 120)), max_size=40))
def test_what_is_missing_is_what_was_sent_less_what_came_and_what_a_snapshot_settled(
    steps: list[tuple[object, int]],
) -> None:
    sequence, come, sent, settled = Sequence(), set[int](), 0, 0
    for how, seq in steps:
        sequence = how(sequence, seq)  # type: ignore[operator]
        sent = max(sent, seq)
        come |= set() if how is alive else {seq}
        settled = max(settled, seq) if how is healed else settled
        assert sequence.last == sent
        assert numbers(sequence.missing) == set(range(settled + 1, sent + 1)) - come
        assert numbers(sequence.waived) == set(range(1, settled + 1)) - come
        assert all(is_new(sequence, n) == (n not in come) for n in range(1, sent + 2))


@PATIENT
@given(st.permutations(range(1, 30)))
def test_all_numbers_in_any_order_leave_nothing_missing(order: list[int]) -> None:
    assert after(*order) == Sequence(last=29)


@PATIENT
@given(st.sets(st.integers(1, 60), min_size=1), st.randoms(use_true_random=False))
def test_the_account_is_the_same_in_any_order(come: set[int], random: object) -> None:
    order = sorted(come)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert after(*order) == after(*sorted(come))


def test_runs_are_joined_so_that_a_long_gap_takes_no_more_room_than_a_short_one() -> None:
    sequence = alive(alive(advance(Sequence(last=4), 50_000), 50_001), 50_002)
    assert sequence.missing == ((5, 49_999), (50_001, 50_002))
    assert advance(sequence, 20).missing == ((5, 19), (21, 49_999), (50_001, 50_002))


def test_more_gaps_than_are_remembered_need_a_snapshot() -> None:
    sequence = after(*range(2, 2 * MAX_RUNS + 4, 2))
    assert len(sequence.missing) == MAX_RUNS
    assert sequence.lost_through == 1 and sequence.is_lost
    late = advance(sequence, 1)
    assert late.is_lost
    assert healed(late, 2 * MAX_RUNS + 4).is_whole


@pytest.mark.parametrize("how", [advance, alive])
def test_a_wild_jump_is_another_count_and_moves_nothing(how: object) -> None:
    sequence = how(after(1, 2, 3), 3 + MAX_JUMP + 1)  # type: ignore[operator]
    assert sequence == Sequence(last=3, restarted=True)
    assert how(after(1, 2, 3), 3 + MAX_JUMP).last == 3 + MAX_JUMP  # type: ignore[operator]


def test_a_number_used_for_something_new_is_a_count_begun_anew_and_one_for_something_known_is_not() -> None:
    assert account(after(1, 2, 3), 2, "new", is_known=False).restarted
    assert account(after(1, 2, 3), 2, "old", is_known=True) == after(1, 2, 3)


def test_another_record_1_is_a_count_begun_anew_and_the_same_is_not() -> None:
    first = account(Sequence(), 1, "a", is_known=False)
    assert first == Sequence(last=1, first="a")
    later = advance(first, 2)
    assert account(later, 1, "a", is_known=True) == later
    assert account(later, 1, "b", is_known=True) == Sequence(last=2, first="b", restarted=True)


def test_a_provider_that_begins_at_nought_is_let_in_but_one_that_goes_back_to_it_is_not() -> None:
    assert account(Sequence(), 0, "a", is_known=False) == Sequence()
    assert account(after(1, 2), 0, "a", is_known=False).restarted


def test_late_records_behind_a_snapshot_are_no_count_begun_anew() -> None:
    sequence = healed(after(1, 2, 5), 6)
    assert sequence.waived == ((3, 4),)
    assert account(sequence, 3, "late", is_known=False) == Sequence(last=6, waived=((4, 4),), snapshot=6)
    assert account(sequence, 5, "used", is_known=False).restarted


def test_a_snapshot_settles_what_came_before_it_and_leaves_what_came_after() -> None:
    sequence = healed(after(1, 4, 7), 5)
    assert (sequence.missing, sequence.waived, sequence.last, sequence.snapshot) == (((6, 6),), ((2, 3),), 7, 5)


def test_an_older_snapshot_changes_nothing_but_its_own_number() -> None:
    sequence = healed(after(1, 2, 6), 8)
    assert healed(sequence, 4) == advance(sequence, 4)


def test_after_a_count_begun_anew_the_snapshots_number_is_where_it_goes_on() -> None:
    anew = account(after(*range(1, 500)), 3, "new", is_known=False)
    assert healed(anew, 40) == Sequence(last=40, snapshot=40)
    assert advance(healed(anew, 40), 41).is_whole


def test_what_came_broken_is_lost_until_a_snapshot_that_is_not_older() -> None:
    sequence = lose(after(1, 2), 3)
    assert sequence == Sequence(last=3, lost_through=3)
    assert advance(sequence, 4).is_lost
    assert not healed(sequence, 3).is_lost
    assert healed(lose(after(1, 2, 3, 4), 4), 3).is_lost


def test_what_came_so_broken_that_its_number_is_unknown_is_taken_to_be_the_next() -> None:
    sequence = lose(after(1, 2, 3), 0)
    assert sequence == Sequence(last=3, lost_through=4)
    assert healed(sequence, 3).is_lost
    assert not healed(sequence, 4).is_lost


def test_what_comes_broken_behind_a_snapshot_taken_after_it_is_no_loss() -> None:
    sequence = healed(after(1, 2), 5)
    assert not lose(sequence, 4).is_lost
    assert not is_new(lose(sequence, 4), 4)


def test_lost_books_are_forgiven_once_they_are_old() -> None:
    sequence = after(1, 3)
    assert forgiven(sequence, 3) is sequence
    assert forgiven(advance(sequence, 2 + ODDS_WINDOW), 2 + ODDS_WINDOW).missing[0] == (4, 1 + ODDS_WINDOW)
    assert forgiven(Sequence(last=9, restarted=True, first="b"), 1) == Sequence(last=1, first="b")
    assert forgiven(lose(after(1, 2), 2), 2).is_whole
