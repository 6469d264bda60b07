"""What the operators' command lines share: words beside key=value, stores that are there already, errors in a sentence.

`--data DIR` is short for `data.folder=DIR`; every other option of conf/ is given as key=value, such as
`profile=cluster store.hosts=[a,b]`.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from actors.domain.errors import ForecastingError, SetupError
from actors.domain.ports import DEAD_LETTERS, FORECASTS, EventLog
from cluster.stores import AllHistory, Stores
from conf.run import EXIT_SETUP, WrongOptions, load, setting
from conf.stores import EmbeddedStoreConfig, FeedConfig, KafkaFeedConfig

_OVERRIDE = re.compile(r"[+~]*[a-z_][a-z0-9_./]*=")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the one option that all of them have."""
    parser.add_argument("--data", metavar="DIR", help="the data folder, short for data.folder=DIR (default: data)")


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a command line, and its overrides of the configuration.

    >>> split(["verify", "--match", "wyscout:1", "profile=cluster", "--data=here"])
    (['verify', '--match', 'wyscout:1', '--data=here'], ['profile=cluster'])
    """
    overrides = [word for word in argv if _OVERRIDE.match(word)]
    return [word for word in argv if not _OVERRIDE.match(word)], overrides


def stores_of(options: argparse.Namespace, overrides: Sequence[str]) -> Stores:
    """Return the stores that a command line names; raises WrongOptions."""
    folder = [setting("data.folder", options.data)] if options.data else []
    return Stores(load([*folder, *overrides]))


def existing_history(stores: Stores) -> AllHistory:
    """Open history where there is one; what only looks must not make an empty one.

    Raises:
        SetupError: There is none.
    """
    path = stores.folder / "history.db"
    if isinstance(stores.config.store, EmbeddedStoreConfig) and not path.is_file():
        raise SetupError(f"no history at {path}; name the data folder with --data")
    return stores.history()


def log_if_any(stores: Stores) -> EventLog | None:
    """Open the log; None where it was never made.

    Raises:
        SetupError: It cannot be reached, or has another number of partitions.
    """
    match stores.config.feed:
        case KafkaFeedConfig() as feed:
            from actors.adapters.kafka_topics import has_topics

            return stores.log() if has_topics(feed, stores.partitions) else None
        case feed:
            return _embedded_log(stores, feed)


def _embedded_log(stores: Stores, feed: FeedConfig) -> EventLog | None:
    """Open the log in the data folder, which says itself how many partitions it has."""
    partitions = stores.folder / "log" / FORECASTS / "partitions"
    if not partitions.is_file():
        return None
    count = int(partitions.read_text())
    as_it_is = replace(feed, partitions=count, shared_partitions=min(count, feed.shared_partitions))
    return Stores(replace(stores.config, feed=as_it_is)).log()


def existing_log(stores: Stores) -> EventLog:
    """Open the log where there is one.

    Raises:
        SetupError: There is none.
    """
    log = log_if_any(stores)
    if log is not None:
        return log
    feed = stores.config.feed
    if isinstance(feed, KafkaFeedConfig):
        raise SetupError(f"Kafka at {', '.join(feed.servers)} has no topic {feed.topic_prefix}{DEAD_LETTERS}")
    raise SetupError(f"no log at {stores.folder / 'log'}; name the data folder with --data")


def answered(act: Callable[[], int]) -> int:
    """Run a command; what it cannot do is one sentence on stderr and exit code 2, and Ctrl-C is 130."""
    try:
        return act()
    except (ForecastingError, WrongOptions) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return EXIT_SETUP
    except KeyboardInterrupt:
        return 130
