"""Fold every match of `data.root` offline and compare it with its match sheet.

    python -m cluster.check_sheets --data-root ../shared/data            # all 1,332 Wyscout matches: about a minute
    python -m cluster.check_sheets --data-root ../shared/data --source understat --every 10

A match is folded from its events; the sheet is what the same publisher says of the whole match (Wyscout), or
football-data's result (understat). Differences are printed, and the exit code is 1 if there is one without a reason.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.adapters.feed_data_root import SOURCES, Source, list_matches, match_row, read_match, rows_of
from actors.domain.errors import SetupError
from actors.domain.events import Score
from actors.domain.match import new_match
from actors.machines.match import fold

Difference = tuple[str, Score | None, Score | None]  # of the summary: field, folded, by the sheet

EXPLAINED: Mapping[str, str] = {
    "understat:12959": "Metz v Lyon: a penalty in the first half's 7th added minute stands in understat's second half",
}
INCOMPLETE = "understat itself lists fewer goals than were scored (goals_complete is false)"


def differences(root: Path, match_id: str) -> tuple[Difference, ...]:
    """Fold a match and return where its summary is not what the sheet says."""
    feed = read_match(root, match_id)
    summary = fold(new_match(feed.fixture), (timed.record for timed in feed.records)).summary
    return tuple(
        (field, getattr(summary, field), expected)
        for field, expected in sheet_facts(root, match_id).items()
        if getattr(summary, field) != expected
    )


def sheet_facts(root: Path, match_id: str) -> dict[str, Score | None]:
    """Return what a match's sheet says, by the names of `Summary`."""
    source, number = match_id.split(":")
    row = match_row(root, match_id)
    regular = Score(row["home_ft"], row["away_ft"])
    if source == "understat":
        half_time = {} if row["home_ht"] is None else {"half_time": Score(row["home_ht"], row["away_ht"])}
        return {"score": regular, **half_time}
    return {"regular": regular, **_wyscout_facts(row, Counter(_incidents(root, int(number))))}


def _wyscout_facts(row: Mapping[str, Any], counts: Counter[tuple[str, int]]) -> dict[str, Score | None]:
    beyond = row["duration"] != "Regular"
    extra_time = Score(row["home_et"] - row["home_ft"], row["away_et"] - row["away_ft"])
    return {
        "score": Score(row["home_et"], row["away_et"]) if beyond else Score(row["home_ft"], row["away_ft"]),
        "half_time": Score(row["home_ht"], row["away_ht"]),
        "extra_time": extra_time if beyond else None,
        "shoot_out": Score(row["home_pens"], row["away_pens"]) if row["duration"] == "Penalties" else None,
        "yellow": Score(counts["yellow", 0], counts["yellow", 1]),
        "sent_off": Score(row["home_reds"], row["away_reds"]),
        "substitutions": Score(counts["sub", 0], counts["sub", 1]),
    }


def _incidents(root: Path, match_id: int) -> Iterator[tuple[str, int]]:
    return ((row["kind"], row["side"]) for row in rows_of(root, "wyscout/incidents.parquet", match_id))


def reason_of(root: Path, match_id: str) -> str | None:
    """Return why a match may differ from its sheet; None: it may not."""
    is_incomplete = match_row(root, match_id).get("goals_complete") is False
    return EXPLAINED.get(match_id) or (INCOMPLETE if is_incomplete else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="cluster.check_sheets", description="Compare folded matches with sheets.")
    parser.add_argument("--data-root", type=Path, default=Path("data"), metavar="DIR")
    parser.add_argument("--source", choices=SOURCES, default="wyscout")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth match")
    options = parser.parse_args(arguments)
    if options.every < 1:
        parser.error(f"--every must be at least 1, was {options.every}")
    try:
        return _check(options.data_root, options.source, options.every)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2


def _check(root: Path, source: Source, every: int) -> int:
    matches = list_matches(root, source)[::every]
    explained = unexplained = 0
    for match in matches:
        found = differences(root, match.match_id)
        if not found:
            continue
        reason = reason_of(root, match.match_id)
        explained, unexplained = explained + (reason is not None), unexplained + (reason is None)
        for field, folded, expected in found:
            print(f"{match.match_id} {match.home} v {match.away}: {field} {_pair(folded)}, sheet {_pair(expected)}")
        print(f"  {reason or 'no explanation'}")
    equal = len(matches) - explained - unexplained
    print(
        f"{equal} of {len(matches)} matches equal their sheets; {explained} differ with a reason, {unexplained} without"
    )
    return 1 if unexplained else 0


def _pair(score: Score | None) -> str:
    return "none" if score is None else f"{score.home}-{score.away}"


if __name__ == "__main__":
    sys.exit(main())
