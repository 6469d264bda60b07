"""What every snapshot store promises (actors/domain/ports.py)."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.ports import SnapshotStore
from tests.conftest import eventually
from tests.contract import children
from tests.contract.children import a_snapshot
from tests.contract.twins import SNAPSHOT_STORES, finish, open_snapshots, spawned

EXAMPLES = {"sqlite": 40}  # of each drawn test; a server takes longer to begin anew


@pytest.fixture(params=SNAPSHOT_STORES)
def twin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def open_another(twin: str, place: str) -> Iterator[Callable[[], SnapshotStore]]:
    opened: list[SnapshotStore] = []

    def opener() -> SnapshotStore:
        opened.append(open_snapshots(twin, place))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: Callable[[], SnapshotStore]) -> SnapshotStore:
    return open_another()


def test_a_match_without_a_snapshot_has_none(store: SnapshotStore) -> None:
    store.save(a_snapshot(1, 1, match_id="wyscout:1"))
    assert store.load("wyscout:2") is None


def test_a_snapshot_comes_back_as_it_was_also_elsewhere(
    store: SnapshotStore, open_another: Callable[[], SnapshotStore]
) -> None:
    store.save(saved := a_snapshot(1, 7))
    assert store.load(saved.match_id) == saved
    assert open_another().load(saved.match_id) == saved
    store.close()
    assert open_another().load(saved.match_id) == saved


def test_a_newer_snapshot_replaces_an_older_one(store: SnapshotStore) -> None:
    store.save(a_snapshot(1, 7))
    store.save(newer := a_snapshot(1, 8))
    assert store.load(newer.match_id) == newer


def test_an_older_snapshot_never_replaces_a_newer_one(store: SnapshotStore) -> None:
    store.save(newer := a_snapshot(1, 9))
    store.save(a_snapshot(1, 4))
    assert store.load(newer.match_id) == newer


def test_a_zombie_never_replaces_its_successor_however_far_it_is(store: SnapshotStore) -> None:
    store.save(a_snapshot(1, 9))
    store.save(successor := a_snapshot(2, 5))
    store.save(a_snapshot(1, 1_000))
    assert store.load(successor.match_id) == successor


def test_saving_again_is_safe(store: SnapshotStore) -> None:
    store.save(saved := a_snapshot(1, 9))
    store.save(saved)
    assert store.load(saved.match_id) == saved


def test_a_save_that_comes_late_replaces_nothing_whatever_it_holds(store: SnapshotStore) -> None:
    store.save(newest := a_snapshot(3, 2**39))
    for epoch, offset in ((3, 0), (3, 2**39 - 1), (2, 2**39 + 1), (0, 2**40 - 1), (0, 0)):
        store.save(a_snapshot(epoch, offset))
    assert store.load(newest.match_id) == newest


SAVES = st.lists(st.tuples(st.sampled_from(["a:1", "b:2"]), st.integers(0, 2), st.integers(0, 5)), max_size=12)


@pytest.mark.parametrize("twin", SNAPSHOT_STORES)
def test_the_highest_epoch_and_offset_of_each_match_wins_in_any_order(
    twin: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    @settings(max_examples=EXAMPLES.get(twin, 10), deadline=None)
    @given(saves=SAVES)
    def check(saves: list[tuple[str, int, int]]) -> None:
        store = open_snapshots(twin, str(tmp_path_factory.mktemp("model")))
        for match_id, epoch, offset in saves:
            store.save(a_snapshot(epoch, offset, match_id))
        for match_id in ("a:1", "b:2"):
            places = [(epoch, offset) for saved, epoch, offset in saves if saved == match_id]
            expected = a_snapshot(*max(places), match_id) if places else None
            assert store.load(match_id) == expected
        store.close()

    check()


def test_two_processes_save_at_once_and_the_higher_epoch_stays(twin: str, place: str, store: SnapshotStore) -> None:
    with (
        spawned(children.save_range, twin, place, 1, 200) as zombie,
        spawned(children.save_range, twin, place, 2, 100) as owner,
    ):
        finish(zombie, owner)
    assert store.load("wyscout:1") == a_snapshot(2, 99)


def test_a_process_killed_while_it_saves_leaves_a_whole_snapshot_not_older_than_acknowledged(
    twin: str, place: str, tmp_path: Path
) -> None:
    notes = tmp_path / "acknowledged"
    notes.touch()
    with spawned(children.save_until_killed, twin, place, str(notes)):
        eventually(lambda: notes.stat().st_size > 300, timeout_s=60)
    store = open_snapshots(twin, place)
    found = store.load("wyscout:1")
    store.close()
    assert found is not None and found.offset >= int(notes.read_text().splitlines()[-1])
    assert found == a_snapshot(1, found.offset)
    assert sha256(found.state).hexdigest() == found.state_hash
