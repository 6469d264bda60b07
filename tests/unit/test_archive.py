"""What retention has removed from the log is read from history: same state, same chain, nothing published twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.errors import OffsetOutOfRange, StoreUnavailable
from actors.domain.fixtures import Fixture
from actors.domain.forecast import Forecast, decode_published
from actors.domain.match import state_hash
from actors.domain.ports import FEED, FORECASTS
from actors.history_writer import EventCopier
from actors.session import MatchPorts, MatchSession
from tests.unit import fakes
from tests.unit.audited import (
    MATCH,
    SETTINGS,
    a_feed,
    a_fixture,
    announce,
    copy_all,
    open_history,
    open_log,
    play,
    send,
)
from tests.unit.fakes import MemorySnapshots


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = open_history(tmp_path)
    yield history
    history.close()


@pytest.fixture
def fixture(log: SqliteLog) -> Fixture:
    fixture = a_fixture(MATCH, 0)
    announce(log, fixture)
    return fixture


def again(log: SqliteLog, fixture: Fixture, archive: SqliteHistory | None) -> MatchSession:
    """Own the match with no snapshot of it left, and read all there is."""
    ports = MatchPorts(log=log, snapshots=MemorySnapshots(), predict=fakes.predict, archive=archive)
    assert fixture.lease is not None
    session = MatchSession(fixture, fixture.lease, ports, SETTINGS)
    end = log.end_offsets(FEED)[0]
    while session.next_offset < end:
        session.advance()
    return session


def copy_events(log: SqliteLog, history: SqliteHistory) -> None:
    copier = EventCopier(log, history)
    while copier.copy(0.0):
        pass


def forecasts(log: SqliteLog, first: int = 0) -> list[Forecast]:
    published = (decode_published(r.value or b"") for r in log.read(FORECASTS, {0: first}, 10_000, 0.0))
    return [each for each in published if isinstance(each, Forecast)]


@pytest.mark.parametrize("kept", [0, 1, 7], ids=["nothing is left", "one is left", "some are left"])
def test_a_match_is_folded_from_history_where_the_feed_has_lost_its_beginning(
    log: SqliteLog, history: SqliteHistory, fixture: Fixture, kept: int
) -> None:
    send(log, fixture, a_feed(MATCH))
    undisturbed, before = play(log, fixture), forecasts(log)
    copy_events(log, history)
    log.prune(FEED, 0, log.end_offsets(FEED)[0] - kept)
    session = again(log, fixture, history)
    assert state_hash(session.state) == state_hash(undisturbed.state)
    assert forecasts(log) == before, "nothing is published twice"


def test_the_chain_goes_on_where_history_has_it(log: SqliteLog, history: SqliteHistory, fixture: Fixture) -> None:
    feed = a_feed(MATCH)
    send(log, fixture, feed[:-3])
    play(log, fixture)
    before = forecasts(log)
    copy_all(log, history)
    log.prune(FORECASTS, 0, first := log.end_offsets(FORECASTS)[0])
    send(log, fixture, feed[-3:])
    session = again(log, fixture, history)
    new = forecasts(log, first)
    assert new and new[0].prev_hash == before[-1].row_hash and new[0].seq > before[-1].seq
    assert session.epoch > before[-1].epoch


def test_history_that_is_not_as_far_as_retention_is_waited_for(
    log: SqliteLog, history: SqliteHistory, fixture: Fixture
) -> None:
    send(log, fixture, a_feed(MATCH))
    log.prune(FEED, 0, 5)
    with pytest.raises(StoreUnavailable, match=r"feed.v1/0 begins at 5, history has it up to 0"):
        again(log, fixture, history)


@pytest.mark.parametrize("topic", [FEED, FORECASTS])
def test_without_an_archive_it_is_an_error_that_names_the_first_offset(
    log: SqliteLog, fixture: Fixture, topic: str
) -> None:
    send(log, fixture, a_feed(MATCH))
    play(log, fixture)
    log.prune(topic, 0, 3)
    with pytest.raises(OffsetOutOfRange) as gone:
        again(log, fixture, None)
    assert (gone.value.topic, gone.value.first) == (topic, 3)
