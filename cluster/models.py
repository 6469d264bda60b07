"""Model versions: `python -m cluster.models list|swap FOLDER|rollback|export FOLDER [--wait S] [--data DIR] [key=...]`.

    python -m cluster.models list --data data
    python -m cluster.models swap training/models/baseline-2017-12-01
    python -m cluster.models rollback profile=cluster feed.servers=[kafka:9092] store.hosts=[a,b]

`list` shows the versions that history keeps, which one is live, and where a rollback goes. `swap` checks a model's
folder, puts it into history, and asks the running system for it: every forecaster replica loads it aside, checks its
golden vectors, compares its cost with that of the live one, and acknowledges; then all change at one epoch. Whatever
fails, the live model stays. `rollback` goes back to the version that was live before, in the same way. `export` lays
the live model out as a folder, or the one in model.folder where none was committed yet.

Exit code 1: the swap was refused. 2: it could not be asked for, or nobody answered.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from actors.domain.errors import ModelRejected, SetupError
from actors.domain.models import Committed, ModelLog, Refused, SwapAsked
from actors.domain.ports import EventLog, ModelRow
from actors.models import ModelBook
from cluster.checks import need_model
from cluster.command import add_data, answered, existing_history, existing_log, log_if_any, split, stores_of
from cluster.held_models import pack, unpack
from cluster.stores import Stores

_WAIT_S = 90.0  # the registry gives a candidate sixty


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = split(argv)
    options = _parser().parse_args(words)
    return answered(lambda: _run(options, stores_of(options, overrides)))


def swap(stores: Stores, folder: Path, wait_s: float = _WAIT_S) -> Committed | Refused:
    """Have a model served instead of the live one; return what came of it.

    Raises:
        ModelRejected: It does not pass its own checks here; nobody was asked.
        SetupError: The folder is not whole, history has another model of this name, or nobody answered.
        StoreUnavailable: The log or history did not.
    """
    from training.network import load_model

    log = existing_log(stores)
    try:
        load_model(folder)
        return ask(log, stores.keep_model(folder), wait_s)
    finally:
        log.close()


def ask(log: EventLog, version: str | None, wait_s: float) -> Committed | Refused:
    """Ask the registry for a version that history keeps, None for the one before; return what it decided.

    Raises:
        SetupError: There is no answer within `wait_s`; a registry that starts later refuses what it finds asked.
    """
    book, request, deadline = ModelBook(log), uuid4().hex, time.monotonic() + wait_s
    book.refresh()
    book.say(SwapAsked(request=request, version=version, at=datetime.now(UTC)))
    while (left_s := deadline - time.monotonic()) > 0:
        for record in book.refresh(left_s):
            if isinstance(record, Committed | Refused) and record.request == request:
                return record
    raise SetupError(f"nobody decided within {wait_s:g} s; is Touchline running on this log?")


def export(stores: Stores, folder: Path) -> str:
    """Lay the live model out as a folder, which is made; return its version. Before the first commit: model.folder's.

    Raises:
        SetupError: There is something at `folder`, or no model to be had.
        StoreError: Log or history did not answer, or the model in it is damaged.
    """
    version = _live_version(stores)
    configured = Path(stores.config.model.folder).resolve()
    if version is None:
        manifest, content = need_model(configured), pack(configured)
        row = ModelRow(version=str(manifest["model_version"]), manifest=content[0], content=content[1])
    else:
        row = _kept(stores, version)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SetupError(f"{folder} cannot be made: {error.strerror}") from error
    unpack(row, folder)
    return row.version


def _live_version(stores: Stores) -> str | None:
    log = log_if_any(stores)
    if log is None:
        return None
    try:
        book = ModelBook(log)
        book.refresh()
        return book.state.version
    finally:
        log.close()


def _kept(stores: Stores, version: str) -> ModelRow:
    history = existing_history(stores)
    try:
        row = history.model(version)
    finally:
        history.close()
    if row is None:
        raise SetupError(f"{version} is live, but history does not keep it")
    return row


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    add_data(common)
    parser = argparse.ArgumentParser(
        prog="python -m cluster.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|swap|rollback|export")
    commands.add_parser("list", parents=[common], help="show the versions that history keeps")
    swapping = commands.add_parser("swap", parents=[common], help="have another model served")
    swapping.add_argument("folder", type=Path, metavar="FOLDER", help="of weights.safetensors and manifest.json")
    back = commands.add_parser("rollback", parents=[common], help="go back to the model that was live before")
    exporting = commands.add_parser("export", parents=[common], help="lay the live model out as a folder")
    exporting.add_argument("folder", type=Path, metavar="FOLDER", help="is made")
    for each in (swapping, back):
        each.add_argument("--wait", type=float, default=_WAIT_S, metavar="S", help=f"(default: {_WAIT_S:g} s)")
    return parser


def _run(options: argparse.Namespace, stores: Stores) -> int:
    match options.command:
        case "list":
            return _list(stores)
        case "export":
            print(export(stores, options.folder.resolve()))
            return 0
        case "swap":
            try:
                return _said(swap(stores, options.folder.resolve(), options.wait))
            except ModelRejected as rejected:
                print(f"Not swapped: {rejected}")
                return 1
    log = existing_log(stores)
    try:
        return _said(ask(log, None, options.wait))
    finally:
        log.close()


def _list(stores: Stores) -> int:
    log, history = existing_log(stores), existing_history(stores)
    try:
        book = ModelBook(log)
        commits = {each.version: each for each in book.refresh() if isinstance(each, Committed)}
        for version in history.model_versions():
            print(f"{version}: {_place(version, book.state, commits.get(version))}")
    finally:
        history.close()
        log.close()
    return 0


def _place(version: str, state: ModelLog, last: Committed | None) -> str:
    since = f" (last committed at epoch {last.epoch}, {last.at:%Y-%m-%d %H:%M} UTC)" if last else ""
    if version == state.version:
        return f"live{since}"
    return f"kept; a rollback goes here{since}" if version == state.previous else f"kept{since}"


def _said(decided: Committed | Refused) -> int:
    if isinstance(decided, Refused):
        print(f"Not swapped: {decided.why}. What was live stays live.")
        return 1
    cost = "" if decided.cpu_ratio is None else f" and takes {decided.cpu_ratio:.2f} times its CPU"
    print(
        f"{decided.version} is live at epoch {decided.epoch}; replicas that acknowledged it: {decided.replicas}. "
        f"It follows {decided.previous}{cost}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
