"""Fold providers' match files offline and print one JSON line each: how a partner checks a feed before connecting it.

    python -m cluster.inspect cluster/demo/*.json.xz
    python -m cluster.inspect events.xml --provider opta --meta squads.xml
    python -m cluster.inspect wyscout:2499719 understat:4749 --data-root ../shared/data

A file that is no match gives one sentence on standard error; the others are still printed, and the exit code is 2.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.adapters.feed_data_root import read_match
from actors.adapters.feeds import MatchFeed, read_feed
from actors.domain.errors import FeedError, SetupError
from actors.domain.events import Score, Tick
from actors.domain.match import new_match, state_hash
from actors.machines.match import fold

_IN_DATA_ROOT = re.compile(r"(wyscout|understat):\d+", re.ASCII)


class Inspection(Struct, frozen=True, kw_only=True):
    """What a match's feed folds to; pairs are home first. A provider that tells no events has no scores or cards."""

    provider: str
    match_id: str
    home: str
    away: str
    score: Score | None  # after extra time, without the shoot-out
    half_time: Score | None
    extra_time: Score | None  # goals of that phase alone; None if it was not played
    shoot_out: Score | None
    yellow: Score | None  # first cautions
    sent_off: Score | None  # straight red or second caution
    substitutions: Score | None  # None where the provider sends none
    records: int  # without ticks
    rejected: int
    state_hash: str


def inspect(feed: MatchFeed) -> Inspection:
    """Fold a feed as a match actor would read it from the log, and say what came out."""
    state = fold(new_match(feed.fixture), (timed.record for timed in feed.records))
    summary, believed = state.summary, feed.fixture.believed
    tells_events = believed.events is not None
    return Inspection(
        provider=believed.events or believed.clock or next(iter(believed.odds), feed.fixture.match_id.split(":")[0]),
        match_id=feed.fixture.match_id,
        home=feed.fixture.home.name,
        away=feed.fixture.away.name,
        score=summary.score if tells_events else None,
        half_time=summary.half_time if tells_events else None,
        extra_time=summary.extra_time,
        shoot_out=summary.shoot_out,
        yellow=summary.yellow if tells_events else None,
        sent_off=summary.sent_off if tells_events else None,
        substitutions=summary.substitutions,
        records=sum(not isinstance(timed.record.payload, Tick) for timed in feed.records),
        rejected=sum(state.rejected.values()),
        state_hash=state_hash(state),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="cluster.inspect", description="Fold providers' match files offline.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a match file, or wyscout:ID, understat:ID")
    parser.add_argument("--provider", help="instead of finding it out")
    parser.add_argument("--meta", type=Path, metavar="FILE", help="second file of a provider that sends two")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR", help="where wyscout:ID lies")
    options = parser.parse_args(arguments)
    if options.meta and len(options.files) > 1:
        parser.error("--meta belongs to one match: expected one FILE, received several")
    failed = 0
    for name in options.files:
        try:
            feed = _read(name, options.provider, options.meta, options.data_root)
        except (FeedError, SetupError) as error:
            print(" ".join(str(error).split()), file=sys.stderr)
            failed += 1
        else:
            print(msgspec.json.encode(inspect(feed)).decode(), flush=True)
    return 2 if failed else 0


def _read(name: str, provider: str | None, meta: Path | None, data_root: Path) -> MatchFeed:
    if _IN_DATA_ROOT.fullmatch(name) and not Path(name).exists():
        return read_match(data_root, name)
    return read_feed(Path(name), provider, meta)


if __name__ == "__main__":
    sys.exit(main())
