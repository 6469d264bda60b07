"""What a reader beside the writer sees: a match's rows without gaps, behind their inputs and before their heads."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.adapters import cassandra_tables as tables
from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_requests import Page, Request
from actors.adapters.cassandra_tables import BUCKET_ROWS, bucket_of
from actors.adapters.cassandra_timestamps import FirstStays
from actors.domain.ports import ChainHeadRow, EventRow, HistoryBatch, PredictionRow


class Bound(NamedTuple):
    """A statement with its values, as the fake connection binds it."""

    cql: str
    values: tuple[Any, ...]


class FakeConnection:
    """Runs tasks one request at a time, in an order that is drawn, and shows each mutation to whoever watches."""

    def __init__(self, choose: Any = None) -> None:
        self.first_stays = FirstStays()
        self.written: list[Bound] = []
        self.watch: Any = lambda: None
        self._choose = choose

    def bound(self, cql: str, *values: object) -> Bound:
        return Bound(cql, values)

    def run(self, operation: str, tasks: Iterable[Iterator[Request]]) -> list[None]:
        going = list(tasks)
        while going:
            task = going[self._choose(len(going)) if self._choose else 0]
            try:
                mutation = next(task).statement
            except StopIteration:
                going.remove(task)
                continue
            self.written += mutation if isinstance(mutation, list) else [mutation]
            self.watch()
        return []

    def of(self, cql: str) -> list[tuple[Any, ...]]:
        return [bound.values for bound in self.written if bound.cql == cql]


def a_history(connection: FakeConnection) -> CassandraHistory:
    history = CassandraHistory.__new__(CassandraHistory)
    history._connection = connection  # type: ignore[assignment]
    return history


def a_row(match_id: str, seq: int) -> PredictionRow:
    return PredictionRow(
        prediction_id=f"{match_id}@{seq}",
        match_id=match_id,
        seq=seq,
        model_version="m",
        feature_snapshot_id=f"inputs {seq}",
        prev_hash="",
        row_hash="",
        forecast=bytes(300_000 if seq % 3 else 1),  # some fill a mutation on their own
    )


POSITIONS = st.sets(st.integers(0, 3 * BUCKET_ROWS), max_size=12)
MATCHES = st.dictionaries(st.sampled_from(["a:1", "b:2"]), POSITIONS, max_size=2)


@settings(max_examples=60, deadline=None)
@given(matches=MATCHES, order=st.permutations(range(24)), choices=st.data())
def test_while_a_batch_is_written_rows_appear_in_order_behind_their_inputs_and_before_their_heads(
    matches: dict[str, set[int]], order: list[int], choices: st.DataObject
) -> None:
    rows = [a_row(match_id, seq) for match_id, seqs in matches.items() for seq in seqs]
    rows = [rows[index] for index in order if index < len(rows)]
    batch = HistoryBatch(
        predictions=tuple(rows),
        feature_snapshots=tuple((row.feature_snapshot_id, b"") for row in rows),
        heads=tuple(
            ChainHeadRow(match_id=match_id, seq=max(seqs), count=len(seqs), row_hash="")
            for match_id, seqs in matches.items()
            if seqs
        ),
        events=tuple(EventRow(match_id=row.match_id, partition=0, offset=row.seq, value=row.forecast) for row in rows),
    )
    connection = FakeConnection(lambda many: choices.draw(st.integers(0, many - 1)))

    def look() -> None:
        inputs = {values[0] for values in connection.of(tables.WRITE_INPUTS)}
        for match_id, seqs in matches.items():
            seen = [values[1] for values in connection.of(tables.WRITE_PREDICTION) if values[3] == match_id]
            assert seen == sorted(seqs)[: len(seen)]
            assert {f"inputs {seq}" for seq in seen} <= inputs
            known = {values[2] for values in connection.of(tables.WRITE_MATCH) if values[1] == match_id}
            assert {bucket_of(seq) for seq in seen} <= known
            offsets = [values[3] for values in connection.of(tables.WRITE_EVENT) if values[0] == match_id]
            assert offsets == sorted(seqs)[: len(offsets)]
            if any(values[0] == match_id for values in connection.of(tables.WRITE_HEAD)):
                assert len(seen) == len(seqs)

    connection.watch = look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_mutation", list)
        a_history(connection).write(batch)
    assert len(connection.of(tables.WRITE_PREDICTION)) == len(connection.of(tables.WRITE_ID)) == len(rows)


@given(
    positions=st.lists(st.integers(0, 4 * BUCKET_ROWS), unique=True, max_size=20).map(sorted),
    after=st.integers(-1, 3 * BUCKET_ROWS),
    limit=st.integers(0, 25),
    growth=st.lists(st.integers(0, 6), max_size=40),
    ahead=st.integers(0, 20),
)
@example(positions=[1, 5_001, 10_001], after=-1, limit=9, growth=[0, 0, 0, 3], ahead=3)  # all of them behind its back
def test_a_reader_beside_the_writer_misses_no_row_that_lies_before_one_it_saw(
    positions: list[int], after: int, limit: int, growth: list[int], ahead: int
) -> None:
    """Between any two of its requests more rows may have appeared, in their order; buckets are known ahead of them."""
    growing = iter(growth)
    there = 0
    task = a_history(FakeConnection())._walk(("buckets",), ("rows",), after, limit)
    page: Page | None = None
    while True:
        try:
            asked = (next(task) if page is None else task.send(page)).statement
        except StopIteration as end:
            found = [position for (position,) in end.value]
            break
        there = min(there + next(growing, len(positions)), len(positions))
        now = positions[:there]
        if asked.cql == "buckets":
            [first] = asked.values
            known = {bucket_of(position) for position in positions[: there + ahead]}
            page = Page([(bucket,) for bucket in sorted(known) if bucket >= first], None)
        else:
            bucket, behind, most = asked.values
            assert most > 0
            page = Page([(p,) for p in now if bucket_of(p) == bucket and p > behind][:most], None)
    expected = [position for position in positions if position > after]
    assert found == expected[: len(found)] and len(found) <= limit


def test_a_big_row_gets_a_mutation_of_its_own_and_small_ones_share() -> None:
    history = a_history(FakeConnection())
    rows = [history._prediction(a_row("a:1", seq), 1) for seq in (0, 3, 6, 7, 8, 9)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_mutation", list)
        sizes = [len(mutation) for mutation in tables.mutations(rows)]
    assert sizes == [4, 2]
