"""When a retraining is due: by the record of decisions alone, so that a restart changes nothing."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from training.decisions import Decision, Outcome, due_at, last_decision, write_decision

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
