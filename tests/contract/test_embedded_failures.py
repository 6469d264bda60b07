"""What only the embedded twins can meet: full disks, folders that cannot be written, damaged files, bells that fail.

The twins for servers have failures of their own; what all of them promise is in the files beside this one.
"""

import os
import resource
import signal
import sqlite3 as driver
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.adapters import sqlite
from actors.adapters.bell import Bell
from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory, SqliteSnapshots
from actors.domain.errors import OffsetOutOfRange, SetupError, StoreError, StoreUnavailable
from actors.domain.ports import EventRow, HistoryBatch, NewRecord
from tests.conftest import eventually
from tests.contract import children
from tests.contract.children import a_batch, a_snapshot
from tests.contract.twins import TOPIC, finish, open_log, spawned

COUNTS = {TOPIC: 48}
NOBODY = 65534


def a_record(value: bytes = b"goal") -> list[NewRecord]:
    return [NewRecord(key="wyscout:1", value=value)]


def open_and_save(folder: Path) -> None:
    SqliteSnapshots(folder / "snapshots.db").save(a_snapshot(1, 1))


def open_and_write(folder: Path) -> None:
    SqliteHistory(folder / "history.db").write(a_batch("wyscout:1", 0, 1))


def open_and_append(folder: Path) -> None:
    SqliteLog(folder / "log", COUNTS).append(TOPIC, 0, a_record())


OPENERS = pytest.mark.parametrize("use", [open_and_append, open_and_save, open_and_write])


def refused_at_start(use: Callable[[Path], None], folder: Path) -> None:
    """Run as somebody who may not write; ends well if that is said in one sentence."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    with pytest.raises(SetupError, match=r"data folder .* cannot be") as refused:
        use(folder)
    assert "\n" not in str(refused.value)


class TestFolders:
    @OPENERS
    def test_a_folder_that_cannot_be_written_is_refused_at_start(self, use: Callable[[Path], None]) -> None:
        # /sys is a file system that nobody can write; pytest's own folders are closed to other users altogether
        with spawned(refused_at_start, use, Path("/sys/kernel")) as process:
            finish(process)

    @OPENERS
    def test_a_file_where_the_folder_should_be_is_refused_at_start(
        self, tmp_path: Path, use: Callable[[Path], None]
    ) -> None:
        (tmp_path / "data").write_text("not a folder")
        with pytest.raises(SetupError, match="cannot be used"):
            use(tmp_path / "data")

    def test_a_file_that_cannot_be_written_is_refused_at_start(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # not under tmp_path, which other users cannot enter
            Path(folder).chmod(0o777)
            open_and_save(Path(folder))
            (Path(folder) / "snapshots.db").chmod(0o444)
            with spawned(refused_at_start, open_and_save, Path(folder)) as process:
                finish(process)

    def test_only_partitions_that_were_written_have_database_files(self, tmp_path: Path) -> None:
        log = SqliteLog(tmp_path, COUNTS)
        log.append(TOPIC, 7, a_record())
        log.read(TOPIC, dict.fromkeys(range(48), 0), 10, wait_s=0)
        log.end_offsets(TOPIC)
        log.close()
        assert [path.name for path in (tmp_path / TOPIC).glob("*.db")] == ["007.db"]

    def test_a_process_that_creates_a_file_second_keeps_the_first_ones_rows(self, tmp_path: Path) -> None:
        path, schema = tmp_path / "rows.db", "CREATE TABLE rows (n INTEGER);"
        first = sqlite.Database(path, schema, version=1)
        with first.writing("write") as connection:
            connection.execute("INSERT INTO rows VALUES (1)")
        sqlite._create(path, schema, 1, sqlite.PAGE_BYTES)  # what a process does that saw no file a moment ago
        second = sqlite.Database(path, schema, version=1)
        with second.reading("read") as connection:
            assert connection.execute("SELECT n FROM rows").fetchall() == [(1,)]
        first.close()
        second.close()
        assert [name.name for name in tmp_path.iterdir()] == ["rows.db"]

    def test_one_read_shares_itself_out_among_the_partitions(self, tmp_path: Path) -> None:
        log = SqliteLog(tmp_path, COUNTS)
        log.append(TOPIC, 0, a_record() * 100)
        for quiet in (1, 2, 3):
            log.append(TOPIC, quiet, a_record())
        found = log.read(TOPIC, dict.fromkeys(range(48), 0), 20, wait_s=0)
        assert Counter(record.partition for record in found) == {0: 17, 1: 1, 2: 1, 3: 1}
        log.close()


class TestDamage:
    @pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 8_000])
    def test_a_damaged_store_is_refused_at_start(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "snapshots.db").write_bytes(content)
        with pytest.raises(SetupError, match="cannot be used"):
            SqliteSnapshots(tmp_path / "snapshots.db")

    def test_a_damaged_partition_is_not_worth_retrying_and_harms_no_other(self, tmp_path: Path) -> None:
        log = SqliteLog(tmp_path, COUNTS)
        (tmp_path / TOPIC / "003.db").write_bytes(b"this is no database " * 500)
        with pytest.raises(StoreError, match="damaged") as refused:
            log.append(TOPIC, 3, a_record())
        assert not isinstance(refused.value, StoreUnavailable)
        assert log.append(TOPIC, 4, a_record()) == [0]
        log.close()

    def test_a_file_of_another_format_is_refused_by_its_number(self, tmp_path: Path) -> None:
        SqliteSnapshots(tmp_path / "snapshots.db").close()
        connection = driver.connect(tmp_path / "snapshots.db")
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        with pytest.raises(SetupError, match="format 99"):
            SqliteSnapshots(tmp_path / "snapshots.db")

    @pytest.mark.parametrize(("topic", "count"), [("../feed", 1), ("", 1), ("feed.v1", 0)])
    def test_impossible_topics_are_refused(self, tmp_path: Path, topic: str, count: int) -> None:
        with pytest.raises(SetupError, match="plain name"):
            SqliteLog(tmp_path, {topic: count})


def append_until_the_disk_is_full(folder: str, limit_bytes: int) -> None:
    """Meet a limit on file size instead of a full disk: any user can set it, and lift it again."""
    log = open_log("sqlite", folder)
    log.append(TOPIC, 0, a_record(b"0"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    acknowledged = 1
    with pytest.raises(StoreUnavailable):
        while True:
            log.append(TOPIC, 0, a_record(str(acknowledged).encode() + b" " * 10_000))
            acknowledged += 1
    with pytest.raises(StoreUnavailable):
        log.append(TOPIC, 0, a_record(b" " * 100_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert log.append(TOPIC, 0, a_record(str(acknowledged).encode())) == [acknowledged]
    found = children.wait_for(log, 0, 0, acknowledged + 1)
    assert [int(record.value or b"") for record in found] == list(range(acknowledged + 1))
    assert acknowledged > 10
    log.close()


def fill_the_disk(folder: Path) -> None:
    """Run on a file system of a few megabytes: every store meets the end of it, and goes on when there is room."""
    history, log = SqliteHistory(folder / "history.db"), SqliteLog(folder / "log", COUNTS)
    snapshots, written = SqliteSnapshots(folder / "snapshots.db"), 0
    snapshots.save(a_snapshot(1, 1))
    (folder / "ballast").write_bytes(b" " * 800_000)
    with pytest.raises(StoreUnavailable, match="full"):
        while True:
            history.write(a_batch("wyscout:1", written * children.BATCH, children.BATCH))
            written += 1
    with pytest.raises(OSError, match="No space"), (folder / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(b" " * 512)
    for use in (
        lambda: log.append(TOPIC, 5, a_record()),
        lambda: snapshots.save(a_snapshot(1, 9)),
        lambda: history.write_what_ifs("replica", 1, b" " * 50_000),
    ):
        with pytest.raises(StoreUnavailable, match=r"full|No space|I/O"):
            use()
    with pytest.raises(SetupError, match=r"cannot be used: .*(full|No space)"):
        SqliteSnapshots(folder / "more" / "snapshots.db")
    (folder / "ballast").unlink()
    assert len(history.predictions("wyscout:1", -1, 10_000)) == children.BATCH * written > 0
    history.write(a_batch("wyscout:1", written * children.BATCH, children.BATCH))
    assert log.append(TOPIC, 5, a_record()) == [0]
    assert snapshots.load("wyscout:1") == a_snapshot(1, 1)
    snapshots.save(a_snapshot(1, 9))


def can_mount() -> bool:
    try:
        return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class TestFullDisk:
    def test_appending_says_so_loses_nothing_and_goes_on_when_there_is_room(self, tmp_path: Path) -> None:
        with spawned(append_until_the_disk_is_full, str(tmp_path), 400_000) as process:
            finish(process)

    @pytest.mark.skipif(not can_mount(), reason="needs user namespaces to mount a small file system")
    def test_a_full_file_system_stops_every_store_loudly_and_none_for_good(self, tmp_path: Path) -> None:
        fill = "import sys, tests.contract.test_embedded_failures as t; t.fill_the_disk(t.Path(sys.argv[1]))"
        mount = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1"'
        command = ["unshare", "-Urm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, fill]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


class TestLocks:
    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)

    @pytest.mark.usefixtures("impatient")
    def test_a_file_locked_for_too_long_is_unavailable_and_then_available_again(self, tmp_path: Path) -> None:
        store = SqliteSnapshots(tmp_path / "snapshots.db")
        other = driver.connect(tmp_path / "snapshots.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.save(a_snapshot(1, 1))
        assert store.load("wyscout:1") is None, "readers do not wait for writers"
        other.execute("ROLLBACK")
        other.close()
        store.save(a_snapshot(1, 1))
        store.close()

    def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        log, store = SqliteLog(tmp_path / "log", COUNTS), SqliteSnapshots(tmp_path / "snapshots.db")
        log.close()
        store.close()
        for use in (
            lambda: store.save(a_snapshot(1, 1)),
            lambda: log.append(TOPIC, 0, a_record()),
            lambda: log.read(TOPIC, {0: 0}, 1, wait_s=1.0),
        ):
            with pytest.raises(StoreUnavailable, match="closed"):
                use()
        log.close()
        store.close()

    def test_closing_ends_a_read_that_waits(self, tmp_path: Path) -> None:
        log, outcome = SqliteLog(tmp_path, COUNTS), []

        def wait() -> None:
            try:
                log.read(TOPIC, {0: 0, 1: 0}, 1, wait_s=60.0)
            except StoreUnavailable as error:
                outcome.append(error)

        reader = threading.Thread(target=wait)
        reader.start()
        eventually(lambda: (tmp_path / TOPIC / "001.bell").exists())
        log.close()
        reader.join(timeout=30)
        assert len(outcome) == 1


def append_and_die_before_ringing(folder: str) -> None:
    Bell.ring = lambda self, end: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    open_log("sqlite", folder).append(TOPIC, 0, a_record(b"silent"))


def handles() -> int:
    """Count this process's open files."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class TestBells:
    def test_a_commit_whose_writer_was_killed_before_it_rang_is_found_all_the_same(self, tmp_path: Path) -> None:
        log = open_log("sqlite", str(tmp_path))
        log.append(TOPIC, 0, a_record())
        assert log.read(TOPIC, {0: 1}, 1, wait_s=0) == [], "now the reader trusts the bell"
        with spawned(append_and_die_before_ringing, str(tmp_path)) as process:
            found = log.read(TOPIC, {0: 1}, 1, wait_s=30.0)
            process.join()
            assert process.exitcode == -signal.SIGKILL
        assert [record.value for record in found] == [b"silent"]
        log.close()

    def test_without_inotify_a_waiting_read_is_still_woken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "inotify_simple", None)
        log, rounds = open_log("sqlite", str(tmp_path)), 20
        with spawned(children.answer_each, "sqlite", str(tmp_path), rounds) as process:
            log.append(TOPIC, 0, a_record(b"0"))
            assert children.wait_for(log, 1, 0, 1)
            began = time.monotonic()
            for number in range(1, rounds):
                log.append(TOPIC, 0, a_record(b"%d" % number))
                assert children.wait_for(log, 1, number, 1)[0].value == b"%d" % number
            assert time.monotonic() - began < rounds / 2
            finish(process)
        log.close()

    @pytest.mark.parametrize("inotify", [True, False])
    def test_a_waiting_reader_of_all_partitions_leaves_the_processor_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inotify: bool
    ) -> None:
        if not inotify:
            monkeypatch.setitem(sys.modules, "inotify_simple", None)
        log = SqliteLog(tmp_path, COUNTS)
        for partition in range(48):
            log.append(TOPIC, partition, a_record())
        positions = dict.fromkeys(range(48), 1)
        log.read(TOPIC, positions, 10, wait_s=0.05)
        wall_s, busy_s = time.monotonic(), time.process_time()
        assert log.read(TOPIC, positions, 10, wait_s=1.5) == []
        wall_s, busy_s = time.monotonic() - wall_s, time.process_time() - busy_s
        assert busy_s < wall_s / 4
        log.close()

    def test_waiting_again_and_again_does_not_use_up_file_handles(self, tmp_path: Path) -> None:
        log = SqliteLog(tmp_path, COUNTS)
        log.read(TOPIC, {0: 0, 1: 0}, 1, wait_s=0.01)
        before = handles()
        for _ in range(30):
            log.read(TOPIC, {0: 0, 1: 0}, 1, wait_s=0.001)
        assert handles() == before
        log.close()


class TestPruning:
    def test_records_older_than_an_instant_go_and_the_rest_stays(self, tmp_path: Path) -> None:
        began = datetime(2026, 5, 1, tzinfo=UTC)
        clock = [began]
        log = SqliteLog(tmp_path, COUNTS, now=lambda: clock[0])
        for hour in range(6):
            clock[0] = began + timedelta(hours=hour)
            log.append(TOPIC, 0, a_record(b"%d" % hour))
        log.append(TOPIC, 1, a_record(b"late"))
        log.prune_older(TOPIC, began + timedelta(hours=4))
        assert [(r.offset, r.appended_at.hour) for r in log.read(TOPIC, {0: 4}, 10, wait_s=0)] == [(4, 4), (5, 5)]
        assert len(log.read(TOPIC, {1: 0}, 10, wait_s=0)) == 1
        with pytest.raises(OffsetOutOfRange):
            log.read(TOPIC, {0: 0}, 10, wait_s=0)
        log.prune_older(TOPIC, began + timedelta(days=1))
        assert log.append(TOPIC, 0, a_record()) == [6]
        log.close()

    def test_pruning_never_goes_beyond_the_end_nor_back(self, tmp_path: Path) -> None:
        log = SqliteLog(tmp_path, COUNTS)
        log.append(TOPIC, 0, a_record())
        log.prune(TOPIC, 0, 1_000)
        log.prune(TOPIC, 0, 0)
        log.prune(TOPIC, 9, 1_000)
        assert log.append(TOPIC, 0, a_record()) == [1]
        assert len(log.read(TOPIC, {0: 1}, 10, wait_s=0)) == 1
        assert log.append(TOPIC, 9, a_record()) == [0]
        log.close()


def test_feed_records_are_kept_once_by_their_place_in_the_log(tmp_path: Path) -> None:
    """No port reads them back yet, so this looks into the file."""
    history = SqliteHistory(tmp_path / "history.db")
    rows = [EventRow(match_id="wyscout:1", partition=2, offset=n, value=b"event %d" % n) for n in range(3)]
    history.write(HistoryBatch(events=tuple(rows[:2])))
    history.write(HistoryBatch(events=(*rows, EventRow(match_id="wyscout:1", partition=2, offset=0, value=b"other"))))
    history.close()
    connection = driver.connect(tmp_path / "history.db")
    found = connection.execute("SELECT match_id, partition, offset, value FROM events ORDER BY partition, offset")
    assert found.fetchall() == [(row.match_id, row.partition, row.offset, row.value) for row in rows]
    assert connection.execute("PRAGMA page_size").fetchone() == (16384,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
