"""Upgrade, and rollback, while matches run: what another version of the code left behind changes nothing.

Its snapshots are not read, the match is folded again; what it published is not published again, and its chain goes on;
what it wrote into the log beside what this code knows is read past.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory, SqliteSnapshots
from actors.domain.chain import check_chain
from actors.domain.errors import Fenced
from actors.domain.fixtures import Fixture, decode_fixture, encode_fixture
from actors.domain.forecast import EpochOpen, Forecast, decode_published, encode_published
from actors.domain.letters import Letter, ReplayMark, dead_letter, decode_dlq, replay_mark
from actors.domain.match import STATE_SCHEMA, MatchState, decode_state, encode_state, state_hash
from actors.domain.ports import (
    DEAD_LETTERS,
    FEED,
    FIXTURES,
    FORECASTS,
    Archive,
    EventLog,
    LogRecord,
    MatchSnapshot,
    NewRecord,
    SnapshotStore,
)
from actors.domain.published import read_all
from actors.history_writer import EventCopier, ForecastCopier
from actors.ownership import published_of
from actors.session import MatchPorts, MatchSession
from actors.supervisor import FixtureBook
from tests.unit import fakes
from tests.unit.audited import (
    MATCH,
    NOW,
    SETTINGS,
    a_feed,
    a_fixture,
    announce,
    open_history,
    open_log,
    send,
)
from tests.unit.fakes import Fate, MemoryLog, MemorySnapshots
from tests.unit.test_match_crash import FIXTURE, LEASE, event_feeds, play, seen, settings_of

OLDER, NEWER = STATE_SCHEMA - 1, STATE_SCHEMA + 1
UPGRADED = len(a_feed()) // 2  # records that the other version had folded


class WrittenBy:
    """A SnapshotStore through which another version of the code saves what it has folded."""

    def __init__(self, version: int, store: SnapshotStore, layout: Callable[[int, MatchState], bytes]) -> None:
        self._version, self._store, self._layout = version, store, layout

    def load(self, match_id: str) -> MatchSnapshot | None:
        return self._store.load(match_id)

    def save(self, snapshot: MatchSnapshot) -> None:
        state = decode_state(snapshot.match_id, snapshot.state)
        self._store.save(replace(snapshot, state=self._layout(self._version, state), code_version=self._version))

    def close(self) -> None: ...


def another_layout(version: int, state: MatchState) -> bytes:
    """A state as a version might keep it that names everything otherwise."""
    return msgspec.msgpack.encode({"schema": version, "goals": [1, 2], "through": state.offset})


def another_meaning(version: int, state: MatchState) -> bytes:
    """A state that this code could read, and would misunderstand: only its version tells."""
    return encode_state(replace(state, rejected={"counted otherwise": 7}))


def same_bytes(version: int, state: MatchState) -> bytes:
    """A state that says which schema it has in itself too."""
    return encode_state(replace(state, schema=version))


LAYOUTS = [another_layout, another_meaning, same_bytes]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = open_log(tmp_path)
    yield log
    log.close()


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[SqliteSnapshots]:
    snapshots = SqliteSnapshots(tmp_path / "snapshots.db")
    yield snapshots
    snapshots.close()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = open_history(tmp_path)
    yield history
    history.close()


@pytest.fixture
def fixture(log: SqliteLog) -> Fixture:
    fixture = a_fixture()
    announce(log, fixture)
    return fixture


def own(
    log: EventLog, snapshots: SnapshotStore, archive: Archive | None = None, fixture: Fixture | None = None
) -> MatchSession:
    """Take the match over as this version of the code does."""
    fixture = fixture or a_fixture()
    assert fixture.lease is not None
    ports = MatchPorts(log=log, snapshots=snapshots, predict=fakes.predict, archive=archive)
    return MatchSession(fixture, fixture.lease, ports, SETTINGS)


def play_on(session: MatchSession, log: EventLog) -> MatchSession:
    end = log.end_offsets(FEED)[0]
    while session.next_offset < end:
        session.advance()
    return session


def played_before(
    log: EventLog, snapshots: SnapshotStore, version: int, layout: Callable[[int, MatchState], bytes]
) -> MatchSession:
    """Send half a match and have another version of the code play it; it still owns the match."""
    send(log, a_fixture(), a_feed()[:UPGRADED])
    session = play_on(own(log, WrittenBy(version, snapshots, layout)), log)
    session.close()
    return session


def counted(log: EventLog, first: int = 0) -> list[Forecast]:
    """Return what readers take of all that was published."""
    records = log.read(FORECASTS, {0: first}, 10_000, 0.0)
    return [each for each in read_all(published_of(records, MATCH))[1] if isinstance(each, Forecast)]


def all_published(log: EventLog) -> list[Forecast]:
    records = published_of(log.read(FORECASTS, {0: 0}, 10_000, 0.0), MATCH)
    return [record for record in records if isinstance(record, Forecast)]


def undisturbed() -> tuple[str, list[tuple[int, str, str]]]:
    """Return the state's hash and the chain of a match that one version played from beginning to end."""
    log = MemoryLog()
    send(log, a_fixture(), a_feed())
    session = play_on(own(log, MemorySnapshots()), log)
    return state_hash(session.state), chain(counted(log))


def chain(forecasts: list[Forecast]) -> list[tuple[int, str, str]]:
    return [(each.seq, each.prev_hash, each.row_hash) for each in forecasts]


@pytest.mark.parametrize("version", [OLDER, NEWER], ids=["upgrade", "rollback"])
@pytest.mark.parametrize("layout", LAYOUTS)
class TestAMatchThatRuns:
    def test_goes_on_with_the_same_chain_and_publishes_nothing_twice(
        self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture, version: int, layout: Any
    ) -> None:
        before = played_before(log, snapshots, version, layout)
        assert len(counted(log)) > 5
        send(log, fixture, a_feed()[UPGRADED:])
        session = play_on(own(log, snapshots), log)
        assert (state_hash(session.state), chain(counted(log))) == undisturbed()
        assert len({each.seq for each in all_published(log)}) == len(all_published(log)), "not even to be dropped"
        assert session.epoch == before.epoch + 1
        assert {each.epoch for each in counted(log)} == {before.epoch, session.epoch}

    def test_publishes_nothing_while_it_only_catches_up(
        self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture, version: int, layout: Any
    ) -> None:
        played_before(log, snapshots, version, layout)
        before = all_published(log)
        session = play_on(own(log, snapshots), log)
        assert all_published(log) == before
        assert session.state.offset == UPGRADED - 1

    def test_replaces_the_other_version_s_snapshot_and_starts_from_its_own_next_time(
        self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture, version: int, layout: Any
    ) -> None:
        played_before(log, snapshots, version, layout)
        session = play_on(own(log, snapshots), log)
        session.close()
        kept = snapshots.load(MATCH)
        assert kept is not None
        assert (kept.code_version, kept.epoch, kept.offset) == (STATE_SCHEMA, session.epoch, UPGRADED - 1)
        assert own(log, snapshots).state == session.state

    def test_is_folded_from_history_where_the_log_has_lost_its_beginning(
        self,
        log: SqliteLog,
        snapshots: SqliteSnapshots,
        history: SqliteHistory,
        fixture: Fixture,
        version: int,
        layout: Any,
    ) -> None:
        played_before(log, snapshots, version, layout)
        send(log, fixture, a_feed()[UPGRADED:])
        for copier in (EventCopier(log, history), ForecastCopier(log, history)):
            while copier.copy(0.0):
                pass
        kept = counted(log)
        log.prune(FEED, 0, 6)
        log.prune(FORECASTS, 0, gone := 5)
        session = play_on(own(log, snapshots, history), log)
        expected_state, expected_chain = undisturbed()
        new = [each for each in chain(counted(log, gone)) if each[0] > kept[-1].seq]
        assert state_hash(session.state) == expected_state
        assert chain(kept) + new == expected_chain

    def test_is_not_spoilt_by_its_former_owner_who_still_runs(
        self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture, version: int, layout: Any
    ) -> None:
        former = played_before(log, snapshots, version, layout)
        session = own(log, snapshots)
        send(log, fixture, a_feed()[UPGRADED:])
        former.advance()
        play_on(session, log)
        session.close()
        with pytest.raises(Fenced):
            former.close()
        assert (state_hash(session.state), chain(counted(log))) == undisturbed()
        kept = snapshots.load(MATCH)
        assert kept is not None and kept.code_version == STATE_SCHEMA


DAMAGES: dict[str, Callable[[MatchSnapshot], MatchSnapshot]] = {
    "cut off": lambda kept: replace(kept, state=kept.state[:-7]),
    "empty": lambda kept: replace(kept, state=b""),
    "no state": lambda kept: replace(kept, state=b"\x93" * 20_000),
    "wrong hash": lambda kept: replace(kept, state_hash="0" * 64),
    "of another match": lambda kept: replace(kept, state=kept.state.replace(b"fake:1", b"fake:2")),
    "another state under the same hash": lambda kept: replace(
        kept, state=encode_state(replace(decode_state(MATCH, kept.state), rejected={"x": 1}))
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_snapshot_that_was_damaged_is_not_used(damage: Callable[[MatchSnapshot], MatchSnapshot]) -> None:
    log, snapshots = MemoryLog(), MemorySnapshots()
    played_before(log, snapshots, STATE_SCHEMA, same_bytes)
    snapshots.kept[MATCH] = damage(snapshots.kept[MATCH])
    send(log, a_fixture(), a_feed()[UPGRADED:])
    session = own(log, snapshots)
    assert session.state.offset == -1
    play_on(session, log)
    assert (state_hash(session.state), chain(counted(log))) == undisturbed()


def test_no_bit_of_a_snapshot_can_turn_without_its_being_noticed() -> None:
    log, snapshots = MemoryLog(), MemorySnapshots()
    played_before(log, snapshots, STATE_SCHEMA, same_bytes)
    kept = snapshots.kept[MATCH]
    for place in range(0, 8 * len(kept.state), 11):
        turned = bytearray(kept.state)
        turned[place // 8] ^= 1 << place % 8
        snapshots.kept[MATCH] = replace(kept, state=bytes(turned))
        assert own(log, snapshots).state.offset == -1, f"bit {place}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    feed=event_feeds(),
    owners=st.lists(
        st.tuples(st.sampled_from([OLDER, STATE_SCHEMA, NEWER]), st.integers(0, 4), st.sampled_from(LAYOUTS)),
        max_size=6,
    ),
    snapshot_every=st.integers(1, 6),
)
def test_however_often_versions_change_readers_see_what_one_version_would_have_shown(
    feed: list[bytes], owners: list[tuple[int, int, Any]], snapshot_every: int
) -> None:
    log, snapshots, how = MemoryLog(), MemorySnapshots(), settings_of(snapshot_every=snapshot_every)
    log.append(FEED, LEASE.partition, [NewRecord(key="fake:1", value=value) for value in feed])
    for version, batches, layout in [*owners, (STATE_SCHEMA, len(feed), same_bytes)]:
        store = WrittenBy(version, snapshots, layout)
        session = MatchSession(FIXTURE, LEASE, MatchPorts(log=log, snapshots=store, predict=fakes.predict), how)
        for _ in range(batches):
            session.advance()
    assert seen(log, session) == play(feed, Fate())


MAPS = ("cards", "settled", "provider_ids")  # of which the keys are data


def with_more(value: Any, name: str = "") -> Any:
    """Add a field that this code does not know to everything that has fields."""
    if isinstance(value, list):
        return [with_more(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    more = {} if name in MAPS else {"of_newer_code": {"x": [1, None]}}
    return {key: with_more(each, key) for key, each in value.items()} | more


def newer(encoded: bytes) -> bytes:
    """Return a record as newer code might write it."""
    return json.dumps(with_more(json.loads(encoded))).encode()


class TestWhatNewerCodeWrote:
    def test_a_fixture_is_read_past_what_is_not_known_of_it(self, log: SqliteLog) -> None:
        fixture = replace(a_fixture(), provider_ids={"opta": "g1"})
        assert decode_fixture(newer(encode_fixture(fixture))) == fixture
        log.append(FIXTURES, 0, [NewRecord(key=MATCH, value=newer(encode_fixture(fixture)))])
        book = FixtureBook(log)
        book.refresh()
        assert book.fixtures == {MATCH: fixture}

    def test_every_published_record_is_read_past_what_is_not_known_of_it(self) -> None:
        log = MemoryLog()
        send(log, a_fixture(), a_feed())
        session = play_on(own(log, MemorySnapshots()), log)
        session.pulse()
        records = [decode_published(record.value or b"") for record in log.topics[FORECASTS][0]]
        assert {type(record).__name__ for record in records} == {"EpochOpen", "Forecast", "ChainHead", "Pulse"}
        assert [decode_published(newer(encode_published(record))) for record in records] == records

    def test_a_letter_and_a_mark_are_read_past_what_is_not_known_of_them(self) -> None:
        record = LogRecord(partition=0, offset=3, key=MATCH, value=b"{", appended_at=NOW)
        mark = replay_mark(ReplayMark(letter="feed.v1/0/3", replayed_at=NOW, partition=1, offset=9))
        for written, kind in ((dead_letter(FEED, record, "malformed", "because"), Letter), (mark, ReplayMark)):
            assert isinstance(found := decode_dlq(newer(written.value or b"")), kind)
            assert found == decode_dlq(written.value or b"")

    def test_a_chain_that_newer_code_began_goes_on_after_a_rollback_and_is_whole(
        self, log: SqliteLog, snapshots: SqliteSnapshots, history: SqliteHistory, fixture: Fixture
    ) -> None:
        """Also past records of a kind that this code does not know at all."""
        written = MemoryLog()
        played_before(written, WrittenBy(NEWER, snapshots, another_layout), STATE_SCHEMA, same_bytes)
        values = [newer(record.value or b"") for record in written.topics[FORECASTS][0]]
        values.insert(3, b'{"type":"of_newer_code","match_id":"fake:1","epoch":0}')
        log.append(FORECASTS, 0, [NewRecord(key=MATCH, value=value) for value in values])
        send(log, fixture, a_feed())
        session = play_on(own(log, snapshots), log)
        assert (state_hash(session.state), chain(counted(log))) == undisturbed()
        copier = ForecastCopier(log, history)
        while copier.copy(0.0):
            pass
        rows = history.predictions(MATCH, -1, 1_000)
        assert [row.seq for row in rows] == [each.seq for each in counted(log)]
        assert rows[0].forecast in values, "byte for byte"
        assert check_chain(rows, history.heads(MATCH), history.feature_snapshot) == (len(rows), None)

    def test_a_newer_owner_fences_this_one(self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture) -> None:
        session = own(log, snapshots)
        marker = newer(encode_published(EpochOpen(match_id=MATCH, epoch=session.epoch + 1, owner="newer")))
        log.append(FORECASTS, 0, [NewRecord(key=MATCH, value=marker)])
        with pytest.raises(Fenced):
            session.pulse()

    def test_a_feed_record_of_a_kind_that_is_not_known_is_a_letter_and_the_match_says_gap(
        self, log: SqliteLog, snapshots: SqliteSnapshots, fixture: Fixture
    ) -> None:
        """The feed is read strictly: what is not understood may be a goal. After the upgrade it can be replayed."""
        feed = a_feed()
        unknown = json.loads(feed[3]) | {"provider_seq": 2, "event_id": "new", "payload": {"kind": "of_newer_code"}}
        send(log, fixture, [*feed[:2], json.dumps(unknown).encode()])
        play_on(own(log, snapshots), log)
        [record] = log.read(DEAD_LETTERS, {0: 0}, 10, 0.0)
        letter = decode_dlq(record.value or b"")
        assert isinstance(letter, Letter)
        assert (letter.id, letter.reason) == ("feed.v1/0/2", "malformed_payload")
        assert counted(log)[-1].status == "GAP"
