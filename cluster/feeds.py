"""Which matches are played: files, `data.root` matches by id, or the demo; with the prices of data.root."""

import logging
from collections.abc import Iterable
from pathlib import Path

from actors.adapters.feed_betfair import join_odds
from actors.adapters.feed_data_root import read_match
from actors.adapters.feeds import MatchFeed, read_feed
from actors.domain.errors import NotAMatch, SetupError
from actors.domain.events import Odds

logger = logging.getLogger("touchline.feeds")

DEMO = Path(__file__).resolve().parent / "demo"
DATA_ROOT_PROVIDERS = ("wyscout", "understat")


def demo_files() -> list[Path]:
    """Return the demo matches that ship with the repository."""
    return sorted(DEMO.glob("wyscout_*.json.xz"))


def read_feeds(names: Iterable[str], data_root: Path) -> list[MatchFeed]:
    """Read the named matches; no name means the demo.

    Raises:
        NotAMatch: A file is no match, or data.root has no such match.
        SetupError: data.root is not there.
    """
    sources = list(names) or [str(path) for path in demo_files()]
    return [_with_prices(_read(source, data_root), data_root) for source in sources]


def _read(source: str, data_root: Path) -> MatchFeed:
    provider, _, number = source.partition(":")
    if provider in DATA_ROOT_PROVIDERS and number and not Path(source).exists():
        return read_match(data_root, source)
    return read_feed(Path(source))


def _with_prices(feed: MatchFeed, data_root: Path) -> MatchFeed:
    """Add the prices before kick-off that data.root has for a match whose own feed has none."""
    if any(isinstance(timed.record.payload, Odds) for timed in feed.records):
        return feed
    try:
        known = read_match(data_root, feed.fixture.match_id)
    except (NotAMatch, SetupError) as error:
        logger.info("Match played without prices", extra={"match_id": feed.fixture.match_id, "why": str(error)})
        return feed
    odds = [timed for timed in known.records if isinstance(timed.record.payload, Odds)]
    return join_odds(feed, odds) if odds else feed
