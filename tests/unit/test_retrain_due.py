"""When a retraining is due: by the record of decisions alone, so that a restart changes nothing."""

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from training.decisions import Decision, Outcome, due_at, last_decision, remove_old, write_decision

START = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHT = time(3, 30)


def decided(began_at: datetime, outcome: Outcome = "rejected") -> Decision:
    return Decision(began_at=began_at, as_of=date(2026, 3, 10), outcome=outcome)


@pytest.mark.parametrize(
    ("last", "at", "due"),
    [
        (None, None, START),
        (None, NIGHT, datetime(2026, 3, 11, 3, 30, tzinfo=UTC)),
        (decided(START - timedelta(hours=2)), None, START + timedelta(hours=22)),
        (decided(START - timedelta(hours=2)), NIGHT, datetime(2026, 3, 11, 3, 30, tzinfo=UTC)),
        (decided(START - timedelta(days=9)), None, START - timedelta(days=8)),
        (decided(datetime(2026, 3, 10, 3, 30, 4, tzinfo=UTC)), NIGHT, datetime(2026, 3, 11, 3, 30, tzinfo=UTC)),
        (decided(START, "failed"), None, START + DAY),
        (decided(START - timedelta(hours=2), "under way"), NIGHT, START - timedelta(hours=2)),
    ],
)
def test_due(last: Decision | None, at: time | None, due: datetime) -> None:
    assert due_at(last, START, DAY, at) == due


def test_every_third_night() -> None:
    last = decided(datetime(2026, 3, 1, 3, 30, 2, tzinfo=UTC))
    assert due_at(last, START, 3 * DAY, NIGHT) == datetime(2026, 3, 4, 3, 30, tzinfo=UTC)


def test_the_newest_run_counts_and_its_last_word_replaces_the_first(tmp_path: Path) -> None:
    assert last_decision(tmp_path) is None
    write_decision(tmp_path, decided(START, "failed"))
    write_decision(tmp_path, decided(START - DAY, "accepted"))
    under_way = decided(START + DAY, "under way")
    write_decision(tmp_path, under_way)
    assert last_decision(tmp_path) == under_way
    path = write_decision(tmp_path, decided(START + DAY, "accepted"))
    assert last_decision(tmp_path) == decided(START + DAY, "accepted")
    path.write_bytes(b"{")
    assert last_decision(tmp_path) == decided(START, "failed")


def test_old_candidates_go_but_those_that_were_served_or_champions_stay(tmp_path: Path) -> None:
    names = [f"retrained-2026-03-{day:02}-0a" for day in range(1, 13)]
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
        os.utime(tmp_path / name, (number, number))
        told = replace(decided(START + number * DAY, "accepted"), candidate=name, is_served=number == 2)
        write_decision(tmp_path, replace(told, champion=names[3] if number == 9 else "touchline-all"))
    (tmp_path / "lock").touch()
    assert remove_old(tmp_path, kept=7) == [names[0], names[1], names[4]]
    assert remove_old(tmp_path, kept=7) == []
    assert sorted(path.name for path in tmp_path.glob("retrained-*")) == [*names[2:4], *names[5:]]
    path = write_decision(tmp_path, decided(START, "failed"))
    path.write_bytes(b"{")
    assert remove_old(tmp_path, kept=0) == []
