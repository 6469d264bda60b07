"""The catalogue's inputs of a published forecast: its match folded from the log again, up to the record behind it."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from actors.domain.errors import OffsetOutOfRange, SnapshotUnreadable, StoreUnavailable
from actors.domain.features import Extracted, Extractor, PreMatch
from actors.domain.features.prematch import GIVEN
from actors.domain.fixtures import Fixture, Lease
from actors.domain.match import STATE_SCHEMA, MatchState, decode_state, new_match
from actors.domain.ports import FEED, EventLog, MatchSnapshot, SnapshotStore
from actors.machines.match import Entry, step

_READ = 2_000
_WAIT_S = 1.0  # what has been published has been logged before


class LoggedInputs:
    """Extracts inputs in a serving replica; keeps the last few matches so that asking again folds what is new only."""

    def __init__(
        self,
        open_log: Callable[[], EventLog],
        open_snapshots: Callable[[], SnapshotStore],
        most_matches: int = 64,
    ) -> None:
        """Take what opens the stores, when first needed."""
        self._open_log, self._open_snapshots = open_log, open_snapshots
        self._most = most_matches
        self._log: EventLog | None = None
        self._snapshots: SnapshotStore | None = None
        self._kept: OrderedDict[str, tuple[MatchState, Extractor]] = OrderedDict()
        self._lock = Lock()

    def at(self, fixture: Fixture, seq: int) -> Extracted | None:
        """Return a match's inputs as of a feed offset, None where the log does not hold its records any more.

        Raises:
            StoreUnavailable: The log did not answer.
        """
        lease = fixture.lease
        if lease is None:
            return None
        with self._lock:
            state, extractor = self._kept.pop(fixture.match_id, (None, Extractor()))
            if state is None or state.offset > seq:
                state = self._snapshot(fixture, lease, seq)
            try:
                state = self._fold(state, lease, seq)
            except OffsetOutOfRange:
                return None
            self._kept[fixture.match_id] = state, extractor
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return extractor.extract(state, known_before(state))

    def _snapshot(self, fixture: Fixture, lease: Lease, seq: int) -> MatchState:
        """Return the newest snapshot's state if it does not know too much, else that of a match unread."""
        stored = self._stored(fixture.match_id)
        if stored is None or not lease.start_offset <= stored.offset <= seq or stored.code_version != STATE_SCHEMA:
            return new_match(fixture)
        try:
            return decode_state(fixture.match_id, stored.state)
        except SnapshotUnreadable:  # the match's owner says so in its log
            return new_match(fixture)

    def _stored(self, match_id: str) -> MatchSnapshot | None:
        try:
            self._snapshots = self._snapshots or self._open_snapshots()
            return self._snapshots.load(match_id)
        except StoreUnavailable:
            return None  # it only spares some folding

    def _fold(self, state: MatchState, lease: Lease, seq: int) -> MatchState:
        self._log = self._log or self._open_log()
        at = max(state.offset + 1, lease.start_offset)
        while at <= seq:
            records = self._log.read(FEED, {lease.partition: at}, _READ, _WAIT_S)
            if not records:
                raise OffsetOutOfRange(FEED, lease.partition, at, at)
            for record in records:
                if record.offset <= seq and (record.key == state.match_id or not lease.shared):
                    entry = Entry(offset=record.offset, key=record.key, value=record.value, problem=record.problem)
                    state, _ = step(state, entry)
            at = records[-1].offset + 1
        return state


def known_before(state: MatchState) -> PreMatch:
    """Return what the log says was known before kick-off; inputs that the catalogue has no more are left out."""
    numbers = state.prematch.numbers if state.prematch else {}
    return PreMatch(numbers={name: value for name, value in numbers.items() if name in GIVEN})
