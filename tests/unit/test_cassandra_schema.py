"""What the schema files and the stores' statements say of each other, and the rules that no server would enforce."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.adapters import cassandra_records, cassandra_snapshots, cassandra_tables
from actors.adapters.cassandra_connect import SCHEMA
from actors.adapters.cassandra_timestamps import FIRST, FirstStays, fence
from actors.domain.errors import StoreError
from cluster.migrate import read_schema, statements_of

TABLES = {statement.split()[5]: " ".join(statement.split()) for file in read_schema() for statement in file.statements}
STATEMENTS = (
    *cassandra_tables.HISTORY,
    *cassandra_records.RECORDS,
    cassandra_snapshots._SAVE,
    cassandra_snapshots._LOAD,
)
WINDOWED = {name for name, text in TABLES.items() if "TimeWindowCompactionStrategy" in text}


def writes(table: str) -> list[str]:
    return [cql for cql in STATEMENTS if cql.startswith(f"INSERT INTO {{keyspace}}.{table} ")]


def test_the_stores_need_the_newest_file_and_files_are_numbered_without_gaps() -> None:
    assert [file.number for file in read_schema()] == list(range(SCHEMA + 1))


def test_every_statement_of_the_schema_may_be_repeated() -> None:
    statements = [statement for file in read_schema() for statement in file.statements]
    assert all(statement.startswith("CREATE TABLE IF NOT EXISTS ") for statement in statements)


def test_every_table_says_how_it_is_compacted() -> None:
    for file in read_schema():
        for statement in file.statements:
            assert "compaction = {'class': '" in statement, file.name


@pytest.mark.parametrize("table", sorted(WINDOWED))
def test_tables_in_time_windows_have_one_ttl_few_windows_and_the_time_of_the_clock(table: str) -> None:
    ttl = re.search(r"default_time_to_live = (\d+)", TABLES[table])
    days = re.search(r"'DAYS', 'compaction_window_size': (\d+)", TABLES[table])
    assert ttl and days and int(ttl[1]) / 86_400 / int(days[1]) < 50
    assert "read_repair = 'NONE'" in TABLES[table]
    assert writes(table) and not any("USING" in cql for cql in writes(table))


@pytest.mark.parametrize("table", sorted(set(TABLES) - WINDOWED - {"event_buckets"}))
def test_no_other_table_expires(table: str) -> None:
    assert "default_time_to_live" not in TABLES[table]


FIRST_STAYS = ("predictions", "predictions_by_id", "chain_heads", "feature_snapshots", "what_ifs", "models")


@pytest.mark.parametrize("table", FIRST_STAYS)
def test_rows_of_which_the_first_stays_are_written_with_a_timestamp_of_their_own(table: str) -> None:
    assert [cql.endswith("USING TIMESTAMP ?") for cql in writes(table)] == [True]


def test_every_table_is_written_and_read() -> None:
    for table in set(TABLES) - {"schema_version"}:
        assert writes(table), table
        assert any(f" FROM {{keyspace}}.{table} WHERE " in cql for cql in STATEMENTS), table


def test_no_statement_reads_without_a_whole_partition_key() -> None:
    for cql in STATEMENTS:
        if not cql.startswith("SELECT"):
            continue
        [table] = re.findall(r"FROM \{keyspace\}\.(\w+)", cql)
        [key] = re.findall(r"PRIMARY KEY \(\(([^)]+)\)", TABLES[table])
        where = cql.split(" WHERE ")[1]
        assert all(re.search(rf"\b{column.strip()} = \?", where) for column in key.split(",")), cql


def test_comments_are_no_statements() -> None:
    assert statements_of("-- a; b\nCREATE x; -- c\n\n  CREATE y (\n a int -- d\n);\n--") == (
        "CREATE x",
        "CREATE y (\n a int \n)",
    )


@given(
    one=st.tuples(st.integers(0, 2**22 - 1), st.integers(0, 2**40 - 1)),
    other=st.tuples(st.integers(0, 2**22 - 1), st.integers(0, 2**40 - 1)),
)
def test_a_fence_is_ordered_like_epoch_and_offset(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (fence(*one) < fence(*other)) == (one < other)
    assert 0 <= fence(*one) < 2**63 - 1


@pytest.mark.parametrize(("epoch", "offset"), [(-1, 0), (0, -1), (2**22, 0), (0, 2**40)])
def test_an_epoch_or_offset_out_of_range_is_refused_rather_than_wrapped(epoch: int, offset: int) -> None:
    with pytest.raises(StoreError, match="2\\^22"):
        fence(epoch, offset)


@given(times=st.lists(st.integers(0, 2**62), min_size=2, max_size=20))
def test_timestamps_of_which_the_first_stays_fall_whatever_the_clock_does(times: list[int]) -> None:
    clock = iter(times)
    stays = FirstStays(lambda: next(clock))
    given_out = [stays.timestamp() for _ in times]
    assert given_out == sorted(given_out, reverse=True) and len(set(given_out)) == len(given_out)
    assert all(0 < timestamp < FIRST for timestamp in given_out)


def test_a_later_process_loses_against_an_earlier_one() -> None:
    assert FirstStays(lambda: 1_000_000).timestamp() > FirstStays(lambda: 2_000_000).timestamp()


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20_000)), max_size=40)


@given(rows=ROWS)
def test_grouping_keeps_every_row_in_order(rows: list[tuple[str, int]]) -> None:
    groups = cassandra_tables.by_key(rows, lambda row: row[0])
    assert sorted(row for group in groups.values() for row in group) == sorted(rows)
    for name, group in groups.items():
        assert group == [row for row in rows if row[0] == name]
    assert cassandra_tables.first_of_each(rows, lambda row: row[0]) == [group[0] for group in groups.values()]
