"""Counts the inputs that are known: `python -m training.count_inputs data.root=DIR matches=60`.

Over Wyscout matches, evenly spread in time, at the minutes at which live forecasts are judged.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from actors.adapters.feed_data_root import ListedMatch, list_matches, read_match
from actors.domain.errors import SetupError
from actors.domain.features import Extractor, Group, PreMatch, catalogue
from actors.domain.features.columns import IntArray
from actors.domain.judged import CLOCKS
from actors.domain.match import MatchState
from training.live_inputs import state_of_feed
from training.options import DataConfig, parse
from training.player_form import PlayerForms

Before = Callable[[MatchState], PreMatch]


@dataclass
class CountConfig:
    """Options of `training.count_inputs`."""

    data: DataConfig = field(default_factory=DataConfig)
    matches: int = 60  # 0: all of them
    players: bool = False  # true: know the players' form from the matches before, all of which are then read

    def __post_init__(self) -> None:
        if self.matches < 0:
            raise SetupError(f"matches must not be negative, was {self.matches}")


def main(arguments: list[str]) -> int:
    """Count and print; return the exit code."""
    try:
        config = parse(CountConfig, arguments, __doc__)
        root = Path(config.data.root)
        listed = list_matches(root, "wyscout")
        step = max(1, len(listed) // config.matches) if config.matches else 1
        ids = [match.match_id for match in listed[::step]]
        started = time.process_time()
        known = count(root, ids, with_forms(root, listed) if config.players else nothing_before)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    print(report(known))
    print(f"{(time.process_time() - started) / len(ids):.2f} s of CPU a match, reading included")
    return 0


def nothing_before(state: MatchState) -> PreMatch:
    """Know nothing of a match before its kick-off."""
    return PreMatch()


def with_forms(root: Path, listed: Sequence[ListedMatch]) -> Before:
    """Know the players' form; is to be asked in the order of kick-off, and learns on the way."""
    forms, waiting = PlayerForms(), deque(listed)

    def before(state: MatchState) -> PreMatch:
        while waiting and waiting[0].match_id != state.match_id:
            forms.learn(state_of_feed(read_match(root, waiting.popleft().match_id)))
        return forms.before(state, PreMatch())

    return before


def count(root: Path, match_ids: Sequence[str], before: Before = nothing_before) -> IntArray:
    """Return (matches, CLOCKS, inputs): 1 where an input is known, of what is known before kick-off by `before`."""
    known = np.zeros((len(match_ids), len(CLOCKS), len(catalogue())), np.int64)
    for row, match_id in enumerate(match_ids):
        state, extractor = state_of_feed(read_match(root, match_id)), Extractor()
        prematch = before(state)
        for column, at in enumerate(CLOCKS):
            known[row, column] = ~np.isnan(extractor.extract(state, prematch, at).values)
    return known


def report(known: IntArray) -> str:
    """Return a table: by minute the fewest, median and most known inputs of a match, and the median of each group."""
    groups = {group: [feature.group == group for feature in catalogue()] for group in sorted(_groups())}
    lines = [f"{known.shape[0]} matches, {known.shape[2]} inputs", "minute  min  median  max  " + "  ".join(groups)]
    for column, minute in enumerate(CLOCKS.values()):
        total = known[:, column].sum(axis=1)
        parts = [int(np.median(known[:, column][:, chosen].sum(axis=1))) for chosen in groups.values()]
        within = "  ".join(f"{part:>{len(group)}}" for part, group in zip(parts, groups, strict=True))
        lines.append(f"{minute:>6}  {total.min():>3}  {int(np.median(total)):>6}  {total.max():>3}  {within}")
    return "\n".join(lines)


def _groups() -> set[Group]:
    return {feature.group for feature in catalogue()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
