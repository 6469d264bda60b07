"""The audit's command line on a real history: what it says, which row it names, and its exit code."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.domain.errors import SetupError
from actors.domain.forecast import ChainHead
from actors.domain.ports import FORECASTS, PredictionRow
from cluster.audit import Changed, heads_in_log, main, replay
from tests.unit.audited import (
    MATCH,
    FakeModel,
    a_feed,
    a_fixture,
    a_played_match,
    open_history,
    open_log,
    own,
    play,
    rechained,
    say,
    send,
)

OTHER = "fake:2"
Audit = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two matches that were played."""
    folder = tmp_path_factory.mktemp("played")
    a_played_match(folder, MATCH, partition=0)
    a_played_match(folder, OTHER, partition=1)
    return folder


@pytest.fixture
def data(played: Path, tmp_path: Path) -> Path:
    """A copy of it that may be tampered with."""
    return Path(shutil.copytree(played, tmp_path / "data"))


@pytest.fixture
def audit(data: Path, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Run the command line; return its exit code, stdout and stderr."""

    def run(command: str, *options: str) -> tuple[int, str, str]:
        code = main([command, "--data", str(data), *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def tamper(data: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(data / "history.db") as db:
        assert db.execute(statement, values).rowcount > 0
    db.close()


def rows(data: Path, match_id: str = MATCH) -> list[PredictionRow]:
    history = open_history(data)
    found = history.predictions(match_id, -1, 1_000)
    history.close()
    return found


def put_back(data: Path, forged: list[PredictionRow]) -> None:
    for row in forged:
        tamper(
            data,
            "UPDATE predictions SET forecast = ?, prev_hash = ?, row_hash = ? WHERE prediction_id = ?",
            row.forecast,
            row.prev_hash,
            row.row_hash,
            row.prediction_id,
        )


def test_whole_chains_are_counted(audit: Audit, data: Path) -> None:
    count = len(rows(data))
    assert audit("verify") == (
        0,
        f"{MATCH}: {count} forecasts, chain whole\n{OTHER}: {count} forecasts, chain whole\n"
        f"{2 * count} forecasts hold, 0 chains are broken\n",
        "",
    )


def test_one_match_can_be_checked_alone(audit: Audit, data: Path) -> None:
    tamper(data, "DELETE FROM predictions WHERE prediction_id = ?", rows(data, OTHER)[3].prediction_id)
    assert audit("verify", "--match", MATCH)[0] == 0
    assert audit("verify", "--match", OTHER)[0] == 1


def test_a_changed_row_is_named_and_the_other_match_is_whole(audit: Audit, data: Path) -> None:
    row = rows(data)[4]
    changed = row.forecast.replace(b'"MODEL_FALLBACK"', b'"OK"')
    assert changed != row.forecast
    tamper(data, "UPDATE predictions SET forecast = ? WHERE prediction_id = ?", changed, row.prediction_id)
    code, out, _ = audit("verify")
    assert code == 1
    first, second, last = out.splitlines()
    assert first == f"{MATCH}: {row.prediction_id}: changed: its content does not have the hash that it states"
    assert second.endswith("chain whole")
    assert last.endswith("1 chains are broken")


def test_a_row_that_is_missing_is_noticed_at_the_one_behind_it(audit: Audit, data: Path) -> None:
    _, gone, behind, *_ = rows(data)
    tamper(data, "DELETE FROM predictions WHERE prediction_id = ?", gone.prediction_id)
    code, out, _ = audit("verify")
    assert code == 1
    assert f"{MATCH}: {behind.prediction_id}: a row before it was removed" in out


def test_a_tail_that_was_cut_off_with_its_heads_is_named_by_the_log(audit: Audit, data: Path) -> None:
    last = rows(data)[-1]
    tamper(data, "DELETE FROM predictions WHERE prediction_id = ?", last.prediction_id)
    tamper(data, "DELETE FROM heads WHERE match_id = ?", MATCH)
    code, out, _ = audit("verify")
    assert code == 1
    assert f"{MATCH}: {last.prediction_id}: removed: the log says" in out


def test_where_there_is_no_log_the_heads_in_history_do(audit: Audit, data: Path) -> None:
    shutil.rmtree(data / "log")
    assert audit("verify")[0] == 0
    last = rows(data)[-1]
    tamper(data, "DELETE FROM predictions WHERE prediction_id = ?", last.prediction_id)
    code, out, _ = audit("verify")
    assert (code, f"{last.prediction_id}: removed" in out) == (1, True)


def test_a_match_that_history_has_forgotten_is_named_by_the_log(audit: Audit, data: Path) -> None:
    last = rows(data)[-1]
    tamper(data, "DELETE FROM predictions WHERE match_id = ?", MATCH)
    tamper(data, "DELETE FROM heads WHERE match_id = ?", MATCH)
    code, out, _ = audit("verify")
    assert (code, f"{MATCH}: {last.prediction_id}: removed" in out) == (1, True)


def test_a_suffix_that_was_forged_with_its_heads_is_caught_by_the_log(audit: Audit, data: Path) -> None:
    kept = rows(data)
    forged = rechained(kept[5:], kept[4].row_hash, status="GAP")
    put_back(data, forged)
    tamper(data, "UPDATE heads SET row_hash = ? WHERE match_id = ?", forged[-1].row_hash, MATCH)
    code, out, _ = audit("verify")
    assert (code, f"{MATCH}: {kept[-1].prediction_id}: replaced: the log's head" in out) == (1, True)


@pytest.mark.parametrize("content", ["'{}'", "x'7b7d'"])
def test_a_feature_snapshot_that_was_changed_names_its_forecast(audit: Audit, data: Path, content: str) -> None:
    row = rows(data)[6]
    tamper(data, f"UPDATE feature_snapshots SET inputs = {content} WHERE snapshot_id = ?", row.feature_snapshot_id)
    code, out, _ = audit("verify", "--match", MATCH)
    assert (code, f"{row.prediction_id}: its feature snapshot" in out) == (1, True)
    history = open_history(data)
    with pytest.raises(Changed, match=f"{row.prediction_id}: its feature snapshot was changed"):
        replay(history, MATCH, {"fake-1": FakeModel()}, 4)
    history.close()


def test_what_is_in_the_log_and_not_in_history_yet_is_no_fault(audit: Audit, data: Path) -> None:
    log, later = open_log(data), a_fixture("fake:3", partition=2)
    send(log, later, a_feed("fake:3"))
    play(log, later)
    say(log, ChainHead(match_id=MATCH, epoch=0, seq=999, count=999, row_hash="f" * 64))
    log.close()
    assert audit("verify")[0] == 0


def test_a_head_that_a_zombie_appended_is_not_believed(data: Path) -> None:
    log = open_log(data)
    own(log, a_fixture(MATCH))  # an heir's marker: epoch 0 is over
    before = heads_in_log(log, 0, 10_000)[MATCH]
    say(log, ChainHead(match_id=MATCH, epoch=0, seq=999, count=999, row_hash="f" * 64))
    end = log.end_offsets(FORECASTS)[0]
    assert heads_in_log(log, 0, end)[MATCH] == before
    assert before[-1].count == len(rows(data))
    log.close()


def test_heads_are_read_as_far_back_as_the_log_reaches(data: Path) -> None:
    log = open_log(data)
    end = log.end_offsets(FORECASTS)[0]
    log.prune(FORECASTS, 0, end - 1)
    assert heads_in_log(log, 0, end)[MATCH][-1].count == len(rows(data))
    assert heads_in_log(log, 0, end + 100)[MATCH][-1].count == len(rows(data))
    log.close()


def test_what_cannot_be_checked_is_one_sentence_and_exit_code_2(
    audit: Audit, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit("verify", "--match", "fake:9") == (2, "", f"history has no match 'fake:9'; it has {MATCH}, {OTHER}\n")
    assert main(["verify", "--data", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"no history at {tmp_path}/nowhere/history.db; name the data folder with --data\n"
    code, _, err = audit("replay", "--models", str(tmp_path))
    assert (code, err) == (2, "model 'fake-1' is not held, only none; see --models\n")
    tamper(data, "UPDATE predictions SET forecast = x'ff' WHERE match_id = ?", MATCH)
    code, out, err = audit("replay", "--models", str(tmp_path))
    assert (code, out.startswith(f"{MATCH}@0: not a forecast"), err) == (1, True, "")
    (data / "history.db").write_bytes(b"no database, by any means" * 200)
    code, out, err = audit("verify")
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("options", [["--batch", "0"], ["--batch-rows", "-1"], ["--batch", "many"]])
def test_a_batch_of_nothing_is_refused_rather_than_found_identical(audit: Audit, options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        audit("replay", *options)
    assert ended.value.code == 2


@pytest.mark.parametrize("batch", [1, 3, 500])
def test_every_forecast_is_found_identical_whatever_the_batch(data: Path, batch: int) -> None:
    history = open_history(data)
    done = replay(history, MATCH, {"fake-1": FakeModel()}, batch)
    history.close()
    assert done.forecasts == done.identical == len(rows(data))
    assert (done.largest_difference, done.first_different) == (0.0, None)


def test_a_model_that_answers_otherwise_is_found_out_at_the_first_forecast(data: Path) -> None:
    history = open_history(data)
    done = replay(history, MATCH, {"fake-1": FakeModel(drift_ms=1)}, 4)
    history.close()
    playing = [row for row in rows(data) if b'"period":1' in row.forecast]
    assert done.identical < done.forecasts
    assert done.first_different == playing[0].prediction_id
    assert done.largest_difference > 0


def test_a_replay_without_its_model_its_inputs_or_its_row_says_so(data: Path) -> None:
    row = rows(data)[2]
    history = open_history(data)
    with pytest.raises(SetupError, match=r"model 'fake-1' is not held, only other-1"):
        replay(history, MATCH, {"other-1": FakeModel()}, 4)
    tamper(data, "DELETE FROM feature_snapshots WHERE snapshot_id = ?", row.feature_snapshot_id)
    with pytest.raises(SetupError, match=f"feature snapshot of {row.prediction_id} is not in history"):
        replay(history, MATCH, {"fake-1": FakeModel()}, 4)
    tamper(data, "UPDATE predictions SET forecast = x'ff' WHERE prediction_id = ?", row.prediction_id)
    with pytest.raises(Changed, match=f"{row.prediction_id}: not a forecast"):
        replay(history, MATCH, {"fake-1": FakeModel()}, 4)
    history.close()


def test_options_of_the_configuration_are_taken_beside_its_own(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    expected = f"{2 * len(rows(data))} forecasts hold, 0 chains are broken"
    for words in ([f"data.folder={data}"], [f"store.folder={data}"], []):
        assert main(["verify", *words]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == expected
    assert main(["verify", "store.hots=[a]"]) == 2
    said = capsys.readouterr().err
    assert (said.count("\n"), "store.hots" in said) == (1, True)


def test_looking_at_nothing_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("verify", "replay"):
        assert main([command, "--data", str(tmp_path / "none")]) == 2
    assert list(tmp_path.iterdir()) == []
    open_history(tmp_path).close()
    assert main(["verify", "--data", str(tmp_path)]) == 0
    assert not (tmp_path / "log").exists()
    assert capsys.readouterr().out == "0 forecasts hold, 0 chains are broken\n"
