"""Dead letters: `python -m cluster.dlq list|inspect ID|replay ID...|replay --all [--data DIR] [key=value ...]`.

    python -m cluster.dlq list --reason malformed_payload --limit 20
    python -m cluster.dlq inspect feed.v1/5/812
    python -m cluster.dlq replay --all --reason wrong_partition profile=cluster feed.servers=[kafka:9092]

A letter is a feed record that its match could not use, whole, with the reason; its id says where it stood. `list` shows
them, the newest last. `replay` appends a record again, as it came, to the partition that its match is leased now: after
an upgrade that can read it, or where it had come to another match's partition. A record that the match has already
changes nothing, since events count by id and version, so replaying twice is harmless; `--all` leaves out what was
replayed before. One that the match refuses again comes back as a letter with another id.

Exit code 1: at least one letter was not replayed. 2: it could not be done at all.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from actors.domain.errors import SetupError
from actors.domain.ports import EventLog
from actors.supervisor import FixtureBook
from cluster.command import add_data, answered, existing_log, split, stores_of
from cluster.dlq.box import Box, Entry, read_box, read_letter
from cluster.dlq.replaying import CannotReplay, replay, target
from cluster.dlq.showing import counted, listed, printable, shown

_LIMIT = 50


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = split(argv)
    options = _parser().parse_args(words)
    return answered(lambda: _run(options, overrides))


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    add_data(common)
    parser = argparse.ArgumentParser(
        prog="python -m cluster.dlq", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|inspect|replay")
    listing = commands.add_parser("list", parents=[common], help="show the letters, newest last, and count by reason")
    listing.add_argument("--limit", type=_count, default=_LIMIT, help=f"show so many at most (default: {_LIMIT})")
    listing.add_argument("--reason", help="only those of one reason")
    one = commands.add_parser("inspect", parents=[common], help="show one letter whole")
    one.add_argument("id")
    again = commands.add_parser("replay", parents=[common], help="append records again where their match reads now")
    again.add_argument("ids", nargs="*", metavar="ID")
    again.add_argument("--all", action="store_true", help="all letters that were not replayed yet")
    again.add_argument("--reason", help="of those only the ones of one reason")
    again.add_argument("--anyway", action="store_true", help="also what this code cannot read either")
    return parser


def _run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    log = existing_log(stores_of(options, overrides))
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    try:
        box = read_box(log)
        match options.command:
            case "list":
                return _list(box, options, console)
            case "inspect":
                return _inspect(log, box, options.id, console)
        return _replay(log, _chosen(box, options), options.anyway, console)
    finally:
        log.close()


def _list(box: Box, options: argparse.Namespace, console: Console) -> int:
    entries = _of_reason(box.entries, options.reason)
    if (older := len(entries) - options.limit) > 0:
        console.print(f"({older} older ones are left out, see --limit)")
    for line in listed(entries[-options.limit :]):
        console.print(line)
    console.print(counted(entries))
    if box.unreadable:
        console.print(f"{box.unreadable} records of feed.dlq cannot be read")
    return 0


def _inspect(log: EventLog, box: Box, wanted: str, console: Console) -> int:
    [entry] = box.named([wanted])
    for line in shown(read_letter(log, entry), entry):
        console.print(line)
    return 0


def _chosen(box: Box, options: argparse.Namespace) -> list[Entry]:
    """Return the letters that a command line means; raises SetupError where it says that in two ways, or in none."""
    if options.all == bool(options.ids):
        raise SetupError("expected the ids of letters, or --all")
    if options.ids and options.reason:
        raise SetupError("--reason belongs to --all")
    if options.ids:
        return box.named(options.ids)
    return [entry for entry in _of_reason(box.entries, options.reason) if entry.replayed is None]


def _replay(log: EventLog, entries: Sequence[Entry], anyway: bool, console: Console) -> int:
    book, refused = FixtureBook(log), 0
    book.refresh()
    for entry in entries:
        letter = read_letter(log, entry)
        try:
            mark = replay(log, letter, target(letter, book.fixtures, anyway))
        except CannotReplay as problem:
            refused += 1
            console.print(printable(str(problem)))
        else:
            where = f"{letter.topic}/{mark.partition} at offset {mark.offset}"
            console.print(printable(f"{letter.id}: appended to {where}, for {letter.key}"))
    console.print(f"{len(entries) - refused} replayed, {refused} not")
    return 1 if refused else 0


def _of_reason(entries: Sequence[Entry], reason: str | None) -> list[Entry]:
    return [entry for entry in entries if reason in (None, entry.reason)]


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, was {number}")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
