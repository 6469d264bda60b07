"""A standby owns a match until its own actor claims it, and nothing is published twice or left out by it."""

import threading
from collections.abc import Iterator

import pytest

import actors.match as match
from actors.domain.forecast import EpochOpen, Forecast
from actors.domain.published import read_all
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSettings
from actors.standby import Standby
from tests.conftest import eventually
from tests.unit.audited import a_feed, a_fixture, published, send
from tests.unit.fakes import MemorySnapshots, predict
from tests.unit.test_match_actor import PatientLog

QUICK = MatchSettings(read_batch=4, read_wait_s=0.0, retry_first_s=0.001, retry_most_s=0.002)


@pytest.fixture(autouse=True)
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "_PULSE_EVERY_S", 0.005)


class World:
    """A log, and what owners work with."""

    def __init__(self) -> None:
        self.log, self.snapshots, self.opened = PatientLog(), MemorySnapshots(), 0
        self.standby = Standby(self.ports, QUICK)

    def ports(self) -> MatchPorts:
        self.opened += 1
        return MatchPorts(log=self.log, snapshots=self.snapshots, predict=predict)

    def epochs(self) -> list[int]:
        return [record.epoch for record in published(self.log) if isinstance(record, EpochOpen)]

    def seqs(self) -> list[int]:
        return [record.seq for record in read_all(published(self.log))[1] if isinstance(record, Forecast)]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.standby.release()


def test_a_match_is_bridged_until_its_own_actor_is_back(world: World) -> None:
    fixture, feed = a_fixture(), a_feed()
    send(world.log, fixture, feed[: len(feed) // 2])
    assert world.standby.bridge(fixture)
    eventually(lambda: world.seqs())
    own = MatchActor(fixture, world.ports, QUICK)
    eventually(lambda: own.progress().epoch == 1)
    send(world.log, fixture, feed[len(feed) // 2 :])
    eventually(lambda: own.progress().is_settled)
    own.stop()
    assert world.epochs() == [0, 1]
    undisturbed = World()
    send(undisturbed.log, fixture, feed)
    alone = MatchActor(fixture, undisturbed.ports, QUICK)
    eventually(lambda: alone.progress().is_settled)
    alone.stop()
    assert world.seqs() == undisturbed.seqs()


def test_it_is_free_for_another_match_once_it_is_fenced_and_not_before(world: World) -> None:
    first, second = a_fixture(), a_fixture("wyscout:2")
    assert world.standby.bridge(first)
    assert world.standby.bridge(first)  # told again, it goes on
    eventually(lambda: world.epochs() == [0])
    assert not world.standby.bridge(second)
    own = MatchActor(first, world.ports, QUICK)
    eventually(lambda: own.progress().epoch == 1)
    eventually(lambda: world.standby.bridge(second))
    assert not own.progress().is_fenced
    own.stop()
    opened = world.opened
    world.standby.release(["another"])
    assert not world.standby.bridge(first)
    world.standby.release([second.match_id])
    assert world.opened == opened + 1  # connected for the next one
    assert world.standby.bridge(first)


def test_it_ends_what_it_bridges_when_the_match_is_over(world: World) -> None:
    before = threading.active_count()
    world.standby.bridge(a_fixture())
    assert threading.active_count() > before
    world.standby.release([a_fixture().match_id])
    assert threading.active_count() == before


def test_it_makes_ready_for_the_next_match_before_that_needs_it(world: World) -> None:
    fixture = a_fixture()
    assert world.standby.bridge(fixture)
    eventually(lambda: world.epochs() == [0])
    assert world.opened == 1
    own = MatchActor(fixture, lambda: MatchPorts(log=world.log, snapshots=world.snapshots, predict=predict), QUICK)
    eventually(lambda: world.opened == 2)
    assert world.epochs() == [0, 1]
    own.stop()
