"""A replica computes a published forecast's inputs again from the log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.domain.errors import StoreUnavailable
from actors.domain.events import FeedRecord, encode_record
from actors.domain.features import FEATURE_NAMES, Extracted, PreMatch, extract
from actors.domain.fixtures import Fixture, Lease
from actors.domain.ports import FEED, MatchSnapshot, NewRecord, SnapshotStore
from cluster.match_inputs import LoggedInputs
from tests.unit.builders import a_fixture, a_pass, a_record, goal, kicked_off, minute, played, saved, told_before

RECORDS = [
    *kicked_off(),
    a_record(3, a_pass(), minute(4)),
    a_record(4, goal(), minute(5)),
    a_record(5, goal(), minute(9)),
]


class NoSnapshots:
    """A store that never answers."""

    def load(self, match_id: str) -> MatchSnapshot | None:
        raise StoreUnavailable("snapshots", "load", "not there")

    def save(self, snapshot: MatchSnapshot) -> None:
        raise StoreUnavailable("snapshots", "save", "not there")

    def close(self) -> None: ...


class OneSnapshot(NoSnapshots):
    """A store that holds a snapshot up to an offset."""

    def __init__(self, offset: int) -> None:
        self.snapshot = saved(played(RECORDS[: offset + 1]))

    def load(self, match_id: str) -> MatchSnapshot | None:
        return self.snapshot


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path, {FEED: 1})
    yield log
    log.close()


def leased() -> Fixture:
    return a_fixture(lease=Lease(partition=0, start_offset=0))


def sent(log: SqliteLog, records: list[FeedRecord]) -> None:
    log.append(FEED, 0, [NewRecord(key=each.match_id, value=encode_record(each)) for each in records])


def folding(log: SqliteLog, snapshots: SnapshotStore | None = None) -> LoggedInputs:
    return LoggedInputs(lambda: log, lambda: snapshots or NoSnapshots())


def check(found: Extracted | None, offset: int) -> None:
    assert found is not None
    assert found.values.tobytes() == extract(played(RECORDS[: offset + 1]), PreMatch()).values.tobytes()


def test_inputs_are_those_of_the_state_at_the_offset_whatever_was_asked_before(log: SqliteLog) -> None:
    sent(log, RECORDS)
    inputs = folding(log)
    for offset in (2, 3, 2, 4, 0):
        check(inputs.at(leased(), offset), offset)


@pytest.mark.parametrize("known", [0, 2, 4])
def test_a_snapshot_shortens_the_way_and_changes_nothing(log: SqliteLog, known: int) -> None:
    sent(log, RECORDS)
    check(folding(log, OneSnapshot(known)).at(leased(), 3), 3)


def test_where_retention_was_faster_there_are_none(log: SqliteLog) -> None:
    sent(log, RECORDS)
    log.prune(FEED, 0, 2)
    assert folding(log).at(leased(), 3) is None
    check(folding(log, OneSnapshot(2)).at(leased(), 3), 3)


def test_other_matches_of_a_shared_partition_are_passed_over(log: SqliteLog) -> None:
    other = replace(RECORDS[2], match_id="p:2")
    sent(log, [*RECORDS[:3], other, *RECORDS[3:]])
    shared = a_fixture(lease=Lease(partition=0, start_offset=0, shared=True))
    check(folding(log).at(shared, 4), 3)


def test_what_ratings_said_is_among_them(log: SqliteLog) -> None:
    known = {"go_supremacy": 0.25, "an_input_that_is_no_more": 1.0}
    sent(log, [told_before(known), *RECORDS])
    found = folding(log).at(leased(), 3)
    assert found is not None
    values = dict(zip(FEATURE_NAMES, found.values.tolist(), strict=True))
    assert values["go_supremacy"] == 0.25
    state = played([told_before(), *RECORDS[:3]])
    assert found.values.tobytes() == extract(state, PreMatch(numbers={"go_supremacy": 0.25})).values.tobytes()


def test_without_a_lease_there_are_none(log: SqliteLog) -> None:
    assert folding(log).at(a_fixture(), 3) is None
