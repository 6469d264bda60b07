"""The command that a partner runs on files: one JSON line each, one sentence for what is no match."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.adapters.feeds import read_feed
from actors.domain.match import new_match, state_hash
from actors.machines.match import fold
from cluster.inspect import main

REPO = Path(__file__).resolve().parents[2]
DEMO = REPO / "cluster" / "demo"
FIELDS = [
    "provider",
    "match_id",
    "home",
    "away",
    "score",
    "half_time",
    "extra_time",
    "shoot_out",
    "yellow",
    "sent_off",
    "substitutions",
    "records",
    "rejected",
    "state_hash",
]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_match_gives_one_line_with_its_sheet_s_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(DEMO / "wyscout_1694436.json.xz")]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert list(found) == FIELDS
    assert len(found.pop("state_hash")) == 64
    assert found == {
        "provider": "wyscout",
        "match_id": "wyscout:1694436",
        "home": "Germany",
        "away": "Italy",
        "score": [1, 1],
        "half_time": [0, 0],
        "extra_time": [0, 0],
        "shoot_out": [6, 5],
        "yellow": [2, 5],
        "sent_off": [0, 0],
        "substitutions": [2, 3],
        "records": 2019,
        "rejected": 0,
    }


def test_what_was_not_played_or_not_sent_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copyfile(DEMO / "wyscout_2499841.json.xz", tmp_path / "alone.json.xz")
    assert main([str(tmp_path / "alone.json.xz")]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert (found["score"], found["half_time"], found["sent_off"]) == ([1, 2], [1, 0], [1, 0])
    assert (found["extra_time"], found["shoot_out"], found["substitutions"]) == (None, None, None)


def test_the_sheet_as_second_file_gives_what_the_sheet_beside_it_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(DEMO / "wyscout_2499841.json.xz", tmp_path / "alone.json.xz")
    assert main([str(tmp_path / "alone.json.xz"), "--meta", str(DEMO / "wyscout_2499841.sheet.json")]) == 0
    assert main([str(DEMO / "wyscout_2499841.json.xz")]) == 0
    given, beside = lines(capsys.readouterr().out)
    assert given == beside


def test_a_file_that_is_no_match_gives_one_sentence_and_the_others_are_still_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.html").write_text("<!doctype html>\n<title>Not found</title>")
    files = [
        DEMO / "wyscout_2500686.json.xz",
        tmp_path / "page.html",
        tmp_path / "none",
        DEMO / "wyscout_2499781.json.xz",
    ]
    assert main([*map(str, files)]) == 2
    told = capsys.readouterr()
    assert [found["match_id"] for found in lines(told.out)] == ["wyscout:2500686", "wyscout:2499781"]
    html, missing = told.err.splitlines()
    assert html.startswith("page.html: expected a match file of ") and "<!doctype html>" in html
    assert missing.startswith("none: expected a match file of ") and "no such file" in missing


def test_a_record_that_the_log_s_reader_would_refuse_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"matchId": 1, "teamId": 1, "matchPeriod": "1H", "eventName": "Pass", "subEventName": "Simple pass"}
    path = tmp_path / "late.json"
    path.write_text(json.dumps([{**event, "id": 1, "eventSec": 5}, {**event, "id": 2, "eventSec": 99_999}]))
    assert main([str(path)]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert found["rejected"] == 1
    assert found["records"] == 3  # kick-off and two events; a file that stops in the first half tells no end


def test_the_state_hash_is_that_of_the_offline_fold_and_of_another_process() -> None:
    path = DEMO / "wyscout_2500686.json.xz"
    feed = read_feed(path)
    here = state_hash(fold(new_match(feed.fixture), (timed.record for timed in feed.records)))
    command = [sys.executable, "-m", "cluster.inspect", str(path)]
    other = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": "7"})
    assert json.loads(other.stdout)["state_hash"] == here


def test_a_provider_given_by_name_is_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(DEMO / "wyscout_2500686.json.xz")
    assert main([path, "--provider", "wyscout"]) == 0
    assert main([path, "--provider", "statsbomb"]) == 2
    told = capsys.readouterr()
    assert len(lines(told.out)) == 1
    assert "expected" in told.err and len(told.err.splitlines()) == 1


def test_one_second_file_for_several_matches_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["a", "b", "--meta", "c"])
    assert stopped.value.code == 2
    assert "expected one FILE" in capsys.readouterr().err


@pytest.mark.needs_data
def test_matches_of_data_root_are_named_by_source_and_id(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["wyscout:2499719", "wyscout:1", "understat:4749"]
    assert main([*names, "--data-root", str(data_root)]) == 2
    told = capsys.readouterr()
    arsenal, united = lines(told.out)
    assert (arsenal["home"], arsenal["score"], arsenal["substitutions"]) == ("Arsenal", [4, 3], [3, 3])
    assert (united["provider"], united["score"], united["substitutions"]) == ("understat", [1, 2], None)
    assert "'wyscout:1'" in told.err


def test_a_missing_data_root_is_said_once_per_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wyscout:2499719", "--data-root", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("data.root: expected wyscout/matches.parquet")
