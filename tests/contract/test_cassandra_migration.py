"""A keyspace comes to the schema of this version, once, whoever else tries and whatever happened before."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.adapters.cassandra_connect import connect
from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.cassandra_snapshots import CassandraSnapshots
from actors.domain.errors import SetupError
from cluster.migrate import SCHEMA_FOLDER, migrate
from conf.stores import CassandraStoreConfig
from tests.contract import real_cassandra
from tests.contract.children import a_batch, a_snapshot

pytestmark = pytest.mark.real_store

ONE = "-- one; of two\nCREATE TABLE IF NOT EXISTS one (a int PRIMARY KEY);\n"
TWO = "CREATE TABLE IF NOT EXISTS two (a int PRIMARY KEY);\nCREATE TABLE IF NOT EXISTS more (a int PRIMARY KEY);\n"

Run = Callable[[str], Any]


@pytest.fixture
def config(tmp_path: Path) -> CassandraStoreConfig:
    name = "".join(letter for letter in tmp_path.name.lower() if letter.isalnum())[:40]
    return replace(real_cassandra.configured(), keyspace=f"m_{name}")


@pytest.fixture
def run(config: CassandraStoreConfig) -> Iterator[Run]:
    """Run a statement; what the test made is dropped behind it."""
    cluster, session = connect(config, 30.0, lambda *_: None)
    session.execute(f"DROP KEYSPACE IF EXISTS {config.keyspace}")
    yield session.execute
    session.execute(f"DROP KEYSPACE IF EXISTS {config.keyspace}")
    cluster.shutdown()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A schema of two small files."""
    folder = tmp_path / "schema"
    folder.mkdir()
    shutil.copy(SCHEMA_FOLDER / "000_schema_version.cql", folder)
    (folder / "001_one.cql").write_text(ONE)
    (folder / "002_two.cql").write_text(TWO)
    return folder


def tables(run: Run, config: CassandraStoreConfig) -> set[str]:
    rows = run(f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{config.keyspace}'")
    return {name for (name,) in rows}


def test_a_new_keyspace_gets_the_whole_schema_once_and_the_stores_can_use_it(
    config: CassandraStoreConfig, run: Run
) -> None:
    with pytest.raises(SetupError, match="migrate it first"):
        CassandraSnapshots(config)
    assert migrate(config) == ["001_history.cql", "002_snapshots.cql", "003_records.cql"]
    assert migrate(config) == []
    [(replication,)] = run(f"SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{config.keyspace}'")
    assert replication["class"].endswith("NetworkTopologyStrategy") and replication["datacenter1"] == "1"
    history, snapshots = CassandraHistory(config), CassandraSnapshots(config)
    history.write(a_batch("a:1", 0, 3))
    snapshots.save(a_snapshot(1, 1))
    assert history.matches() == ["a:1"] and snapshots.load("wyscout:1") == a_snapshot(1, 1)
    history.close()
    snapshots.close()


def test_two_that_migrate_at_once_apply_each_file_once_between_them(
    config: CassandraStoreConfig, run: Run, small: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        applied = list(pool.map(lambda _: migrate(config, small), range(2)))
    assert sorted(name for names in applied for name in names) == ["001_one.cql", "002_two.cql"]
    assert tables(run, config) == {"schema_version", "one", "two", "more"}


def test_a_file_that_is_new_is_applied_and_those_before_it_are_not_again(
    config: CassandraStoreConfig, run: Run, small: Path
) -> None:
    migrate(config, small)
    (small / "003_three.cql").write_text("CREATE TABLE IF NOT EXISTS three (a int PRIMARY KEY);")
    assert migrate(config, small) == ["003_three.cql"]
    assert "three" in tables(run, config)


@pytest.mark.usefixtures("run")
def test_a_file_that_was_changed_after_it_was_applied_is_refused_by_its_name(
    config: CassandraStoreConfig, small: Path
) -> None:
    migrate(config, small)
    (small / "001_one.cql").write_text(ONE.replace("a int", "a bigint"))
    with pytest.raises(SetupError, match=r"001_one\.cql was changed after it was applied"):
        migrate(config, small)


@pytest.mark.usefixtures("run")
def test_the_comments_of_a_file_may_be_improved_at_any_time(config: CassandraStoreConfig, small: Path) -> None:
    migrate(config, small)
    (small / "001_one.cql").write_text(ONE.replace("-- one; of two", "-- a better reason; and why") + "-- the end")
    assert migrate(config, small) == []


@pytest.mark.usefixtures("run")
def test_a_keyspace_of_a_newer_version_is_refused_by_this_one(config: CassandraStoreConfig, small: Path) -> None:
    migrate(config, small)
    (small / "002_two.cql").unlink()
    with pytest.raises(SetupError, match=r"has schema 2 \(002_two\.cql\), this version of Touchline knows up to 1"):
        migrate(config, small)


def test_a_file_that_fails_halfway_is_not_applied_and_begun_again_when_it_was_put_right(
    config: CassandraStoreConfig, run: Run, small: Path
) -> None:
    (small / "002_two.cql").write_text(TWO.replace("more (a int", "more (a no_such_type"))
    with pytest.raises(SetupError, match=r"the migration of .* failed") as failed:
        migrate(config, small)
    assert "\n" not in str(failed.value)
    assert tables(run, config) == {"schema_version", "one", "two"}
    (small / "002_two.cql").write_text(TWO)
    assert migrate(config, small) == ["002_two.cql"]
    assert "more" in tables(run, config)


def test_the_lock_of_one_that_died_ends_by_itself(config: CassandraStoreConfig, run: Run, small: Path) -> None:
    migrate(config, small)
    (small / "003_three.cql").write_text("CREATE TABLE IF NOT EXISTS three (a int PRIMARY KEY);")
    run(
        f"INSERT INTO {config.keyspace}.schema_version (component, number, owner) VALUES ('touchline', 0, 'dead') "
        "IF NOT EXISTS USING TTL 2"
    )
    assert migrate(config, small) == ["003_three.cql"]


def test_a_keyspace_that_was_dropped_can_be_made_again(config: CassandraStoreConfig, run: Run, small: Path) -> None:
    for _ in range(2):
        assert migrate(config, small) == ["001_one.cql", "002_two.cql"]
        run(f"DROP KEYSPACE {config.keyspace}")


def test_nobody_to_migrate_is_said_in_one_sentence(config: CassandraStoreConfig) -> None:
    with pytest.raises(SetupError, match="could not be reached: tried to connect for"):
        migrate(replace(config, port=1, connect_timeout_s=1.0))
