"""What history promises to its writer, its readers and the what-ifs (actors/domain/ports.py)."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from actors.domain.ports import ActivityRow, ChainHeadRow, EventRow, HistoryBatch, ModelRow, PredictionRow
from tests.conftest import eventually
from tests.contract import children
from tests.contract.children import BATCH, a_batch, a_prediction
from tests.contract.twins import ATOMIC, HISTORIES, AnyHistory, finish, open_history, spawned

EXAMPLES = {"sqlite": 40}  # of each drawn test; a server takes longer to begin anew


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
    assert history.events("wyscout:1", 0, -1, 10) == []
    assert history.activity("acme", date(2026, 5, 30)) == []


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


def events(*places: tuple[str, int, int]) -> tuple[EventRow, ...]:
    """Return feed records of (match, partition, offset)."""
    return tuple(
        EventRow(
            match_id=match_id, partition=partition, offset=offset, value=f"{match_id} {partition} {offset}".encode()
        )
        for match_id, partition, offset in places
    )


def test_events_of_a_match_come_in_the_order_of_the_log_page_by_page(history: AnyHistory) -> None:
    rows = events(*(("wyscout:1", 4, offset) for offset in (9, 3, 0, 4_999, 5_000, 123_456)))
    history.write(HistoryBatch(events=(*rows, *events(("wyscout:2", 4, 5), ("wyscout:1", 5, 4)))))
    in_order = sorted(rows, key=lambda row: row.offset)
    assert history.events("wyscout:1", 4, -1, 4) == in_order[:4]
    assert history.events("wyscout:1", 4, 4_999, 4) == in_order[4:]
    assert history.events("wyscout:1", 4, 3, 2) == in_order[2:4]
    assert history.events("wyscout:1", 4, 123_456, 10) == []
    assert history.events("wyscout:1", 4, -1, 0) == []


def test_events_of_a_match_that_moved_to_another_partition_are_kept_apart(history: AnyHistory) -> None:
    history.write(HistoryBatch(events=(before := events(("wyscout:1", 4, 7)))))
    history.write(HistoryBatch(events=(after := events(("wyscout:1", 5, 7), ("wyscout:1", 5, 8)))))
    assert history.events("wyscout:1", 4, -1, 10) == list(before)
    assert history.events("wyscout:1", 5, -1, 10) == list(after)


def test_a_feed_record_without_a_key_or_a_value_is_kept_like_any_other(history: AnyHistory) -> None:
    nameless = EventRow(match_id="", partition=4, offset=7, value=b"")
    history.write(HistoryBatch(events=(nameless, *events(("wyscout:1", 4, 8)))))
    assert history.events("", 4, -1, 10) == [nameless]


def test_predictions_far_apart_in_the_log_come_in_order_too(history: AnyHistory) -> None:
    rows = [a_prediction("wyscout:1", seq) for seq in (4_999, 5_000, 12_000, 1_000_000, 5_000_000_000)]
    history.write(predictions(*reversed(rows)))
    assert history.predictions("wyscout:1", -1, 10) == rows
    assert history.predictions("wyscout:1", 4_998, 2) == rows[:2]
    assert history.predictions("wyscout:1", 5_000, 2) == rows[2:4]
    assert history.prediction(rows[-1].prediction_id) == rows[-1]


def test_more_rows_than_one_page_or_one_mutation_has_come_whole(history: AnyHistory) -> None:
    rows = [a_prediction("wyscout:1", seq, bytes(2_000)) for seq in range(1_200)]
    history.write(predictions(*rows))
    assert history.predictions("wyscout:1", -1, 10_000) == rows
    assert history.predictions("wyscout:1", 99, 1_000) == rows[100:1_100]


def test_an_id_finds_only_the_row_that_has_it(history: AnyHistory) -> None:
    first = a_prediction("wyscout:1", 1)
    history.write(predictions(first))
    history.write(predictions(structs.replace(first, prediction_id="another id of the same row")))
    assert history.prediction(first.prediction_id) == first
    assert history.prediction("another id of the same row") is None


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


def test_the_first_what_ifs_of_a_batch_stay_and_megabytes_come_back_as_they_were(history: AnyHistory) -> None:
    records = b"".join(f'{{"match_id": "wyscout:{n}", "home": 0.{n}}}\n'.encode() for n in range(80_000))
    history.write_what_ifs("one", 0, records)
    history.write_what_ifs("one", 0, b"second")
    history.write_what_ifs("one", 1, b"")
    assert history.what_ifs("one", 0) == records
    assert history.what_ifs("one", 1) == b""


class TestModels:
    def test_a_model_comes_back_byte_for_byte_also_elsewhere(
        self, history: AnyHistory, open_another: Callable[[], AnyHistory]
    ) -> None:
        weights = Random(7).randbytes(3_000_001)
        history.write_model("net-2", b'{"seed": 2}', weights)
        history.write_model("net-1", b'{"seed": 1}', b"")
        found = open_another()
        assert found.model("net-2") == ModelRow(version="net-2", manifest=b'{"seed": 2}', content=weights)
        assert found.model("net-1") == ModelRow(version="net-1", manifest=b'{"seed": 1}', content=b"")
        assert found.model("net-3") is None
        assert found.model_versions() == ["net-1", "net-2"]

    def test_a_version_never_changes(self, history: AnyHistory) -> None:
        history.write_model("net-1", b"first", b"first weights")
        history.write_model("net-1", b"second", b"second weights, longer")
        assert history.model("net-1") == ModelRow(version="net-1", manifest=b"first", content=b"first weights")

    def test_without_models_there_are_none(self, history: AnyHistory) -> None:
        assert history.model_versions() == [] and history.model("net-1") is None


def asked(minute: int, count: int, key_id: str = "key-1", tenant: str = "acme", replica: str = "r1") -> ActivityRow:
    at = datetime(2026, 5, 30, 23, 50, tzinfo=UTC) + timedelta(minutes=minute)
    return ActivityRow(
        tenant=tenant, at=at, key_id=key_id, route="/v1/stream", status=200, replica=replica, count=count
    )


class TestActivity:
    def test_a_day_of_a_tenant_comes_by_minute_and_key(self, history: AnyHistory) -> None:
        rows = [asked(minute, minute + 1, key_id) for minute in range(10) for key_id in ("key-1", "key-2", "key-3")]
        rows += [asked(9, 5, "key-3", replica="r2")]
        others = [asked(10, 7), asked(3, 9, tenant="other")]  # the next day; another tenant
        history.write_activity([*reversed(rows), *others])
        assert history.activity("acme", date(2026, 5, 30)) == rows
        assert history.activity("acme", date(2026, 5, 31)) == others[:1]
        assert history.activity("acme", date(2026, 5, 29)) == []

    def test_a_row_that_is_written_again_replaces_its_count(self, history: AnyHistory) -> None:
        history.write_activity([])
        history.write_activity([asked(0, 3), asked(1, 1)])
        history.write_activity([asked(0, 8)])
        assert history.activity("acme", date(2026, 5, 30)) == [asked(0, 8), asked(1, 1)]

    @pytest.mark.parametrize("at", [datetime(2026, 5, 30), datetime(2026, 5, 30, 1, 2, 3, tzinfo=UTC)])
    def test_only_whole_utc_minutes_are_counted(self, at: datetime) -> None:
        with pytest.raises(ValueError, match="whole UTC minutes"):
            ActivityRow(tenant="acme", at=at, key_id="k", route="/", status=200, replica="r1", count=1)


ROWS = st.lists(st.tuples(st.sampled_from(["a:1", "b:2"]), st.integers(0, 6), st.binary(max_size=4)), max_size=6)


@pytest.mark.parametrize("twin", HISTORIES)
def test_writing_any_batch_again_changes_nothing(twin: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(max_examples=EXAMPLES.get(twin, 10), deadline=None)
    @given(batches=st.lists(ROWS, max_size=6), again=st.data())
    def check(batches: list[list[tuple[str, int, bytes]]], again: st.DataObject) -> None:
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

    check()


def test_processes_write_and_read_at_once(twin: str, place: str, history: AnyHistory) -> None:
    count = (60 if twin in ATOMIC else 20) * BATCH
    with (
        spawned(children.write_history, twin, place, "a:1", count) as one,
        spawned(children.write_history, twin, place, "b:2", count) as two,
    ):
        seen = 0
        while one.is_alive() or two.is_alive():
            rows = history.predictions("a:1", -1, count)
            assert [row.seq for row in rows] == list(range(len(rows))), "each row behind all that come before it"
            assert len(rows) >= seen and (twin not in ATOMIC or len(rows) % BATCH == 0)
            seen = len(rows)
        finish(one, two)
    assert [len(history.predictions(match_id, -1, 1_000)) for match_id in history.matches()] == [count, count]
    assert history.what_ifs("b:2", count - BATCH) == b"what if"


def test_a_killed_writer_leaves_what_was_acknowledged_and_offsets_not_ahead_of_it(
    twin: str, place: str, tmp_path: Path
) -> None:
    notes = tmp_path / "acknowledged"
    notes.touch()
    with spawned(children.write_history_until_killed, twin, place, str(notes)):
        eventually(lambda: notes.stat().st_size > 200, timeout_s=60)
    history = open_history(twin, place)
    rows = history.predictions("wyscout:1", -1, 100_000)
    last_acknowledged = int(notes.read_text().splitlines()[-1])
    expected = [row for n in range(0, len(rows), BATCH) for row in a_batch("wyscout:1", n, BATCH).predictions]
    assert rows == expected[: len(rows)] and len(rows) >= last_acknowledged + BATCH
    assert last_acknowledged + BATCH <= history.offsets("history")[0] <= len(rows)
    heads = history.heads("wyscout:1")
    assert (last_acknowledged + BATCH) // BATCH <= len(heads) <= len(rows) // BATCH
    assert all(history.feature_snapshot(row.feature_snapshot_id) == b"inputs" for row in rows)
    assert all(history.prediction(row.prediction_id) == row for row in rows[: last_acknowledged + BATCH])
    if twin in ATOMIC:
        assert len(rows) % BATCH == 0 and len(heads) == len(rows) // BATCH
    history.close()
