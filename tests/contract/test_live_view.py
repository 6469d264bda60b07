"""What every live view promises (actors/domain/ports.py)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.ports import LiveView, ViewEntry
from tests.conftest import eventually
from tests.contract.twins import VIEWS, open_view

SIZE = 4


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveView]:
    with closing(open_view(str(request.param), str(tmp_path), SIZE)) as view:
        yield view


def an_entry(offset: int, seq: int, epoch: int = 1, match_id: str = "wyscout:1", partition: int = 0) -> ViewEntry:
    return ViewEntry(
        match_id=match_id,
        epoch=epoch,
        seq=seq,
        partition=partition,
        offset=offset,
        value=f"{match_id} {epoch} {seq}".encode(),
    )


def test_the_newest_entry_of_a_match_is_its_latest(view: LiveView) -> None:
    assert view.latest("wyscout:1") is None
    assert view.put(an_entry(0, seq=3))
    assert view.put(newest := an_entry(1, seq=8))
    assert view.latest("wyscout:1") == newest


@pytest.mark.parametrize(("epoch", "seq"), [(2, 10), (2, 9), (1, 11), (3, 10), (3, 4)])
def test_a_lower_epoch_or_a_seq_not_above_the_last_is_refused(view: LiveView, epoch: int, seq: int) -> None:
    assert view.put(newest := an_entry(0, seq=10, epoch=2))
    assert not view.put(an_entry(1, seq=seq, epoch=epoch))
    assert view.latest("wyscout:1") == newest
    assert view.tail(0, 0) == []


def test_a_new_owner_that_folds_again_is_refused_until_it_says_something_new(view: LiveView) -> None:
    view.put(an_entry(0, seq=10, epoch=1))
    assert [view.put(an_entry(1 + i, seq=9 + i, epoch=2)) for i in range(3)] == [False, False, True]


def test_a_refused_entry_of_a_new_owner_still_fences_the_old_one(view: LiveView) -> None:
    view.put(an_entry(0, seq=10, epoch=1))
    view.put(an_entry(1, seq=10, epoch=2))
    assert not view.put(an_entry(2, seq=11, epoch=1))


def test_matches_have_bounds_of_their_own(view: LiveView) -> None:
    view.put(an_entry(0, seq=10, epoch=5, match_id="b:2"))
    assert view.put(an_entry(1, seq=1, epoch=1, match_id="a:1"))
    assert view.matches() == ["a:1", "b:2"]


def test_a_forgotten_match_is_gone_but_its_partition_can_still_be_resumed(view: LiveView) -> None:
    view.put(entry := an_entry(0, seq=10))
    view.put(other := an_entry(1, seq=11, match_id="b:2"))
    view.forget("wyscout:1")
    view.forget("never:1")
    assert view.latest("wyscout:1") is None
    assert view.matches() == ["b:2"]
    assert view.tail(0, -1) == [entry, other]
    assert view.put(an_entry(2, seq=1))


def test_the_tail_says_what_came_behind_an_offset(view: LiveView) -> None:
    entries = [an_entry(offset, seq=offset) for offset in (10, 12, 15)]
    for entry in entries:
        view.put(entry)
    assert view.tail(0, 9) == entries
    assert view.tail(0, 10) == entries[1:]
    assert view.tail(0, 13) == entries[2:]
    assert view.tail(0, 15) == []


def test_the_tail_does_not_vouch_for_what_it_never_saw(view: LiveView) -> None:
    assert view.tail(0, 0) is None
    view.put(an_entry(10, seq=1, partition=0))
    assert view.tail(0, 8) is None
    assert view.tail(1, 10) is None


def test_the_tail_does_not_vouch_for_what_was_evicted(view: LiveView) -> None:
    entries = [an_entry(offset, seq=offset) for offset in range(SIZE + 2)]
    for entry in entries:
        view.put(entry)
    eventually(lambda: view.tail(0, 0) is None)  # a view in two layers may still have had what one layer evicted
    assert view.tail(0, 1) == entries[2:]


def test_an_entry_out_of_the_logs_order_ends_what_the_tail_vouches_for(view: LiveView) -> None:
    view.put(an_entry(10, seq=1))
    view.put(an_entry(14, seq=2))
    assert view.put(late := an_entry(12, seq=1, match_id="b:2"))
    assert view.latest("b:2") == late
    assert view.tail(0, 11) is None
    assert view.tail(0, 14) == []
    view.put(after := an_entry(15, seq=3))
    assert view.tail(0, 14) == [after]


PUTS = st.tuples(st.sampled_from(["a:1", "b:2"]), st.integers(0, 3), st.integers(0, 12), st.integers(0, 1))


@pytest.mark.parametrize("twin", VIEWS)
@settings(max_examples=60, deadline=None)
@given(puts=st.lists(PUTS, max_size=25))
def test_a_view_fed_in_log_order_never_hides_a_missing_entry(twin: str, puts: list[tuple[str, int, int, int]]) -> None:
    with closing(open_view(twin, uuid4().hex, SIZE)) as view:
        feed_and_compare(view, puts)


def feed_and_compare(view: LiveView, puts: list[tuple[str, int, int, int]]) -> None:
    taken: list[ViewEntry] = []
    bounds: dict[str, tuple[int, int]] = {}
    for offset, (match_id, epoch, seq, partition) in enumerate(puts):
        entry = an_entry(offset, seq, epoch, match_id, partition)
        fence, last = bounds.get(match_id, (0, -1))
        expected = epoch >= fence and seq > last
        bounds[match_id] = (max(fence, epoch), seq if expected else last)
        assert view.put(entry) is expected
        taken += [entry] if expected else []
        for number in (0, 1):
            for after in range(-1, offset + 1):
                tail = view.tail(number, after)
                assert tail is None or tail == [e for e in taken if e.partition == number and e.offset > after]
            kept = [e for e in taken if e.partition == number][-SIZE:]
            assert not kept or view.tail(number, kept[0].offset) is not None
    for match_id in bounds:
        newest = [entry for entry in taken if entry.match_id == match_id][-1:]
        assert view.latest(match_id) == (newest[0] if newest else None)


def test_threads_may_share_a_view(view: LiveView) -> None:
    def feed(partition: int) -> int:
        return sum(
            view.put(an_entry(offset, offset, match_id=f"p:{partition}", partition=partition)) for offset in range(500)
        )

    def read(partition: int) -> None:
        for _ in range(500):
            tail = view.tail(partition, view_end(partition)) or []
            assert [entry.offset for entry in tail] == sorted(entry.offset for entry in tail)

    def view_end(partition: int) -> int:
        latest = view.latest(f"p:{partition}")
        return latest.offset - 2 if latest else 0

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, partition) for partition in range(2)]
        assert [future.result(60) for future in [pool.submit(feed, partition) for partition in range(2)]] == [500, 500]
        for reader in readers:
            reader.result(60)
    assert view.matches() == ["p:0", "p:1"]
    assert [entry.offset for entry in view.tail(1, 495) or []] == [496, 497, 498, 499]
