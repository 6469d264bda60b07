"""A data folder of an older version is brought up to date in place, whole or not at all."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from actors.adapters.embedded_records import _WHAT_IFS
from actors.adapters.embedded_stores import SqliteHistory
from actors.adapters.sqlite import Database
from actors.domain.errors import SetupError
from actors.domain.ports import ActivityRow

UPGRADES = {1: "CREATE TABLE more (n INTEGER); CREATE INDEX more_n ON more (n);", 2: "CREATE TABLE most (n INTEGER);"}


def an_old_file(path: Path) -> None:
    database = Database(path, "CREATE TABLE rows (n INTEGER);", version=1)
    with database.writing("write") as connection:
        connection.execute("INSERT INTO rows VALUES (7)")
    database.close()


def tables(path: Path) -> tuple[int, set[str]]:
    """Return a file's version and its tables."""
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    return version, names


def test_what_ifs_of_version_1_stay_and_models_and_activity_come_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "history-what-ifs.db"
    old = Database(path, _WHAT_IFS, version=1)
    with old.writing("write") as connection:
        connection.execute("INSERT INTO what_ifs VALUES ('replica', 3, 'kept')")
    old.close()
    history = SqliteHistory(tmp_path / "history.db")
    assert history.what_ifs("replica", 3) == "kept"
    history.write_model("net-1", b"{}", b"weights")
    assert history.model_versions() == ["net-1"]
    history.close()
    assert tables(path) == (2, {"what_ifs", "models", "activity"})


def test_a_file_goes_through_every_version_on_the_way(tmp_path: Path) -> None:
    an_old_file(tmp_path / "old.db")
    database = Database(tmp_path / "old.db", "", version=3, upgrades=UPGRADES)
    with database.reading("read") as connection:
        assert connection.execute("SELECT n FROM rows").fetchall() == [(7,)]
    database.close()
    assert tables(tmp_path / "old.db") == (3, {"rows", "more", "most"})


def test_many_that_open_an_old_file_at_once_upgrade_it_once(tmp_path: Path) -> None:
    an_old_file(tmp_path / "old.db")
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Database(tmp_path / "old.db", "", 3, upgrades=UPGRADES), range(8)))
    for database in opened:
        database.close()
    assert tables(tmp_path / "old.db") == (3, {"rows", "more", "most"})


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    an_old_file(tmp_path / "old.db")
    broken = {1: "CREATE TABLE more (n INTEGER); CREATE TABLE rows (n INTEGER)"}
    with pytest.raises(Exception, match="already exists"):
        Database(tmp_path / "old.db", "", version=2, upgrades=broken)
    assert tables(tmp_path / "old.db") == (1, {"rows"})


@pytest.mark.parametrize("version", [2, 5])
def test_a_version_that_no_upgrade_leads_from_is_refused(tmp_path: Path, version: int) -> None:
    an_old_file(tmp_path / "old.db")
    connection = sqlite3.connect(tmp_path / "old.db")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(SetupError, match=f"has format {version}, this version of Touchline reads format 4"):
        Database(tmp_path / "old.db", "", version=4, upgrades={1: UPGRADES[1]})


def test_activity_is_kept_for_thirty_days(tmp_path: Path) -> None:
    history = SqliteHistory(tmp_path / "history.db")
    newest = datetime(2026, 5, 31, 12, tzinfo=UTC)
    rows = [
        ActivityRow(tenant="acme", at=at, key_id="k", route="/", status=200, replica="r", count=1)
        for at in (newest - timedelta(days=30, minutes=1), newest - timedelta(days=30), newest)
    ]
    for row in rows:
        history.write_activity([row])
    assert history.activity("acme", date(2026, 5, 1)) == [rows[1]]
    assert history.activity("acme", date(2026, 5, 31)) == [rows[2]]
    history.close()
