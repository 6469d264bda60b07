"""Decisions on retrained models: one JSON file each, beside the candidates; what ran last is read from them."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from training.gate import Verdict
from training.window import Window

FOLDER = "retraining"  # of candidates, below the data folder
_DECISIONS = "decisions"
_DAY = timedelta(days=1)

Outcome = Literal["under way", "accepted", "rejected", "too little data", "failed"]


class Decision(Struct, frozen=True, kw_only=True):
    """What came of one retraining. A run that was killed stays under way: the next one goes on where it was."""

    began_at: datetime  # aware UTC, as all times
    as_of: date  # exclusive: nothing dated on or after it was looked at
    outcome: Outcome = "under way"
    reasons: tuple[str, ...] = ()
    ended_at: datetime | None = None
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
    for path in sorted((folder / _DECISIONS).glob("*.json"), reverse=True):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Decision)
        except msgspec.DecodeError:
            continue
    return None


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
