"""Results that the log has are laid out as data.root is, and nothing tells them from those that the file had."""

from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from actors.domain.fixtures import Fixture, encode_fixture
from actors.domain.match import new_match
from actors.domain.ports import FIXTURES, NewRecord
from cluster.finished import main
from cluster.stores import Stores
from conf.run import load, setting
from tests.unit.builders import goal, minute, played, red, saved, totals, whole_match
from tests.unit.prematch_data import write_results
from tests.unit.test_priors import a_match
from training.live_data import RESULTS
from training.prematch.extended import extend
from training.prematch.live import Match, with_matches
from training.prematch.table import load_table

KICK_OFF = datetime(2020, 11, 7, 15, 30, tzinfo=UTC)
NEW = Match(
    league="E0",
    kick_off=KICK_OFF,
    home="Upper 3",
    away="Risen",
    goals=(2, 1),
    half_time=(1, 0),
    reds=(0, 1),
    close=(1.8, 3.6, 4.9),
    close_total=(1.9, 1.95),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_results(tmp_path / "root")


def test_an_added_match_reads_as_if_the_file_had_had_it(tmp_path: Path, root: Path) -> None:
    bare = Match(league="E1", kick_off=datetime(2020, 11, 8, 12, tzinfo=UTC), home="Lower 5", away="Lower 6")
    (root / "understat").mkdir()
    assert extend(root, tmp_path / "out", [NEW, bare, NEW]) == 2
    assert (tmp_path / "out" / "understat").samefile(root / "understat")
    expected, _ = with_matches(load_table(root), [NEW, bare])
    found = load_table(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert len(found) == len(load_table(root)) + 2
    for field in fields(found):
        if field.name not in ("league_names", "team_names", "home", "away"):  # names and their codes: see keys
            one, other = getattr(found, field.name), getattr(expected, field.name)
            assert one.dtype == other.dtype
            assert np.allclose(one, other, rtol=1e-6, equal_nan=True), field.name


def test_where_nothing_is_new_all_of_it_is_a_link(tmp_path: Path, root: Path) -> None:
    row = load_table(root).rows(np.array([0]))
    home, away = (row.team_names[int(code)][1] for code in (row.home[0], row.away[0]))
    day = row.day.astype("datetime64[D]")[0].item()
    known = Match(
        league=row.league_names[0],
        kick_off=datetime(day.year, day.month, day.day, 15, tzinfo=UTC),
        home=home,
        away=away,
    )
    unrated = Match(league="XX", kick_off=KICK_OFF, home="A", away="B")
    assert extend(root, tmp_path / "out", [known, unrated]) == 0
    assert (tmp_path / "out" / RESULTS).is_symlink()


def a_system(folder: Path, root: Path) -> Stores:
    stores = Stores(load([setting("data.folder", folder), setting("data.root", root)]))
    stores.prepare()
    return stores


def keep(stores: Stores, *fixtures: Fixture) -> None:
    """Let matches be over, won by two to one, and retired."""
    log, snapshots = stores.log(), stores.snapshots()
    for fixture in fixtures:
        records = whole_match(
            (goal(), minute(10)), (red("away"), minute(30)), (goal("away"), minute(5, 2)), (goal(), minute(9, 2))
        )
        own = [replace(each, match_id=fixture.match_id) for each in (totals(1, 2.5), *records)]
        state = played(own, new_match(fixture))
        log.append(FIXTURES, 0, [NewRecord(key=fixture.match_id, value=encode_fixture(fixture))])
        snapshots.save(saved(state))
    log.close()
    snapshots.close()


def test_finished_matches_of_the_log_are_added_and_played_recordings_are_not(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = a_system(tmp_path / "data", root)
    own = a_match("p:3", "Upper 3", "Upper 7", status="retired")
    again = a_match("p:4.1", "Upper 4", "Upper 5", status="retired")
    today = a_match("p:5", "Upper 1", "Upper 2", days=1, status="retired")
    keep(stores, own, again, today)
    keep(stores, a_match("p:6", "Upper 1", "Upper 7"))  # goes on
    words = [str(tmp_path / "out"), "--before", "2020-11-08", f"--data={stores.folder}", setting("data.root", root)]
    assert main(words) == 0
    assert "1 of 1 finished matches" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "out" / RESULTS).to_pylist()
    (row,) = rows[len(load_table(root)) :]
    assert [row[name] for name in ("league", "date", "home", "away")] == ["E0", date(2020, 11, 7), "Upper 3", "Upper 7"]
    assert [row[name] for name in ("fthg", "ftag", "hthg", "htag", "hr", "ar")] == [2, 1, 1, 0, 0, 1]
    assert (row["close_o25"], row["close_h"], row["referee"]) == (1.9, None, None)
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err


def test_without_a_log_nothing_is_added(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(tmp_path / "out"), f"--data={tmp_path / 'none'}", setting("data.root", root)]
    assert main(words) == 0
    assert "0 of 0" in capsys.readouterr().out
    assert main([*words[1:], str(tmp_path / "other"), "--before", "soon"]) == 2
    assert "--before must be a date" in capsys.readouterr().err
    assert main([str(tmp_path / "third"), setting("data.root", tmp_path / "nowhere")]) == 2
    assert "no folder" in capsys.readouterr().err
