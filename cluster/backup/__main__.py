"""Backup of history: `python -m cluster.backup save FILE|restore FILE [--data DIR] [key=value ...]`.

    python -m cluster.backup save /backup/2026-08-01.zip
    python -m cluster.backup restore /backup/2026-08-01.zip profile=cluster store.hosts=[a,b] feed.servers=[k:9092]

`save` writes predictions, their inputs, chain heads, models and feed records (not with --without-events) to one file,
while Touchline runs; user activity and what-ifs are not in it. A backup of either profile can be restored into either.

`restore` looks at the whole file first and refuses one that was cut off, changed, or made by a newer version. It adds
what is missing; the first row of a key stays, so doing it again changes nothing. Stop Touchline before: when it starts
again, its history writer copies from the log what came after the backup. Then it walks the chain of every match, as
`cluster.audit verify` does. Exit code 1: a chain is broken, or a history writer was running. 2: it could not be done.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from actors.domain.ports import FEED, FORECASTS, EventLog
from cluster.audit import heads_by_match, print_verified
from cluster.backup.file import Backup, Manifest
from cluster.backup.restore import LogBeside, look_at_log, moved_meanwhile, put_back, write_rows
from cluster.backup.save import save
from cluster.backup.tables import ROWS
from cluster.command import add_data, answered, existing_history, log_if_any, split, stores_of
from cluster.processes import only_one
from cluster.stores import AllHistory, Stores
from conf.stores import CassandraStoreConfig

_IN_WORDS = {"feature_snapshots": "feature snapshots", "heads": "chain heads"}
_ANOTHER_LOG = (
    "The log here is not the one that the backup was made beside: its feed records were left out, and no match may be "
    "played again under an id that the backup has."
)
_NO_LOG = (
    "There is no log here yet: put back the one that belongs to this history before Touchline starts; beside a new one "
    "no match may be played again under an id that the backup has."
)


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = split(argv)
    options = _parser().parse_args(words)
    act = _save if options.command == "save" else _restore
    return answered(lambda: act(options, stores_of(options, overrides)))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    add_data(common)
    common.add_argument("file", type=Path, metavar="FILE")
    common.add_argument("--without-events", action="store_true", help="leave feed records out")
    parser = argparse.ArgumentParser(
        prog="python -m cluster.backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="save|restore")
    commands.add_parser("save", parents=[common], help="write history to a file")
    commands.add_parser("restore", parents=[common], help="add what a file has to history, and verify it")
    return parser


def _save(options: argparse.Namespace, stores: Stores) -> int:
    history = existing_history(stores)
    try:
        with _progress("Saving") as show:
            manifest = save(history, options.file, datetime.now(UTC), not options.without_events, show)
    finally:
        history.close()
    print(f"Saved {manifest.matches} matches: {_counts({table: manifest.rows(table) for table in ROWS})}")
    print(f"{options.file}: {options.file.stat().st_size} bytes")
    return 0


def _restore(options: argparse.Namespace, stores: Stores) -> int:
    with _progress("Checking") as show:
        backup = Backup(options.file, show)
    with _stopped(stores):
        history, log = _history(stores), log_if_any(stores)
        try:
            return _restored(backup, history, log, not options.without_events)
        finally:
            history.close()
            if log is not None:
                log.close()


@contextmanager
def _stopped(stores: Stores) -> Iterator[None]:
    """Keep Touchline from starting on this folder meanwhile. On a cluster its history writer may run anywhere."""
    if isinstance(stores.config.store, CassandraStoreConfig):
        yield
        return
    with only_one(stores.folder):
        yield


def _history(stores: Stores) -> AllHistory:
    """Open history, making it first where there is none."""
    if isinstance(stores.config.store, CassandraStoreConfig):
        from cluster.migrate import migrate

        migrate(stores.config.store)
    return stores.history()


def _restored(backup: Backup, history: AllHistory, log: EventLog | None, with_events: bool) -> int:
    beside = look_at_log(log, backup.manifest.offsets)
    with_events = with_events and backup.manifest.has_events and not beside.is_another
    with _progress("Restoring") as show:
        written = write_rows(history, backup, with_events, show)
    consumers = (FEED, FORECASTS) if with_events else (FORECASTS,)
    put = put_back(history, consumers, {} if beside.is_another else backup.manifest.offsets)
    print(f"Restored the backup of {backup.manifest.made_at:%Y-%m-%dT%H:%M:%SZ}: {_counts(written)}")
    _say_of_log(beside)
    code = _verified(history, log if beside.is_its_own else None, backup.manifest)
    if moved_meanwhile(history, put):
        print("A history writer was running and may have skipped records: stop Touchline and restore again.")
        return 1
    return code


def _verified(history: AllHistory, log: EventLog | None, manifest: Manifest) -> int:
    """Walk the chains of all matches; the log says how long they were when the backup was made."""
    in_log = heads_by_match(log, manifest.offsets.get(FORECASTS, {})) if log is not None else {}
    known = {*history.matches(), *(match_id for match_id, heads in in_log.items() if heads)}
    return print_verified(history, sorted(known), in_log)


def _say_of_log(beside: LogBeside) -> None:
    if not beside.is_there:
        print(_NO_LOG)
    elif beside.is_another:
        print(_ANOTHER_LOG)
    else:
        print("The history writer will copy from the log what came after the backup, once Touchline starts.")
    for words in beside.lost:
        print(f"Neither in the backup nor in the log any more: {words}")


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{rows.get(table, 0)} {_IN_WORDS.get(table, table)}" for table in ROWS)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr if that is a terminal; yield what sets it: (how much is done, of how much)."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
