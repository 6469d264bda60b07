"""Walking a match's hash chain: whatever is done to history, the first row that is wrong is named."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.domain.chain import Fault, check_chain
from actors.domain.forecast import GENESIS, Forecast, decode_published, encode_published, feature_snapshot, row_hash
from actors.domain.ports import ChainHeadRow, PredictionRow
from tests.unit.audited import MATCH, a_played_match, open_history, rechained

Rows = list[PredictionRow]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, list[ChainHeadRow], dict[str, bytes]]:
    """What history has of a played match: rows, heads, feature snapshots."""
    folder = tmp_path_factory.mktemp("chain")
    a_played_match(folder)
    history = open_history(folder)
    rows, heads = history.predictions(MATCH, -1, 1_000), history.heads(MATCH)
    snapshots = {row.feature_snapshot_id: history.feature_snapshot(row.feature_snapshot_id) or b"" for row in rows}
    history.close()
    assert len(rows) > 10
    assert heads[-1].count == len(rows)
    return rows, heads, snapshots


@pytest.fixture
def rows(kept: tuple[Rows, list[ChainHeadRow], dict[str, bytes]]) -> Rows:
    return list(kept[0])


@pytest.fixture
def check(
    kept: tuple[Rows, list[ChainHeadRow], dict[str, bytes]],
) -> Callable[..., tuple[int, Fault | None]]:
    """Check rows against the heads that the match really had, or others."""

    def run(
        rows: Sequence[PredictionRow],
        heads: Sequence[ChainHeadRow] | None = None,
        snapshots: dict[str, bytes] | None = None,
    ) -> tuple[int, Fault | None]:
        return check_chain(rows, kept[1] if heads is None else heads, (snapshots or kept[2]).get)

    return run


Check = Callable[..., tuple[int, Fault | None]]


def fault_of(result: tuple[int, Fault | None]) -> Fault:
    assert result[1] is not None
    return result[1]


def test_what_was_published_holds(rows: Rows, check: Check) -> None:
    assert check(rows) == (len(rows), None)
    assert check([], heads=[]) == (0, None)


def test_a_changed_value_is_named(rows: Rows, check: Check) -> None:
    forecast = _forecast(rows[5])
    home = forecast.markets.one_x_two.home
    changed = replace(forecast.markets, one_x_two=replace(forecast.markets.one_x_two, home=home * (1 + 2**-52)))
    rows[5] = replace(rows[5], forecast=encode_published(replace(forecast, markets=changed)))
    count, fault = check(rows)
    assert count == 5
    assert fault == Fault(
        prediction_id=rows[5].prediction_id, problem="changed: its content does not have the hash that it states"
    )


def test_a_removed_row_is_noticed_at_the_one_behind_it(rows: Rows, check: Check) -> None:
    behind = rows[6].prediction_id
    del rows[5]
    fault = fault_of(check(rows))
    assert fault.prediction_id == behind
    assert "a row before it was removed" in fault.problem


def test_a_tail_that_was_cut_off_is_named_by_the_head_that_the_log_has(rows: Rows, check: Check) -> None:
    last = rows.pop()
    count, fault = check(rows)
    assert count == len(rows)
    assert fault is not None
    assert fault.prediction_id == last.prediction_id
    assert fault.problem.startswith(f"removed: the log says {len(rows) + 1} rows up to seq {last.seq}")


def test_a_match_that_was_removed_whole_is_named(rows: Rows, check: Check) -> None:
    assert fault_of(check([])).prediction_id == rows[-1].prediction_id


def test_rows_that_were_swapped_are_named(rows: Rows, check: Check) -> None:
    rows[4], rows[5] = rows[5], rows[4]
    assert fault_of(check(rows)).prediction_id == rows[4].prediction_id
    contents_swapped = list(rows)
    contents_swapped[4], contents_swapped[5] = (
        replace(rows[5], forecast=rows[4].forecast),
        replace(rows[4], forecast=rows[5].forecast),
    )
    fault = fault_of(check(contents_swapped))
    assert fault.prediction_id == rows[5].prediction_id
    assert fault.problem == "changed: its columns do not say what its content says"


def test_a_row_that_comes_twice_is_named(rows: Rows, check: Check) -> None:
    rows.insert(5, rows[4])
    fault = fault_of(check(rows))
    assert fault == Fault(
        prediction_id=rows[4].prediction_id, problem=f"moved: seq {rows[4].seq} comes behind {rows[4].seq}"
    )


def test_a_row_that_was_changed_and_hashed_anew_is_noticed_at_the_one_behind_it(rows: Rows, check: Check) -> None:
    """A forger who changes a row must hash it anew, and then the next one does not follow it."""
    moved = replace(_forecast(rows[5]), reasons=("forged",))
    [rows[5]] = rechained([replace(rows[5], forecast=encode_published(moved))], rows[4].row_hash)
    assert fault_of(check(rows)).prediction_id == rows[6].prediction_id


@pytest.mark.parametrize("from_row", [0, 5, -1])
def test_a_suffix_that_was_replaced_and_hashed_anew_is_caught_by_the_heads(
    rows: Rows, check: Check, from_row: int
) -> None:
    at = from_row % len(rows)
    forged = rechained(rows[at:], rows[at - 1].row_hash if at else GENESIS, status="GAP")
    fault = fault_of(check([*rows[:at], *forged]))
    assert fault.prediction_id == rows[-1].prediction_id
    assert fault.problem.startswith(f"replaced: the log's head at seq {rows[-1].seq}")


def test_rows_inserted_before_a_head_are_caught_by_its_count(rows: Rows, check: Check) -> None:
    heads = [ChainHeadRow(match_id=MATCH, seq=rows[-1].seq, count=len(rows) - 1, row_hash=rows[-1].row_hash)]
    assert fault_of(check(rows, heads=heads)).problem.startswith("replaced")


def test_a_row_that_a_head_names_and_history_has_not_is_named(rows: Rows, check: Check) -> None:
    gone = rows[5]
    heads = [ChainHeadRow(match_id=MATCH, seq=gone.seq, count=6, row_hash=gone.row_hash)]
    shortened = [*rows[:5], *rechained(rows[6:], rows[4].row_hash)]
    fault = fault_of(check(shortened, heads=heads))
    assert fault == Fault(prediction_id=gone.prediction_id, problem="removed: the log has it")


def test_a_changed_or_removed_feature_snapshot_names_the_first_row_that_rests_on_it(
    rows: Rows, check: Check, kept: tuple[Rows, list[ChainHeadRow], dict[str, bytes]]
) -> None:
    row = rows[7]
    changed = {**kept[2], row.feature_snapshot_id: kept[2][row.feature_snapshot_id].replace(b"1", b"2", 1)}
    fault = fault_of(check(rows, snapshots=changed))
    assert fault.prediction_id == row.prediction_id
    assert "was changed" in fault.problem
    del changed[row.feature_snapshot_id]
    fault = fault_of(check(rows, snapshots=changed))
    assert fault.prediction_id == row.prediction_id
    assert "was removed" in fault.problem


def test_a_snapshot_that_is_exchanged_for_another_is_noticed(rows: Rows, check: Check) -> None:
    other = feature_snapshot(_forecast(rows[9]).inputs)[0]
    forecast = replace(_forecast(rows[5]), feature_snapshot_id=other)
    rows[5] = replace(rows[5], forecast=encode_published(forecast), feature_snapshot_id=other)
    assert fault_of(check(rows)).prediction_id == rows[5].prediction_id


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"\xff\xfe", b'{"type":"pulse"}', b"null"])
def test_a_row_that_is_no_forecast_any_more_is_named(rows: Rows, check: Check, content: bytes) -> None:
    rows[3] = replace(rows[3], forecast=content)
    count, fault = check(rows)
    assert (count, fault and fault.prediction_id) == (3, rows[3].prediction_id)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_whatever_bit_of_a_row_is_flipped_either_it_is_named_or_the_hash_does_not_cover_it(
    kept: tuple[Rows, list[ChainHeadRow], dict[str, bytes]], data: st.DataObject
) -> None:
    rows = list(kept[0])
    at = data.draw(st.integers(0, len(rows) - 1))
    content = bytearray(rows[at].forecast)
    byte = data.draw(st.integers(0, len(content) - 1))
    content[byte] ^= 1 << data.draw(st.integers(0, 7))
    rows[at] = replace(rows[at], forecast=bytes(content))
    _, fault = check_chain(rows, kept[1], kept[2].get)
    if fault is not None:
        assert fault.prediction_id == kept[0][at].prediction_id
    else:
        flipped = _forecast(rows[at])
        assert row_hash(flipped.prev_hash, flipped) == kept[0][at].row_hash
        assert flipped.markets == _forecast(kept[0][at]).markets


def _forecast(row: PredictionRow) -> Forecast:
    forecast = decode_published(row.forecast)
    assert isinstance(forecast, Forecast)
    return forecast
