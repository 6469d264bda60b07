"""Saving history while it is being written.

What is read first may be older than what is read last, so the order matters: offsets before everything, since all
records before them must be in the backup; a match's heads before its predictions, since a head promises rows.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from actors.domain.ports import FEED, FORECASTS, EventRow, History, PredictionRow
from cluster.backup.file import BackupWriter, Manifest
from cluster.backup.tables import InputsRow
from cluster.stores import AllHistory

_PAGE = 500
_AT_ONCE = 8  # feature snapshots asked for: each is a request of its own


def save(
    history: AllHistory, path: Path, made_at: datetime, with_events: bool, progress: Callable[[int, int], None]
) -> Manifest:
    """Write a backup of history; return what is in it.

    Args:
        progress: Is told how many matches and places of events are done, of how many.
    Raises:
        SetupError: The file is there already, or cannot be written.
        StoreError: History could not be read; there is no file then.
    """
    offsets = {consumer: history.offsets(consumer) for consumer in (FEED, FORECASTS)}
    matches = history.matches()
    places = history.event_places() if with_events else []
    total = len(matches) + len(places)
    with BackupWriter(path) as writer, ThreadPoolExecutor(_AT_ONCE) as pool:
        _save_models(history, writer)
        for done, match_id in enumerate(matches):
            progress(done, total)
            _save_match(history, match_id, writer, pool)
        for done, (match_id, partition) in enumerate(places, start=len(matches)):
            progress(done, total)
            for event in _events(history, match_id, partition):
                writer.add(event)
        progress(total, total)
        return writer.finish(made_at, len(matches), with_events, offsets if with_events else offsets | {FEED: {}})


def _save_models(history: AllHistory, writer: BackupWriter) -> None:
    for version in history.model_versions():
        if (model := history.model(version)) is not None:
            writer.add(model)


def _save_match(history: AllHistory, match_id: str, writer: BackupWriter, pool: ThreadPoolExecutor) -> None:
    heads, saved = history.heads(match_id), set[str]()
    for page in _pages(history, match_id):
        wanted = dict.fromkeys(row.feature_snapshot_id for row in page)
        new = [snapshot_id for snapshot_id in wanted if snapshot_id not in saved]
        for snapshot in _snapshots(history, new, pool):
            writer.add(snapshot)
        saved.update(new)
        for row in page:
            writer.add(row)
    for head in heads:
        writer.add(head)


def _pages(history: History, match_id: str) -> Iterator[list[PredictionRow]]:
    after = -1
    while page := history.predictions(match_id, after, _PAGE):
        yield page
        after = page[-1].seq


def _snapshots(history: History, ids: Iterable[str], pool: ThreadPoolExecutor) -> Iterator[InputsRow]:
    """Yield those that are there; the audit names a forecast whose inputs are not."""
    ids = list(ids)
    for snapshot_id, inputs in zip(ids, pool.map(history.feature_snapshot, ids), strict=True):
        if inputs is not None:
            yield InputsRow(snapshot_id=snapshot_id, inputs=inputs)


def _events(history: History, match_id: str, partition: int) -> Iterator[EventRow]:
    after = -1
    while page := history.events(match_id, partition, after, _PAGE):
        yield from page
        after = page[-1].offset
