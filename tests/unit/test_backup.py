"""`python -m cluster.backup`: what comes back is what was there, or it is refused; a restored history goes on whole."""

import fcntl
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.adapters.embedded_stores import SqliteHistory
from actors.domain.errors import SetupError, StoreUnavailable
from actors.domain.ports import (
    FEED,
    FORECASTS,
    ChainHeadRow,
    EventRow,
    HistoryBatch,
    MatchSnapshot,
    ModelRow,
    PredictionRow,
)
from actors.history_writer import EventCopier, ForecastCopier
from cluster.audit import verify
from cluster.backup import file as backup_file
from cluster.backup.__main__ import main
from cluster.backup.file import MANIFEST, Backup, BackupWriter, Manifest
from cluster.backup.restore import look_at_log, moved_meanwhile, put_back
from cluster.backup.save import save
from cluster.backup.tables import InputsRow, Row, decode, encode, table_of
from tests.unit.audited import (
    MATCH,
    NOW,
    a_feed,
    a_fixture,
    announce,
    copy_all,
    open_history,
    open_log,
    play,
    send,
)

OTHER = "fake:2"
COUNTS = "1 models, 32 feature snapshots, 36 predictions, 2 chain heads, 36 events"
Tool = Callable[..., tuple[int, str, str]]


def copy_events(folder: Path) -> None:
    log, history = open_log(folder), open_history(folder)
    copier = EventCopier(log, history)
    while copier.copy(0.0):
        pass
    log.close()
    history.close()


def play_and_copy(folder: Path, match_id: str, partition: int, first: int = 0, last: int | None = None) -> None:
    """Send a part of a match, have it played to there, and have history copy it."""
    log, history, fixture = open_log(folder), open_history(folder), a_fixture(match_id, partition)
    if not first:
        announce(log, fixture)
    send(log, fixture, a_feed(match_id)[first:last])
    play(log, fixture)
    copy_all(log, history)
    log.close()
    history.close()
    copy_events(folder)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two matches that were played, their feed, and a model."""
    folder = tmp_path_factory.mktemp("played")
    play_and_copy(folder, MATCH, 0)
    play_and_copy(folder, OTHER, 1)
    history = open_history(folder)
    history.write_model("net-1", b'{"seed": 1}', bytes(range(256)) * 40)
    history.close()
    return folder


@pytest.fixture(scope="module")
def saved(played: Path) -> Path:
    """A backup of it."""
    assert main(["save", str(played / "backup.zip"), "--data", str(played)]) == 0
    return played / "backup.zip"


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run the command line; return its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def rows_in(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, but for offsets."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for name, tables in {
        "history.db": ("predictions", "feature_snapshots", "heads", "events"),
        "history-what-ifs.db": ("models",),
    }.items():
        with sqlite3.connect(folder / name) as db:
            for table in tables:
                found[table] = sorted(db.execute(f"SELECT * FROM {table}").fetchall())
        db.close()
    return found


def tamper(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "history.db") as db:
        assert db.execute(statement, values).rowcount > 0
    db.close()


def sealed_again(source: Path, to: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """Write a backup with another manifest, and the right seal."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == MANIFEST:
                change(manifest := msgspec.json.decode(content))
                content = msgspec.json.encode(manifest)
            new.writestr(name, content)
        new.comment = b"sha256:" + b"0" * 64
    backup_file._seal(to)
    return to


class TestRoundTrip:
    def test_what_is_restored_is_what_was_saved(self, tool: Tool, played: Path, saved: Path, tmp_path: Path) -> None:
        code, out, err = tool("restore", saved, "--data", tmp_path / "new")
        assert (code, err) == (0, "")
        assert rows_in(tmp_path / "new") == rows_in(played)
        assert COUNTS in out
        assert out.endswith("36 forecasts hold, 0 chains are broken\n")
        assert "There is no log here yet" in out

    def test_save_says_what_it_wrote(self, tool: Tool, played: Path, tmp_path: Path) -> None:
        code, out, err = tool("save", tmp_path / "b.zip", f"data.folder={played}")
        assert (code, err) == (0, "")
        assert out.splitlines()[0] == f"Saved 2 matches: {COUNTS}"
        assert list(tmp_path.iterdir()) == [tmp_path / "b.zip"], "nothing is left beside it"

    def test_restoring_twice_changes_nothing(self, tool: Tool, saved: Path, tmp_path: Path) -> None:
        tool("restore", saved, "--data", tmp_path)
        before = rows_in(tmp_path)
        assert tool("restore", saved, "--data", tmp_path)[0] == 0
        assert rows_in(tmp_path) == before

    def test_the_first_row_of_a_key_stays_and_a_chain_that_it_breaks_is_named(
        self, tool: Tool, saved: Path, tmp_path: Path
    ) -> None:
        tool("restore", saved, "--data", tmp_path)
        history = open_history(tmp_path)
        row = history.predictions(MATCH, -1, 100)[4]
        history.close()
        tamper(tmp_path, "UPDATE predictions SET forecast = x'7b7d' WHERE prediction_id = ?", row.prediction_id)
        code, out, _ = tool("restore", saved, "--data", tmp_path)
        assert (code, f"{MATCH}: {row.prediction_id}: changed: not a forecast" in out) == (1, True)

    @pytest.mark.parametrize("when", ["save", "restore"])
    def test_feed_records_can_be_left_out(
        self, tool: Tool, played: Path, saved: Path, tmp_path: Path, when: str
    ) -> None:
        if when == "save":
            saved = tmp_path / "b.zip"
            tool("save", saved, "--without-events", "--data", played)
        words = ["--without-events"] if when == "restore" else []
        code, out, _ = tool("restore", saved, *words, "--data", tmp_path / "new")
        assert (code, "0 events" in out) == (0, True)
        assert rows_in(tmp_path / "new") == rows_in(played) | {"events": []}

    def test_any_parquet_reader_can_look_into_it(self, saved: Path) -> None:
        with zipfile.ZipFile(saved) as archive:
            assert archive.testzip() is None
            [name] = [name for name in archive.namelist() if name.startswith("predictions/")]
            table = pq.read_table(archive.open(name))
        assert table.column_names[:3] == ["prediction_id", "match_id", "seq"]
        assert table.num_rows == 36

    def test_a_long_history_is_written_in_parts_that_fit_in_memory(
        self, tool: Tool, played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backup_file, "_PART_ROWS", 3)
        tool("save", tmp_path / "b.zip", "--data", played)
        assert max(part.rows for part in Backup(tmp_path / "b.zip").manifest.parts) == 3
        monkeypatch.setattr(backup_file, "_PART_ROWS", 5_000)
        monkeypatch.setattr(backup_file, "_PART_BYTES", 1)
        tool("save", tmp_path / "c.zip", "--data", played)
        assert {part.rows for part in Backup(tmp_path / "c.zip").manifest.parts} == {1}
        for name in "bc":
            assert tool("restore", tmp_path / f"{name}.zip", "--data", tmp_path / name)[0] == 0
            assert rows_in(tmp_path / name) == rows_in(played)

    def test_an_empty_history_is_saved_and_restored_too(self, tool: Tool, tmp_path: Path) -> None:
        open_history(tmp_path / "old").close()
        assert tool("save", tmp_path / "b.zip", "--data", tmp_path / "old")[0] == 0
        code, out, _ = tool("restore", tmp_path / "b.zip", "--data", tmp_path / "new")
        assert (code, out.splitlines()[-1]) == (0, "0 forecasts hold, 0 chains are broken")

    def test_a_chain_that_was_broken_before_is_saved_as_it_is_and_named_after(
        self, tool: Tool, played: Path, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(played, tmp_path / "old"))
        history = open_history(folder)
        rows = history.predictions(MATCH, -1, 100)
        history.close()
        tamper(folder, "DELETE FROM predictions WHERE prediction_id = ?", rows[3].prediction_id)
        tamper(folder, "UPDATE feature_snapshots SET inputs = '{}' WHERE snapshot_id = ?", rows[1].feature_snapshot_id)
        tamper(folder, "DELETE FROM feature_snapshots WHERE snapshot_id = ?", rows[6].feature_snapshot_id)
        assert tool("save", tmp_path / "b.zip", "--data", folder)[0] == 0
        code, out, _ = tool("restore", tmp_path / "b.zip", "--data", tmp_path / "new")
        assert (code, f"{MATCH}: {rows[1].prediction_id}: its feature snapshot" in out) == (1, True)


class TestRefused:
    """One sentence, exit code 2, and nothing is written."""

    def refused(self, tool: Tool, path: Path, folder: Path) -> str:
        code, out, err = tool("restore", path, "--data", folder / "new")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert not (folder / "new").exists()
        return err

    @pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99, 0.9999])
    def test_a_file_that_was_cut_off(self, tool: Tool, saved: Path, tmp_path: Path, keep: float) -> None:
        content = saved.read_bytes()
        (tmp_path / "b.zip").write_bytes(content[: int(keep * len(content))])
        assert "was cut off" in self.refused(tool, tmp_path / "b.zip", tmp_path)

    def test_a_file_of_which_a_byte_was_changed_or_added(self, saved: Path, tmp_path: Path) -> None:
        content, path = saved.read_bytes(), tmp_path / "b.zip"
        for place in [*range(0, len(content), len(content) // 150), *range(len(content) - 200, len(content))]:
            path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            with pytest.raises(SetupError, match=r"not as it was written|does not end with a seal"):
                Backup(path)
        path.write_bytes(content + b"\0")
        with pytest.raises(SetupError):
            Backup(path)

    def test_a_backup_of_a_newer_version(self, tool: Tool, saved: Path, tmp_path: Path) -> None:
        newer = sealed_again(saved, tmp_path / "b.zip", lambda manifest: manifest.update(version=2, parts="elsewhere"))
        said = self.refused(tool, newer, tmp_path)
        assert said == f"{newer} is a backup of version 2, this Touchline reads up to 1; use a newer one\n"

    def test_what_is_no_backup(self, tool: Tool, saved: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            archive.writestr("a", "b")
        self.refused(tool, tmp_path / "b.zip", tmp_path)
        assert "No such file" in self.refused(tool, tmp_path / "none.zip", tmp_path)
        other = sealed_again(saved, tmp_path / "c.zip", lambda manifest: manifest.update(format="something"))
        assert "is no backup of Touchline" in self.refused(tool, other, tmp_path)
        gone = sealed_again(saved, tmp_path / "d.zip", lambda manifest: manifest.pop("offsets"))
        assert "manifest" in self.refused(tool, gone, tmp_path)

    def test_a_folder_on_which_touchline_runs(self, tool: Tool, saved: Path, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        with (tmp_path / "run" / "lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            code, out, err = tool("restore", saved, "--data", tmp_path)
        assert (code, out) == (2, "")
        assert err == f"the data folder {tmp_path} is in use by another Touchline\n"

    def test_a_file_that_is_there_already_is_not_overwritten(self, tool: Tool, played: Path, saved: Path) -> None:
        before = saved.read_bytes()
        code, _, err = tool("save", saved, "--data", played)
        assert (code, err) == (2, f"{saved} is there already; choose another name\n")
        assert saved.read_bytes() == before

    def test_a_backup_of_no_history_or_to_no_folder(self, tool: Tool, played: Path, tmp_path: Path) -> None:
        code, _, err = tool("save", tmp_path / "b.zip", "--data", tmp_path / "none")
        assert (code, err) == (2, f"no history at {tmp_path}/none/history.db; name the data folder with --data\n")
        code, _, err = tool("save", tmp_path / "none" / "b.zip", "--data", played)
        assert (code, err) == (2, f"{tmp_path}/none/b.zip cannot be written: No such file or directory\n")
        assert list(tmp_path.iterdir()) == []

    def test_a_history_that_stops_answering_leaves_no_file(self, played: Path, tmp_path: Path) -> None:
        class Failing(SqliteHistory):
            def heads(self, match_id: str) -> list[ChainHeadRow]:
                if match_id == OTHER:
                    raise StoreUnavailable("history", "heads", "gone")
                return super().heads(match_id)

        history = Failing(played / "history.db")
        with pytest.raises(StoreUnavailable):
            save(history, tmp_path / "b.zip", NOW, True, lambda *_: None)
        history.close()
        assert list(tmp_path.iterdir()) == []


class TestWhileItIsWritten:
    def test_a_backup_made_while_history_grows_has_whole_chains(self, played: Path, tmp_path: Path) -> None:
        """Whatever is written between two reads: no head may be saved whose rows are not."""
        source, folder = open_history(played), tmp_path / "growing"
        rows, heads = source.predictions(MATCH, -1, 100), source.heads(MATCH)
        inputs = [(r.feature_snapshot_id, source.feature_snapshot(r.feature_snapshot_id) or b"") for r in rows]
        source.close()

        class Growing(SqliteHistory):
            """Each read comes with three rows more; the head comes with the last of them."""

            written = 0

            def grow(self) -> None:
                first, self.written = self.written, min(self.written + 3, len(rows))
                self.write(
                    HistoryBatch(
                        predictions=tuple(rows[first : self.written]),
                        feature_snapshots=tuple(inputs[first : self.written]),
                        heads=tuple(heads) if self.written == len(rows) else (),
                    )
                )
                self.commit(FORECASTS, {0: self.written})

            def heads(self, match_id: str) -> list[ChainHeadRow]:
                self.grow()
                found = super().heads(match_id)
                self.grow()
                return found

            def predictions(self, match_id: str, after_seq: int, limit: int) -> list[PredictionRow]:
                self.grow()
                return super().predictions(match_id, after_seq, min(limit, 4))

        growing = Growing(folder / "history.db")
        growing.grow()
        while growing.written < len(rows):
            path = tmp_path / f"{growing.written}.zip"
            manifest = save(growing, path, NOW, True, lambda *_: None)
            restored = open_history(tmp_path / path.stem)
            for _, part in Backup(path).parts():
                restored.write(as_batch(part))
            count, fault = verify(restored, MATCH)
            assert fault is None
            assert count >= manifest.offsets[FORECASTS][0], "what the offsets promise is in it"
            restored.close()
        growing.close()


def as_batch(rows: list[Row]) -> HistoryBatch:
    return HistoryBatch(
        predictions=tuple(row for row in rows if isinstance(row, PredictionRow)),
        feature_snapshots=tuple((row.snapshot_id, row.inputs) for row in rows if isinstance(row, InputsRow)),
        heads=tuple(row for row in rows if isinstance(row, ChainHeadRow)),
        events=tuple(row for row in rows if isinstance(row, EventRow)),
    )


class TestARestoredHistoryWriter:
    """The log goes on behind the backup; whatever of history was lost, it ends up as if nothing had been."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A match that was saved half-way and then played to its end."""
        folder = tmp_path / "data"
        play_and_copy(folder, MATCH, 0, 0, 9)
        assert main(["save", str(tmp_path / "b.zip"), "--data", str(folder)]) == 0
        play_and_copy(folder, MATCH, 0, 9)
        play_and_copy(folder, OTHER, 1)
        return folder

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "b.zip"

    def go_on(self, folder: Path) -> None:
        """Do what the history writer does when Touchline starts again."""
        log, history = open_log(folder), open_history(folder)
        for copier in (EventCopier(log, history), ForecastCopier(log, history)):
            while copier.copy(0.0):
                pass
        log.close()
        history.close()

    def lose_all(self, folder: Path) -> None:
        for path in folder.glob("history*"):
            path.unlink()

    def test_copies_from_the_log_what_came_after_the_backup(self, tool: Tool, folder: Path, path: Path) -> None:
        before = rows_in(folder)
        self.lose_all(folder)
        code, out, _ = tool("restore", path, "--data", folder)
        assert (code, "will copy from the log what came after the backup" in out) == (0, True)
        assert rows_in(folder) != before
        self.go_on(folder)
        assert rows_in(folder) == before

    @pytest.mark.parametrize("table", ["predictions", "events", "heads"])
    def test_copies_again_what_lies_behind_it_where_only_some_rows_were_lost(
        self, tool: Tool, folder: Path, path: Path, table: str
    ) -> None:
        """The offsets are still there, and would make it skip what was lost."""
        before = rows_in(folder)
        tamper(folder, f"DELETE FROM {table}")
        tool("restore", path, "--data", folder)
        self.go_on(folder)
        assert rows_in(folder) == before

    def test_finds_what_the_log_still_has_and_restore_says_what_is_lost(
        self, tool: Tool, folder: Path, path: Path
    ) -> None:
        log = open_log(folder)
        copied = Backup(path).manifest.offsets
        log.prune(FEED, 0, copied[FEED][0] + 2)
        log.prune(FORECASTS, 0, copied[FORECASTS][0])
        log.close()
        self.lose_all(folder)
        code, out, _ = tool("restore", path, "--data", folder)
        assert code == 0
        lost = [line for line in out.splitlines() if line.startswith("Neither in the backup")]
        first = copied[FEED][0]
        assert lost == [f"Neither in the backup nor in the log any more: feed.v1/0: offsets {first} to {first + 1}"]

    def test_beside_another_log_is_not_given_its_feed_records(self, tool: Tool, folder: Path, path: Path) -> None:
        """Their offsets would be those of records that are still to come."""
        shutil.rmtree(folder / "log")
        open_log(folder).close()
        self.lose_all(folder)
        code, out, _ = tool("restore", path, "--data", folder)
        assert (code, "not the one that the backup was made beside" in out, "0 events" in out) == (0, True, True)
        assert rows_in(folder)["events"] == []

    def test_the_log_tells_of_a_tail_that_the_backup_should_have(self, tool: Tool, folder: Path, path: Path) -> None:
        """A backup made from a history that had been cut: its own heads are gone too."""
        history = open_history(folder)
        last = history.predictions(OTHER, -1, 100)[-1]
        history.close()
        tamper(folder, "DELETE FROM predictions WHERE prediction_id = ?", last.prediction_id)
        tamper(folder, "DELETE FROM heads WHERE match_id = ?", OTHER)
        cut = path.with_name("cut.zip")
        tool("save", cut, "--data", folder)
        self.lose_all(folder)
        code, out, _ = tool("restore", cut, "--data", folder)
        assert (code, f"{OTHER}: {last.prediction_id}: removed: the log says" in out) == (1, True)


class TestOffsets:
    @pytest.fixture
    def history(self, tmp_path: Path) -> Iterator[SqliteHistory]:
        history = open_history(tmp_path)
        yield history
        history.close()

    def test_none_are_made_up(self, history: SqliteHistory) -> None:
        assert put_back(history, (FEED, FORECASTS), {FEED: {0: 5}, FORECASTS: {0: 7}}) == {}
        assert history.offsets(FEED) == history.offsets(FORECASTS) == {}

    def test_only_what_is_further_is_put_back(self, history: SqliteHistory) -> None:
        history.commit(FORECASTS, {0: 9, 1: 3, 2: 4})
        history.commit(FEED, {0: 9})
        put = put_back(history, (FORECASTS,), {FORECASTS: {0: 7, 1: 5}})
        assert history.offsets(FORECASTS) == {0: 7, 1: 3, 2: 0}
        assert history.offsets(FEED) == {0: 9}
        assert not moved_meanwhile(history, put)

    def test_a_history_writer_that_runs_meanwhile_is_noticed(self, history: SqliteHistory) -> None:
        history.commit(FORECASTS, {0: 9})
        put = put_back(history, (FORECASTS,), {FORECASTS: {0: 7}})
        history.commit(FORECASTS, {0: 10})
        assert moved_meanwhile(history, put)

    def test_a_log_that_is_not_as_far_is_another_one(self, tmp_path: Path) -> None:
        log = open_log(tmp_path)
        send(log, a_fixture(), a_feed()[:4])
        assert look_at_log(log, {FEED: {0: 4, 1: 0}}).is_its_own
        assert look_at_log(log, {FEED: {0: 5}}).is_another
        assert look_at_log(log, {FORECASTS: {3: 1}}).is_another
        assert look_at_log(log, {FEED: {99: 1}}).is_another
        assert look_at_log(None, {FEED: {0: 5}}) == look_at_log(None, {})
        log.close()


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.integers(-(2**63), 2**63 - 1)
ROWS = {
    "models": st.builds(ModelRow, version=TEXT, manifest=st.binary(), content=st.binary()),
    "feature_snapshots": st.builds(InputsRow, snapshot_id=TEXT, inputs=st.binary()),
    "predictions": st.builds(
        PredictionRow,
        prediction_id=TEXT,
        match_id=TEXT,
        seq=NUMBER,
        model_version=TEXT,
        feature_snapshot_id=TEXT,
        prev_hash=TEXT,
        row_hash=TEXT,
        forecast=st.binary(),
    ),
    "heads": st.builds(ChainHeadRow, match_id=TEXT, seq=NUMBER, count=NUMBER, row_hash=TEXT),
    "events": st.builds(EventRow, match_id=TEXT, partition=NUMBER, offset=NUMBER, value=st.binary()),
}


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=st.data(), table=st.sampled_from(list(ROWS)))
def test_rows_come_back_from_parquet_bit_for_bit(drawn: st.DataObject, table: str) -> None:
    rows = drawn.draw(st.lists(ROWS[table], min_size=1, max_size=5))
    assert {table_of(row) for row in rows} == {table}
    assert decode(table, encode(table, rows)) == rows


def test_a_row_of_no_table_is_our_own_mistake() -> None:
    kept = MatchSnapshot(match_id="a", epoch=0, offset=0, state=b"", state_hash="", code_version=1)
    with pytest.raises(StopIteration):
        table_of(kept)  # type: ignore[arg-type]


def test_a_writer_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), BackupWriter(tmp_path / "b.zip") as writer:
        writer.add(InputsRow(snapshot_id="a", inputs=b"b"))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_says_what_there_is(tmp_path: Path) -> None:
    with BackupWriter(tmp_path / "b.zip") as writer:
        for number in range(3):
            writer.add(ChainHeadRow(match_id="a", seq=number, count=number, row_hash="x"))
        made = writer.finish(NOW, 1, False, {FORECASTS: {0: 3}})
    found = Backup(tmp_path / "b.zip").manifest
    assert found == made == replace(made, made_at=datetime.fromisoformat("2026-08-01T15:00:00+00:00"))
    assert isinstance(found, Manifest) and (found.rows("heads"), found.rows("events")) == (3, 0)
