"""Results that the log itself has: `python -m cluster.finished FOLDER [--before DATE] [--data DIR] [key=value ...]`.

    python -m cluster.finished history --before 2026-11-27 profile=cluster

lays data.root out anew in FOLDER, with the finished matches of the log added to `results/matches.parquet` where the
file has not got them; the other folders are links. So a retraining fits on history as it is now. Left out are recorded
matches that were only played again, leagues that the results file has not got, fixtures without a league or without the
names of the results file, and matches whose score cannot be trusted. A team without a result yet is a new one.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from actors.domain.errors import SetupError, SnapshotUnreadable
from actors.domain.fixtures import Fixture
from actors.domain.match import MatchState, decode_state, forecast_inputs
from actors.domain.ports import SnapshotStore
from actors.machines.status import feed_status
from actors.supervisor import FixtureBook
from cluster.command import add_data, answered, log_if_any, split, stores_of
from cluster.health import recorded_id
from cluster.stores import Stores
from training.options import check_date
from training.prematch.extended import extend
from training.prematch.live import Match

logger = logging.getLogger("touchline.finished")

_TOTAL = 2.5  # goals: the line of the results file


class FinishedMatches:
    """The results of retired fixtures; each snapshot is read once."""

    def __init__(self, snapshots: SnapshotStore) -> None:
        self._snapshots = snapshots
        self.unknown = set[str]()  # retired without a state that can be read, as after an upgrade
        self._played: dict[str, Match | None] = {}  # by the id of a retired fixture

    def read(self, fixtures: Mapping[str, Fixture]) -> dict[str, Match]:
        """Return the results by match id; of a recorded match that was played again and again, the first.

        Raises:
            StoreError: The snapshots did not answer.
        """
        for match_id, fixture in fixtures.items():
            if fixture.status == "retired" and match_id not in self._played:
                state = kept_state(self._snapshots, match_id)
                self._played[match_id] = None if state is None else result_of(fixture, state)
                if state is None:
                    self.unknown.add(match_id)
        return _first_runs(fixtures, self._played)


def kept_state(snapshots: SnapshotStore, match_id: str) -> MatchState | None:
    """Return the state of a match as it was last saved; None where there is none that can be read."""
    stored = snapshots.load(match_id)
    try:
        return None if stored is None else decode_state(match_id, stored.state)
    except SnapshotUnreadable as problem:
        logger.warning("Snapshot not read", extra={"match_id": match_id, "problem": str(problem)})
        return None


def match_of(fixture: Fixture) -> Match | None:
    """Return a fixture by the names of the results file, None where its league or a team has none: nobody guesses."""
    home, away = fixture.home.rating_key, fixture.away.rating_key
    if not (fixture.league and home and away):
        return None
    return Match(league=fixture.league, kick_off=fixture.kick_off, home=home, away=away)


def result_of(fixture: Fixture, state: MatchState) -> Match | None:
    """Return what happened in a match, None unless it is over and its score can be trusted."""
    match, seen = match_of(fixture), forecast_inputs(state)
    if match is None or state.summary.phase != "finished" or feed_status(state)[0] != "OK":
        return None
    first = [goal.side for goal in seen.goals or () if goal.period == 1]
    total = seen.anchor_over_under
    return replace(
        match,
        goals=(seen.home_goals, seen.away_goals),
        half_time=(first.count("home"), first.count("away")),
        reds=(seen.home_reds, seen.away_reds),
        close=seen.anchor_1x2,
        close_total=total[1:] if total and total[0] == _TOTAL else None,
    )


def _first_runs(fixtures: Mapping[str, Fixture], played: Mapping[str, Match | None]) -> dict[str, Match]:
    found = dict[str, Match]()
    seen = set[str]()
    for match_id in sorted(played, key=lambda each: fixtures[each].kick_off):
        match = played[match_id]
        if match is not None and recorded_id(match_id) not in seen:
            seen.add(recorded_id(match_id))
            found[match_id] = match
    return found


def in_log(stores: Stores, before: date) -> tuple[list[Match], int]:
    """Return the results of the log's own matches up to a day, and of how many nothing is known; none without a log.

    Raises:
        SetupError, StoreError: The log or the snapshots cannot be had.
    """
    log = log_if_any(stores)
    if log is None:
        return [], 0
    snapshots = stores.snapshots()
    try:
        book = FixtureBook(log)
        book.refresh()
        finished = FinishedMatches(snapshots)
        own = {each: fixture for each, fixture in book.fixtures.items() if _is_own(fixture, before)}
        return list(finished.read(own).values()), len(finished.unknown)
    finally:
        log.close()
        snapshots.close()


def _is_own(fixture: Fixture, before: date) -> bool:
    match = match_of(fixture)
    is_recorded = recorded_id(fixture.match_id) != fixture.match_id  # and was only played again
    return match is not None and not is_recorded and match.day < (before - date(1970, 1, 1)).days


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = split(argv)
    parser = argparse.ArgumentParser(
        prog="python -m cluster.finished", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="is made")
    parser.add_argument("--before", metavar="DATE", default=date.max.isoformat(), help="of kick-off, exclusive")
    add_data(parser)
    options = parser.parse_args(words)
    return answered(lambda: _run(options.folder, options.before, stores_of(options, overrides)))


def _run(folder: Path, before: str, stores: Stores) -> int:
    check_date("--before", before)
    if folder.exists():
        raise SetupError(f"{folder}: is there already")
    matches, unknown = in_log(stores, date.fromisoformat(before))
    added = extend(Path(stores.config.data.root).resolve(), folder, matches)
    lost = f"; {unknown} more have no state that can be read" if unknown else ""
    print(f"{folder}: data.root and {added} of {len(matches)} finished matches of the log, which it had not got{lost}")
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main(sys.argv[1:]))
