"""The simulated snapshot store, history and view's feeder: durable in memory, with a fate for every operation."""

from collections.abc import Callable, Iterator, Mapping

from actors.domain.match import MatchState
from actors.domain.ports import FEED, ChainHeadRow, EventRow, HistoryBatch, MatchSnapshot, PredictionRow
from tests.simulation.fates import COMMIT, GO, LOAD, OFFSETS, SAVE, WRITE
from tests.simulation.hub import Hub, Violation
from tests.simulation.witness import Witness

Row = PredictionRow | ChainHeadRow | EventRow | tuple[str, bytes]


class SimulatedSnapshots:
    """A SnapshotStore, fenced by (epoch, offset)."""

    def __init__(self, hub: Hub, witness: Witness, decode: Callable[[str, bytes], MatchState]) -> None:
        self._hub, self._witness, self._decode = hub, witness, decode
        self.kept: MatchSnapshot | None = None
        self.fenced = 0

    def load(self, match_id: str) -> MatchSnapshot | None:
        self._hub.enter(LOAD)
        return self.kept

    def save(self, snapshot: MatchSnapshot) -> None:
        fate = self._hub.enter(SAVE)
        if self._replaces(snapshot):
            self._witness.saving(self.kept, snapshot, self._decode(snapshot.match_id, snapshot.state))
            self.kept = snapshot
        else:
            self.fenced += 1
        if fate != GO:
            self._hub.leave(SAVE, fate)

    def close(self) -> None:
        pass

    def _replaces(self, snapshot: MatchSnapshot) -> bool:
        kept = self.kept
        return kept is None or (kept.epoch, kept.offset) <= (snapshot.epoch, snapshot.offset)


class SimulatedHistory:
    """Both sides of history. Not atomic: the rows of a batch arrive one by one, and of a torn one only the first."""

    def __init__(self, hub: Hub, witness: Witness) -> None:
        self._hub, self._witness = hub, witness
        self.rows: dict[int, PredictionRow] = {}  # by seq
        self.inputs: dict[str, bytes] = {}
        self.chain_heads: dict[int, ChainHeadRow] = {}  # by seq
        self.events: dict[int, EventRow] = {}  # by offset
        self.committed: dict[str, dict[int, int]] = {}
        self._verified = self._verified_heads = 0

    def write(self, batch: HistoryBatch) -> None:
        fate = self._hub.enter(WRITE)
        rows = list(_rows(batch))
        if fate != GO:
            rows = rows[: self._hub.part(WRITE, fate, len(rows))]
        for row in rows:
            self._keep(row)
        if fate != GO:
            self._hub.leave(WRITE, fate)

    def offsets(self, consumer: str) -> dict[int, int]:
        self._hub.enter(OFFSETS)
        return dict(self.committed.get(consumer, {}))

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        fate = self._hub.enter(COMMIT)
        self.committed[consumer] = dict(offsets)
        if consumer == FEED:
            self._check_events(offsets[0])
        else:
            self._check_rows(offsets[0])
        if fate != GO:
            self._hub.leave(COMMIT, fate)

    def _keep(self, row: Row) -> None:
        match row:
            case PredictionRow():
                self.rows.setdefault(row.seq, row)
            case ChainHeadRow():
                self.chain_heads.setdefault(row.seq, row)
            case EventRow():
                self.events.setdefault(row.offset, row)
            case (address, encoded):
                self.inputs.setdefault(address, encoded)

    def _check_events(self, committed: int) -> None:
        for offset in range(committed):
            if offset not in self.events:
                raise Violation(f"history committed {committed} of the feed, the event at {offset} is not durable")

    def _check_rows(self, committed: int) -> None:
        counted, heads = self._witness.counted, self._witness.heads
        while self._verified < len(counted) and counted[self._verified][0] < committed:
            _, forecast, value = counted[self._verified]
            row = self.rows.get(forecast.seq)
            if row is None or row.forecast != value or row.feature_snapshot_id not in self.inputs:
                raise Violation(f"history committed {committed}, the row of seq {forecast.seq} is not durable")
            self._verified += 1
        while self._verified_heads < len(heads) and heads[self._verified_heads][0] < committed:
            if heads[self._verified_heads][1].seq not in self.chain_heads:
                raise Violation(f"history committed {committed}, a chain head before it is not durable")
            self._verified_heads += 1


def _rows(batch: HistoryBatch) -> Iterator[Row]:
    yield from batch.feature_snapshots
    yield from batch.predictions
    yield from batch.heads
    yield from batch.events
