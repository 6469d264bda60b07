"""Snapshots saved in the background: a store that is slow or away delays nobody, and the newest one is kept."""

import threading
from collections.abc import Iterator

import pytest

from actors.domain.errors import SetupError, StoreUnavailable
from actors.domain.ports import MatchSnapshot
from actors.snapshots import PatientSnapshots
from tests.conftest import eventually
from tests.contract.children import a_snapshot
from tests.unit.fakes import MemorySnapshots


class MoodyStore(MemorySnapshots):
    """A store that can be away, and one that can be made to hang."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.may_save = threading.Event()
        self.may_save.set()
        self.saved: list[int] = []

    def load(self, match_id: str) -> MatchSnapshot | None:
        if self.away:
            raise StoreUnavailable("moody", "load", "away")
        return super().load(match_id)

    def save(self, snapshot: MatchSnapshot) -> None:
        self.may_save.wait(10)
        if self.away:
            raise StoreUnavailable("moody", "save", "away")
        super().save(snapshot)
        self.saved.append(snapshot.offset)


@pytest.fixture
def store() -> MoodyStore:
    return MoodyStore()


@pytest.fixture
def patient(store: MoodyStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[PatientSnapshots]:
    monkeypatch.setattr("actors.snapshots._RETRY_S", 0.01)
    snapshots = PatientSnapshots(lambda: store)
    yield snapshots
    store.may_save.set()
    snapshots.close()


def test_what_was_saved_is_durable_soon_and_loaded_again(patient: PatientSnapshots, store: MoodyStore) -> None:
    patient.save(saved := a_snapshot(1, 7))
    assert patient.flush(5)
    assert store.load("wyscout:1") == saved == patient.load("wyscout:1")


def test_a_save_does_not_wait_for_a_store_that_hangs_and_only_the_newest_is_saved_then(
    patient: PatientSnapshots, store: MoodyStore
) -> None:
    store.may_save.clear()
    for offset in range(100):
        patient.save(a_snapshot(1, offset))
    assert not patient.flush(0.05)
    store.may_save.set()
    assert patient.flush(5)
    assert store.saved[-1] == 99 and len(store.saved) <= 2


def test_what_waits_can_be_loaded_before_it_is_durable(patient: PatientSnapshots, store: MoodyStore) -> None:
    store.may_save.clear()
    patient.save(a_snapshot(1, 1))
    patient.save(newest := a_snapshot(1, 2))
    eventually(lambda: patient.load("wyscout:1") == newest)


def test_a_store_that_was_away_gets_the_newest_once_it_is_back(patient: PatientSnapshots, store: MoodyStore) -> None:
    store.away = True
    patient.save(a_snapshot(1, 1))
    assert not patient.flush(0.1)
    patient.save(a_snapshot(1, 2))
    store.away = False
    assert patient.flush(5)
    assert store.saved[-1] == 2


def test_a_store_that_cannot_be_opened_is_one_that_does_not_answer() -> None:
    def refuse() -> MoodyStore:
        raise SetupError("nobody listens there")

    snapshots = PatientSnapshots(refuse)
    with pytest.raises(StoreUnavailable, match="nobody listens there"):
        snapshots.load("wyscout:1")
    snapshots.close()


def test_closing_saves_what_waits(store: MoodyStore) -> None:
    snapshots = PatientSnapshots(lambda: store)
    snapshots.save(a_snapshot(1, 5))
    snapshots.close()
    assert store.saved == [5]
