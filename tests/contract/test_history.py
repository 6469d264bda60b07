"""What history promises to its writer, its readers and the what-ifs (actors/domain/ports.py)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.domain.ports import ChainHeadRow, EventRow, HistoryBatch, PredictionRow
from tests.conftest import eventually
from tests.contract import children
from tests.contract.children import BATCH, a_batch, a_prediction
from tests.contract.twins import HISTORIES, AnyHistory, finish, open_history, spawned


@pytest.fixture(params=HISTORIES)
def twin(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def open_another(twin: str, place: str) -> Iterator[Callable[[], AnyHistory]]:
    opened: list[AnyHistory] = []

    def opener() -> AnyHistory:
        opened.append(open_history(twin, place))
        return opened[-1]

    yield opener
    for history in opened:
        history.close()


@pytest.fixture
def history(open_another: Callable[[], AnyHistory]) -> AnyHistory:
    return open_another()


def predictions(*rows: PredictionRow) -> HistoryBatch:
    return HistoryBatch(predictions=rows)


def test_an_empty_history_has_nothing_to_say(history: AnyHistory) -> None:
    history.write(HistoryBatch())
    assert history.matches() == []
    assert history.predictions("wyscout:1", -1, 10) == []
    assert history.heads("wyscout:1") == []
    assert history.prediction("wyscout:1@1") is None
    assert history.feature_snapshot("sha256:1") is None
    assert history.offsets("history") == {}
    assert history.what_ifs("replica", 0) is None


@pytest.mark.parametrize("forecast", [b"", b'{"p": 0.25 }\n', bytes(range(256)) * 64], ids=["none", "json", "16 KB"])
def test_a_prediction_comes_back_byte_for_byte_by_its_id(history: AnyHistory, forecast: bytes) -> None:
    history.write(predictions(row := a_prediction("wyscout:1", 17, forecast)))
    assert history.prediction("wyscout:1@17") == row


def test_predictions_of_a_match_come_in_order_page_by_page(history: AnyHistory) -> None:
    rows = [a_prediction("wyscout:1", seq) for seq in (30, 2, 11, 100, 7)]
    history.write(predictions(*rows, a_prediction("wyscout:2", 5)))
    in_order = sorted(rows, key=lambda row: row.seq)
    assert history.predictions("wyscout:1", -1, 3) == in_order[:3]
    assert history.predictions("wyscout:1", in_order[2].seq, 3) == in_order[3:]
    assert history.predictions("wyscout:1", 100, 3) == []


def test_the_first_row_of_a_key_stays(history: AnyHistory) -> None:
    history.write(
        HistoryBatch(
            predictions=(first := a_prediction("wyscout:1", 1, b"first"),),
            feature_snapshots=(("sha256:1", b"first"),),
            heads=(head := ChainHeadRow(match_id="wyscout:1", seq=1, count=1, row_hash="first"),),
        )
    )
    history.write(
        HistoryBatch(
            predictions=(a_prediction("wyscout:1", 1, b"second"), new := a_prediction("wyscout:1", 2, b"new")),
            feature_snapshots=(("sha256:1", b"second"), ("sha256:2", b"new")),
            heads=(ChainHeadRow(match_id="wyscout:1", seq=1, count=1, row_hash="second"),),
        )
    )
    assert history.predictions("wyscout:1", 0, 10) == [first, new]
    assert history.prediction(first.prediction_id) == first
    assert [history.feature_snapshot(f"sha256:{n}") for n in (1, 2)] == [b"first", b"new"]
    assert history.heads("wyscout:1") == [head]


def test_a_row_twice_in_one_batch_is_stored_once(history: AnyHistory) -> None:
    row = a_prediction("wyscout:1", 1)
    event = EventRow(match_id="wyscout:1", partition=0, offset=4, value=b"goal")
    history.write(HistoryBatch(predictions=(row, row), events=(event, event)))
    assert history.predictions("wyscout:1", 0, 10) == [row]


def test_matches_are_those_with_predictions_sorted(history: AnyHistory) -> None:
    history.write(predictions(*(a_prediction(match_id, seq) for match_id in ("b:2", "a:10", "a:1") for seq in (1, 2))))
    history.write(HistoryBatch(heads=(ChainHeadRow(match_id="c:1", seq=1, count=0, row_hash=""),)))
    assert history.matches() == ["a:1", "a:10", "b:2"]


def test_chain_heads_come_by_seq(history: AnyHistory) -> None:
    heads = [ChainHeadRow(match_id="wyscout:1", seq=seq, count=seq // 2, row_hash=f"{seq}") for seq in (40, 8, 12)]
    history.write(HistoryBatch(heads=tuple(heads)))
    assert history.heads("wyscout:1") == sorted(heads, key=lambda head: head.seq)


def test_each_consumer_has_offsets_of_its_own_per_partition(
    history: AnyHistory, open_another: Callable[[], AnyHistory]
) -> None:
    history.commit("history", {0: 5, 1: 9})
    history.commit("history", {0: 6})
    history.commit("training", {0: 2})
    assert open_another().offsets("history") == {0: 6, 1: 9}
    assert open_another().offsets("training") == {0: 2}


def test_what_ifs_are_kept_by_replica_and_batch(history: AnyHistory, open_another: Callable[[], AnyHistory]) -> None:
    history.write_what_ifs("one", 0, b"one 0")
    history.write_what_ifs("one", 1, b"one 1")
    history.write_what_ifs("two", 0, b"two 0")
    history.write_what_ifs("one", 0, b"one 0")
    found = open_another()
    assert [found.what_ifs("one", 0), found.what_ifs("one", 1), found.what_ifs("two", 0)] == [
        b"one 0",
        b"one 1",
        b"two 0",
    ]


ROWS = st.lists(st.tuples(st.sampled_from(["a:1", "b:2"]), st.integers(0, 6), st.binary(max_size=4)), max_size=6)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(ROWS, max_size=6), again=st.data())
def test_writing_any_batch_again_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int, bytes]]], again: st.DataObject
) -> None:
    for twin in HISTORIES:
        history = open_history(twin, str(tmp_path_factory.mktemp("model")))
        model: dict[tuple[str, int], PredictionRow] = {}
        for number, batch in enumerate(batches):
            for match_id, seq, forecast in batch:
                model.setdefault((match_id, seq), a_prediction(match_id, seq, forecast))
            history.write(predictions(*(a_prediction(*row) for row in batch)))
            repeated = again.draw(st.integers(0, number))
            history.write(predictions(*(a_prediction(*row) for row in batches[repeated])))
        for match_id in ("a:1", "b:2"):
            expected = [row for (owner, _), row in sorted(model.items()) if owner == match_id]
            assert history.predictions(match_id, -1, 100) == expected
        history.close()


def test_processes_write_and_read_at_once(twin: str, place: str, history: AnyHistory) -> None:
    count = 60 * BATCH
    with (
        spawned(children.write_history, twin, place, "a:1", count) as one,
        spawned(children.write_history, twin, place, "b:2", count) as two,
    ):
        seen = 0
        while one.is_alive() or two.is_alive():
            rows = history.predictions("a:1", -1, count)
            assert [row.seq for row in rows] == list(range(len(rows))), "whole batches, in order"
            assert len(rows) >= seen and len(rows) % BATCH == 0
            seen = len(rows)
        finish(one, two)
    assert [len(history.predictions(match_id, -1, 1_000)) for match_id in history.matches()] == [count, count]
    assert history.what_ifs("b:2", count - BATCH) == b"what if"


def test_a_killed_writer_leaves_whole_batches_and_offsets_not_ahead_of_them(
    twin: str, place: str, tmp_path: Path
) -> None:
    notes = tmp_path / "acknowledged"
    notes.touch()
    with spawned(children.write_history_until_killed, twin, place, str(notes)):
        eventually(lambda: notes.stat().st_size > 200, timeout_s=60)
    history = open_history(twin, place)
    rows = history.predictions("wyscout:1", -1, 100_000)
    last_acknowledged = int(notes.read_text().splitlines()[-1])
    batches = len(rows) // BATCH
    assert len(rows) % BATCH == 0 and len(rows) >= last_acknowledged + BATCH
    assert rows == [row for n in range(batches) for row in a_batch("wyscout:1", n * BATCH, BATCH).predictions]
    assert len(history.heads("wyscout:1")) == batches
    assert last_acknowledged + BATCH <= history.offsets("history")[0] <= len(rows)
    history.close()
