"""Decisions on retrained models: one JSON file each, beside the candidates; what ran last is read from them."""

import shutil
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from training.gate import Verdict
from training.window import Window

FOLDER = "retraining"  # of candidates, below the data folder
_DECISIONS = "decisions"
CANDIDATE = "retrained-"  # how the name of a candidate's folder begins
_KEPT = 7  # candidates beside those that were served, the newest
_DAY = timedelta(days=1)

Outcome = Literal["under way", "accepted", "rejected", "too little data", "failed"]


class Decision(Struct, frozen=True, kw_only=True):
    """What came of one retraining. A run that was killed stays under way: the next one goes on where it was."""

    began_at: datetime  # aware UTC, as all times
    as_of: date  # exclusive: nothing dated on or after it was looked at
    outcome: Outcome = "under way"
    reasons: tuple[str, ...] = ()
    ended_at: datetime | None = None
    history: str | None = None  # what the log added to data.root
    champion: str | None = None
    champion_trained_until: date | None = None
    candidate: str | None = None
    window: Window | None = None  # the candidate was fitted on what was before it
    verdict: Verdict | None = None
    is_served: bool = False  # whether the swap was made
    swap: str | None = None  # what was said of it


def write_decision(folder: Path, decision: Decision) -> Path:
    """Write a decision, whole or not at all, in the place of what was written of the same run; return its file."""
    path = folder / _DECISIONS / f"{decision.began_at:%Y-%m-%dT%H-%M-%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(decision), indent=1) + b"\n")
    draft.replace(path)
    return path


def last_decision(folder: Path) -> Decision | None:
    """Return the decision of the run that began last; one that cannot be read does not count."""
    return next(_decisions(folder), None)


def remove_old(folder: Path, kept: int = _KEPT) -> list[str]:
    """Remove the candidates' folders but for the newest; return their names.

    What is or was served or a champion stays, whatever its age, and all of them where a decision cannot be read.
    """
    decisions = list(_decisions(folder))
    if len(decisions) < len(list((folder / _DECISIONS).glob("*.json"))):
        return []
    served = {each.candidate for each in decisions if each.is_served} | {each.champion for each in decisions}
    found = [path for path in folder.glob(f"{CANDIDATE}*") if path.is_dir() and path.name not in served]
    old = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[kept:]
    fits = sorted(folder.glob(f".{CANDIDATE}*"), key=lambda path: path.stat().st_mtime)  # that were ended in the middle
    for path in (*old, *fits[:-1]):  # the newest may go on
        shutil.rmtree(path)
    return sorted(path.name for path in old)


def _decisions(folder: Path) -> Iterator[Decision]:
    """Yield the decisions that can be read, the run that began last first."""
    for path in sorted((folder / _DECISIONS).glob("*.json"), reverse=True):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Decision)
        except msgspec.DecodeError:
            continue


def due_at(last: Decision | None, started_at: datetime, every: timedelta, at: time | None) -> datetime:
    """Return when the next retraining is due; what was killed is due at once.

    Args:
        started_at: When the system started: the first retraining ever counts from there.
        at: Time of day in UTC; None: as soon as `every` is over.
    """
    if last is not None and last.outcome == "under way":
        return last.began_at
    if at is None:
        return started_at if last is None else last.began_at + every
    after = started_at if last is None else last.began_at + every - _DAY
    due = after.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return due if due > after else due + _DAY
