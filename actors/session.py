"""One epoch of a match's ownership: reads its partition, folds, has forecasts made, publishes them.

Starting and restarting are one act: claim an epoch, load the snapshot, fold the rest. What the log says was published
is not published again. Any failure to write leads back there, since the outcome of the write is unknown.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from actors.archive import archived_feed
from actors.domain.assemble import Draft, Place, assemble
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import Fenced, OffsetOutOfRange, SnapshotUnreadable, StoreUnavailable
from actors.domain.events import FeedRecord
from actors.domain.fixtures import Fixture, Lease
from actors.domain.forecast import ChainHead, EpochOpen, Forecast, Published, Pulse, encode_published
from actors.domain.letters import dead_letter
from actors.domain.markets import derive_all
from actors.domain.match import (
    STATE_SCHEMA,
    MatchState,
    decode_state,
    encode_state,
    forecast_inputs,
    new_match,
    state_hash,
)
from actors.domain.ports import (
    DEAD_LETTERS,
    FEED,
    FORECASTS,
    Archive,
    EventLog,
    LogRecord,
    MatchSnapshot,
    NewRecord,
    SnapshotStore,
)
from actors.domain.published import accept
from actors.machines.match import DeadLetter, Entry, Reforecast, step_decoded
from actors.machines.status import feed_status, gap_reasons, may_differ
from actors.metrics import MatchMetrics
from actors.ownership import Claim, claim, published_of

logger = logging.getLogger("touchline.match")

_HEAD_EVERY_S = 60.0
_UNHEARD_S = 3.5  # so long at least a feed of which nothing was read counts as silent: stale, until it speaks


class MatchSettings(Struct, frozen=True, kw_only=True):
    """How one match is run."""

    snapshot_every_records: int = 200
    snapshot_every_s: float = 5.0
    read_batch: int = 256
    read_wait_s: float = 0.5
    conflate_behind_records: int = 256  # a batch this full: the match is behind, and leaves ticks' forecasts out
    retry_first_s: float = 0.1
    retry_most_s: float = 2.0


class MatchPorts(Struct, frozen=True, kw_only=True):
    """What a match is given to work with."""

    log: EventLog
    snapshots: SnapshotStore
    predict: Callable[[list[ForecastInputs]], list[Prediction]]  # raises Transient errors; bounded in time
    archive: Archive | None = None  # what retention has removed from the log is folded from there


class MatchSession:
    """One epoch of a match's ownership. Not thread-safe, but for `pulse`."""

    def __init__(
        self,
        fixture: Fixture,
        lease: Lease,
        ports: MatchPorts,
        settings: MatchSettings,
        behind_since: float | None = None,
    ) -> None:
        """Claim the match. `behind_since`: monotonic seconds since when the session before this one was held up.

        Raises:
            Transient: A store did not answer; try again.
        """
        self._fixture, self._lease, self._ports, self._settings = fixture, lease, ports, settings
        self._match_id = fixture.match_id
        self._metrics = MatchMetrics()
        self._claim: Claim = claim(ports.log, self._match_id, lease, uuid4().hex, ports.archive)
        self._claimed_at = time.monotonic()
        self._published = self._claim.published
        self._watch_from = self._published_to = self._claim.next_offset
        self.state = self._load()
        self._next_feed = max(self.state.offset + 1, lease.start_offset)
        self._saved_offset, self._saved_at = self.state.offset, time.monotonic()
        self._head_at, self._head_seq = time.monotonic(), -1
        self._heard_at: float | None = None  # when the log took the last record of the clock's provider
        self._busy_since = self._claimed_at if behind_since is None else behind_since
        self._is_busy = True  # until the first look says that nothing waits
        self._lag_s = 0.0

    @property
    def epoch(self) -> int:
        """The epoch that this session owns."""
        return self._claim.epoch

    @property
    def behind_since(self) -> float | None:
        """Monotonic seconds since when it works on what it has read; None while it waits for more."""
        return self._busy_since if self._is_busy else None

    @property
    def next_offset(self) -> int:
        """The feed offset at which this session reads on."""
        return self._next_feed

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is expected of the match, corrections apart."""
        return self.state.summary.phase == "finished" and feed_status(self.state)[0] == "OK"

    def advance(self) -> int:
        """Read, fold and publish what has come, waiting a little for it; return the number of records.

        Raises:
            Transient: A store or the forecaster failed; open a new session.
            Fenced: A newer owner has taken the match.
            OffsetOutOfRange: Retention removed what was to be read, and there is no archive.
        """
        records = self._read()
        if records:
            if not self._is_busy:
                self._busy_since, self._is_busy = time.monotonic(), True
            self._apply(records)
        self._lag_s, self._is_busy = self._behind_s(records), False
        self._save_if_due()
        self._head_if_due()
        return len(records)

    def pulse(self) -> None:
        """Append a sign of life; may be called from another thread than `advance`.

        Raises:
            Fenced: A newer owner has taken the match.
        """
        self._check_fence()
        now = time.monotonic()
        lag_s = max(self._lag_s, now - self._busy_since) if self._is_busy else self._lag_s
        state = self.state
        pulse = Pulse(
            match_id=self._match_id,
            epoch=self.epoch,
            offset=state.offset,
            clock=state.clock,
            phase=state.summary.phase,
            feed_silent_s=round(now - (self._heard_at or self._claimed_at - _UNHEARD_S), 3),
            own_lag_s=round(lag_s, 3),
        )
        self._append([pulse])

    def close(self) -> None:
        """Save what is folded, so that the next owner has less to read, and put the chain's head on record.

        Raises:
            Transient: A store did not answer.
            Fenced: A newer owner has taken the match.
        """
        self._save()
        self._append_head()

    def _read(self) -> list[LogRecord]:
        settings, partition = self._settings, self._lease.partition
        try:
            return self._ports.log.read(FEED, {partition: self._next_feed}, settings.read_batch, settings.read_wait_s)
        except OffsetOutOfRange as gone:
            if self._ports.archive is None or gone.first <= self._next_feed:
                raise
            return self._read_archive(self._ports.archive, gone)

    def _read_archive(self, archive: Archive, gone: OffsetOutOfRange) -> list[LogRecord]:
        """Read from history what the log no longer has; go on in the log behind that."""
        partition, at, limit = self._lease.partition, self._claim.opened_at, self._settings.read_batch
        rows = archived_feed(archive, self._match_id, partition, self._next_feed - 1, limit, gone)
        logger.info("Match reads from history", extra={"match_id": self._match_id, "offset": self._next_feed})
        self._next_feed = self._next_feed if rows else gone.first
        return [
            LogRecord(partition=partition, offset=row.offset, key=row.match_id, value=row.value, appended_at=at)
            for row in rows
        ]

    def _load(self) -> MatchState:
        try:
            snapshot = self._ports.snapshots.load(self._match_id)
        except StoreUnavailable as error:
            logger.warning("Snapshot not read, folding again from the log", extra={"problem": str(error)})
            return new_match(self._fixture)
        if snapshot is None or snapshot.offset < self._lease.start_offset:
            return new_match(self._fixture)
        try:
            if snapshot.code_version != STATE_SCHEMA:
                raise SnapshotUnreadable(self._match_id, f"code version {snapshot.code_version}, not {STATE_SCHEMA}")
            state = decode_state(self._match_id, snapshot.state)
            if state_hash(state) != snapshot.state_hash:
                raise SnapshotUnreadable(self._match_id, "its hash does not match its content")
        except SnapshotUnreadable as error:
            logger.warning("Snapshot not used, folding again from the log", extra={"problem": str(error)})
            return new_match(self._fixture)
        return state

    def _apply(self, records: Sequence[LogRecord]) -> None:
        state, drafts, letters = self._fold(records)
        if letters:  # durable before anything moves on
            self._ports.log.append(DEAD_LETTERS, 0, letters)
        is_behind = len(records) >= self._settings.conflate_behind_records
        self._publish(conflate(drafts) if is_behind else drafts)
        self.state = state  # last: after a failed effect the whole batch is done again
        self._next_feed = records[-1].offset + 1

    def _fold(self, records: Sequence[LogRecord]) -> tuple[MatchState, list[Draft], list[NewRecord]]:
        """Return the state behind the records, the forecasts that are due, and what goes to feed.dlq."""
        state, drafts, letters = self.state, list[Draft](), list[NewRecord]()
        heard: LogRecord | None = None
        for record in records:
            if record.key != self._match_id and self._lease.shared and record.problem is None:
                continue
            before = state
            entry = Entry(offset=record.offset, key=record.key, value=record.value, problem=record.problem)
            state, feed_record, effects = step_decoded(state, entry)
            if feed_record is not None and feed_record.provider == self._fixture.believed.clock:
                heard = record
            self._note_gap(record.offset, before, state)
            for effect in effects:
                match effect:
                    case DeadLetter():
                        letters.append(dead_letter(FEED, record, effect.reason, effect.detail))
                        self._metrics.rejected(effect.reason)
                    case Reforecast() if record.offset > self._published.seq:
                        drafts.append(_draft(state, effect, record, feed_record))
        self._heard_at = self._heard_at if heard is None else self._sent_at(heard)
        self._metrics.applied(len(records))
        return state, drafts, letters

    def _note_gap(self, offset: int, before: MatchState, after: MatchState) -> None:
        if may_differ(before, after) and gap_reasons(after) and not gap_reasons(before):
            self._metrics.gap()
            logger.info("Match has a gap", extra={"match_id": self._match_id, "offset": offset})

    def _sent_at(self, record: LogRecord) -> float:
        """Return when the log took a record, in monotonic seconds: now, or as long before our marker as it says."""
        before_s = (self._claim.opened_at - record.appended_at).total_seconds()
        return self._claimed_at - before_s if before_s > 0 else time.monotonic()

    def _publish(self, drafts: list[Draft]) -> None:
        if not drafts:
            return
        predictions = self._ports.predict([draft.inputs for draft in drafts])
        inferred = datetime.now(UTC)
        prev_hash, prev_model = self._published.row_hash, self._published.model_version
        forecasts = list[Forecast]()
        markets = derive_all([prediction.distribution for prediction in predictions])
        for draft, prediction, derived in zip(drafts, predictions, markets, strict=True):
            place = Place(epoch=self.epoch, prev_hash=prev_hash, prev_model=prev_model)
            forecast = assemble(draft, prediction, derived, place, inferred, datetime.now(UTC))
            prev_hash, prev_model = forecast.row_hash, forecast.model_version
            forecasts.append(forecast)
        self._published_to = self._append(forecasts)[-1] + 1
        for forecast in forecasts:
            self._published, _ = accept(self._published, forecast)
            self._metrics.published(forecast)

    def _append(self, published: Sequence[Published]) -> list[int]:
        records = [NewRecord(key=self._match_id, value=encode_published(record)) for record in published]
        return self._ports.log.append(FORECASTS, self._lease.partition, records)

    def _behind_s(self, records: Sequence[LogRecord]) -> float:
        """How long the oldest unread record may have waited: a full batch says that there are more."""
        if not records:
            return 0.0
        worked_s = time.monotonic() - self._busy_since
        if len(records) < self._settings.read_batch:
            return worked_s
        return worked_s + (records[-1].appended_at - records[0].appended_at).total_seconds()

    def _save_if_due(self) -> None:
        folded = self.state.offset - self._saved_offset
        aged = time.monotonic() - self._saved_at >= self._settings.snapshot_every_s
        if folded >= self._settings.snapshot_every_records or (aged and folded):
            self._save()

    def _save(self) -> None:
        state = self.state
        if state.offset <= self._saved_offset:
            return
        self._check_published()
        self._ports.snapshots.save(
            MatchSnapshot(
                match_id=self._match_id,
                epoch=self.epoch,
                offset=state.offset,
                state=encode_state(state),
                state_hash=state_hash(state),
                code_version=STATE_SCHEMA,
            )
        )
        self._saved_offset, self._saved_at = state.offset, time.monotonic()

    def _head_if_due(self) -> None:
        """Append the chain's head every minute and once the match is settled."""
        if time.monotonic() - self._head_at >= _HEAD_EVERY_S or self.is_settled:
            self._append_head()

    def _append_head(self) -> None:
        published = self._published
        if published.seq <= self._head_seq:
            return
        head = ChainHead(
            match_id=self._match_id,
            epoch=self.epoch,
            seq=published.seq,
            count=published.count,
            row_hash=published.row_hash,
        )
        self._append([head])
        self._head_at, self._head_seq = time.monotonic(), published.seq

    def _check_published(self) -> None:
        """See that no newer owner's marker lies before our last forecast: behind one, no reader takes it.

        A snapshot that included such a forecast would keep every later owner from publishing it.
        """
        while self._watch_from < self._published_to:
            if not self._check_fence(wait_s=1.0):
                at = f"reading {self._lease.partition} up to {self._published_to}"
                raise StoreUnavailable(FORECASTS, at, f"nothing behind {self._watch_from}")

    def _check_fence(self, wait_s: float = 0.0) -> int:
        """Look for a newer owner's marker among what others appended; return how many records were looked at."""
        records = self._ports.log.read(FORECASTS, {self._lease.partition: self._watch_from}, 10_000, wait_s)
        markers = [record for record in records if b'"epoch_open"' in (record.value or b"")[:40]]
        for marker in published_of(markers, self._match_id):
            if isinstance(marker, EpochOpen) and marker.epoch > self.epoch:
                raise Fenced(self._match_id, self.epoch, marker.epoch)
        if records:
            self._watch_from = records[-1].offset + 1
        return len(records)


def conflate(drafts: Sequence[Draft]) -> list[Draft]:
    """Leave out what only time asked for, but for the newest; whatever else moved a number stays.

    Each forecast that stays says how many were left out before it.
    """
    kept, left_out = list[Draft](), 0
    for draft in drafts:
        if draft.trigger == "tick" and draft is not drafts[-1]:
            left_out += 1
        else:
            kept.append(replace(draft, conflated=left_out))
            left_out = 0
    return kept


def _draft(state: MatchState, effect: Reforecast, record: LogRecord, feed_record: FeedRecord | None) -> Draft:
    status, reasons = feed_status(state)
    return Draft(
        state=state,
        inputs=forecast_inputs(state),
        trigger=effect.trigger,
        status=status,
        reasons=reasons,
        occurred=feed_record.occurred_at if feed_record else record.appended_at,
        received=feed_record.received_at if feed_record else record.appended_at,
        logged=record.appended_at,
    )
