"""What candidate and champion say of held-out matches, phase by phase.

Ratings move on match by match through the window; weights stay. What is judged is what is served: nothing is fitted
again on the window afterwards, and the next retraining has it in its past.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch

from training.evaluate_live import SUITES as LIVE
from training.gate import HeldOut
from training.live_data import load_live
from training.live_score import MINUTES, forecast
from training.model_file import PREMATCH_FOLDER
from training.network import load_model
from training.prematch.inputs import prematch_inputs
from training.prematch.model import Known
from training.prematch.model import forecast as forecast_prematch
from training.prematch.store import read_prematch
from training.prematch.table import load_table
from training.window import Days, Window, window_of

_EPOCH = date(1970, 1, 1)
_KNOWN: tuple[Known, ...] = ("no_odds", "past_odds", "pre_odds")  # at the close both give the close itself
_DAYS_OF_WEEK = 7


def find_window(root: Path, suites: Sequence[str], trained_until: date, as_of: date, wanted: int) -> Window:
    """Return the shortest window in which every suite has the wanted matches, or all since `trained_until`.

    Raises:
        SetupError: The data cannot be read.
    """
    days = {suite: _days(root, suite, trained_until, as_of) for suite in suites}
    return window_of(days, trained_until, as_of, wanted)


def held_out(root: Path, window: Window, candidate: Path, champion: Path) -> Iterator[HeldOut]:
    """Yield every phase of the window's suites that both models forecast: the first model has none before kick-off.

    Raises:
        SetupError: The data cannot be read.
        ModelRejected: A model's folder is not what it should be.
    """
    torch.set_num_threads(1)
    for suite in window.matches:
        if suite in LIVE:
            yield from _live(root, suite, window, candidate, champion)
        elif all((model / PREMATCH_FOLDER).is_dir() for model in (candidate, champion)):
            yield from _prematch(root, suite, window, candidate, champion)


def _live(root: Path, suite: str, window: Window, candidate: Path, champion: Path) -> Iterator[HeldOut]:
    matches = load_live(root, LIVE[suite], window.since, window.until)
    ours, theirs = (forecast(load_model(model), matches).chances for model in (candidate, champion))
    for minute, one, other in zip(MINUTES, ours, theirs, strict=True):
        yield HeldOut(suite=suite, phase=f"{minute}'", candidate=one, champion=other, outcome=matches.outcome)


def _prematch(root: Path, suite: str, window: Window, candidate: Path, champion: Path) -> Iterator[HeldOut]:
    table = load_table(root)
    table = table.rows(table.day < _day(window.until))
    chosen = np.flatnonzero((table.day >= _day(window.since)) & (table.outcome() >= 0))
    inputs = prematch_inputs(table).rows(chosen)
    table = table.rows(chosen)
    models = [read_prematch(model / PREMATCH_FOLDER)[1] for model in (candidate, champion)]
    for known in _KNOWN:
        ours, theirs = (forecast_prematch(model, table, inputs, known).outcome for model in models)
        yield HeldOut(
            suite=suite,
            phase=known,
            candidate=ours,
            champion=theirs,
            outcome=table.outcome(),
            groups=table.day // _DAYS_OF_WEEK,
        )


def _days(root: Path, suite: str, since: date, until: date) -> Days:
    """Return the days of a suite's matches that can be scored."""
    if suite in LIVE:
        return load_live(root, LIVE[suite], since, until).day
    table = load_table(root)
    chosen = (table.outcome() >= 0) & (table.day >= _day(since)) & (table.day < _day(until))
    return table.day[chosen].astype("datetime64[D]")


def _day(day: date) -> int:
    return (day - _EPOCH).days
