"""Play recorded matches as live feeds into the log of a running Touchline.

    python -m cluster.replay cluster/demo/wyscout_*.json.xz --speed 10
    python -m cluster.replay understat:4749 --data-root ../shared/data --speed 60 --seed 7
    python -m cluster.replay match.xml --meta squads.xml --speed 0 --data data
    python -m cluster.replay cluster/demo/wyscout_2499841.json.xz profile=cluster feed.servers=[kafka:9092]

The log is the one that the options of conf/ name, given as key=value. A seed adds what real feeds do: delay,
reordering, duplicates, gaps, corrections and goals taken back. Each match is announced as a fixture and written once
the supervisor has leased it a partition. Stopped and started again, a match goes on where the log has it; one that is
over is played again as a new fixture.
"""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.adapters.feed_writer import FeedWriter, Playing
from actors.adapters.feeds import KICK_OFF_MS, MatchFeed, read_feed
from actors.domain.errors import ForecastingError, SetupError
from actors.domain.fixtures import Fixture
from actors.domain.ports import EventLog
from actors.machines.replay import ReplayPlan, announced, rename, schedule
from actors.supervisor import FixtureBook
from cluster.feeds import read_feeds
from cluster.stores import Stores
from conf.run import EXIT_SETUP, WrongOptions, load, setting

LOOK_EVERY_S = 0.5
_OVERRIDE = re.compile(r"[a-z_.]+=")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    overrides = [word for word in words if _OVERRIDE.match(word)]
    options = _parser().parse_args([word for word in words if word not in overrides])
    try:
        feeds = _feeds(options)
        log = Stores(load([setting("data.folder", options.data), *overrides])).log()
        try:
            return _play(log, feeds, options)
        finally:
            log.close()
    except (ForecastingError, WrongOptions) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return EXIT_SETUP
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster.replay", description="Play recorded matches as live feeds.")
    add, folder = parser.add_argument, Path("data")
    add("files", nargs="+", metavar="FILE", help="a match file, or wyscout:ID, understat:ID")
    add("--meta", type=Path, metavar="FILE", help="second file of a provider that sends two")
    add("--speed", type=float, default=1.0, metavar="N", help="times real speed; 0: as fast as it goes")
    add("--seed", type=int, metavar="S", help="add the noise of real feeds, reproducibly")
    add("--simulated-odds", action="store_true", help="make up prices; they are shown as made up")
    add("--data", type=Path, default=folder, metavar="DIR", help="data folder of the running Touchline")
    add("--data-root", type=Path, default=folder, metavar="DIR", help="where wyscout:ID lies")
    add("--wait", type=float, default=60.0, metavar="S", help="seconds to wait for a partition")
    return parser


def _feeds(options: argparse.Namespace) -> list[MatchFeed]:
    if not 0 <= options.speed < float("inf"):
        raise SetupError(f"--speed must be 0 or a positive number, was {options.speed}")
    if options.meta is None:
        return read_feeds(options.files, options.data_root)
    if len(options.files) > 1:
        raise SetupError(f"--meta belongs to one match: expected one FILE, received {len(options.files)}")
    return [read_feed(Path(options.files[0]), meta=options.meta)]


def _play(log: EventLog, feeds: Sequence[MatchFeed], options: argparse.Namespace) -> int:
    plan, book = plan_for(options.seed, options.simulated_odds), FixtureBook(log)
    book.refresh()
    fixtures = [announce(book, feed, plan, options.speed) for feed in feeds]
    leased = wait_for_leases(book, [fixture.match_id for fixture in fixtures], options.wait)
    writer = FeedWriter(log)
    shows = [
        Playing(fixture, schedule(rename(feed, fixture.match_id, fixture.kick_off), plan))
        for feed, fixture in zip(feeds, leased, strict=True)
    ]
    for show in shows:
        print(f"{show.fixture.match_id}: {show.fixture.home.name} v {show.fixture.away.name}", flush=True)
    writer.play(shows, options.speed)
    return 0


def plan_for(seed: int | None, simulated_odds: bool) -> ReplayPlan:
    """Return the plan of a seed: what a feed does on a bad day, or nothing without one."""
    if seed is None:
        return ReplayPlan(simulated_odds=simulated_odds)
    return ReplayPlan(
        seed=seed,
        delay_ms=300,
        reorder=0.01,
        duplicate=0.01,
        gap=0.001,
        correction=0.3,
        taken_back=0.3,
        simulated_odds=simulated_odds,
    )


def announce(book: FixtureBook, feed: MatchFeed, plan: ReplayPlan, speed: float) -> Fixture:
    """Return the fixture under which the match is being played, or announce a new one."""
    base, run = feed.fixture.match_id, 1
    while (known := book.fixtures.get(f"{base}.{run}")) is not None:
        if known.status != "retired":
            return known
        run += 1
    begins_in = timedelta(milliseconds=KICK_OFF_MS / speed) if speed else timedelta()
    fixture = announced(rename(feed, f"{base}.{run}", datetime.now(UTC) + begins_in).fixture, plan)
    book.save(fixture)
    return fixture


def wait_for_leases(book: FixtureBook, match_ids: Sequence[str], wait_s: float) -> list[Fixture]:
    """Return the fixtures with their leases; raises SetupError if one has none after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while True:
        missing = [match_id for match_id in match_ids if book.fixtures[match_id].lease is None]
        if not missing:
            return [book.fixtures[match_id] for match_id in match_ids]
        if time.monotonic() >= deadline:
            raise SetupError(
                f"{missing[0]} was leased no partition within {wait_s:g} s: is Touchline running on this data folder?"
            )
        book.refresh(LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
