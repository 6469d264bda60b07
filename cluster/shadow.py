"""A candidate in the shadow of what is served: `python -m cluster.shadow VERSION|FOLDER [--data DIR] [key=value ...]`.

    python -m cluster.shadow inplay-2026-06-01 --data data
    python -m cluster.shadow models/candidate profile=cluster store.hosts=[a,b] feed.servers=[k:9092]

A model is a function of the inputs, and history has the inputs of every forecast. So what a candidate would have said
on live traffic is computed afterwards, of the same inputs, and costs serving nothing: it is scored on the matches whose
results are in, those before its training data ends left out, beside what was served.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

from msgspec.structs import replace

from actors.domain.distribution import Forecaster
from actors.domain.errors import SetupError
from actors.domain.health import Estimate, PhaseComparison
from actors.domain.judged import Followed, Judged
from actors.domain.markets import derive_markets
from actors.domain.ports import ModelStore
from cluster.command import add_data, answered, existing_history, existing_log, split, stores_of
from cluster.health import HealthSettings, LiveMatches, scored
from cluster.held_models import load_kept
from cluster.stores import Stores
from training.live_health import compare_phases
from training.network import TorchForecaster, load_model


def compare(matches: Iterable[Followed], candidate: Forecaster) -> tuple[PhaseComparison, ...]:
    """Score a candidate beside what was served, on those of the matches that have a result."""
    settled = [match for match in matches if match.result is not None and match.judged]
    return compare_phases(scored(settled), scored([shadow(match, candidate) for match in settled]))


def shadow(match: Followed, candidate: Forecaster) -> Followed:
    """Return a match as if the candidate had made its forecasts, of the inputs that they were made of."""
    answers = candidate.predict([each.inputs for each in match.judged])
    found = []
    for judged, answer in zip(match.judged, answers, strict=True):
        now = derive_markets(answer.distribution).one_x_two
        chances = (now.home, now.draw, now.away)
        found.append(
            Judged(minute=judged.minute, model_version=answer.model_version, chances=chances, inputs=judged.inputs)
        )
    return replace(match, judged=tuple(found))


def main(argv: Sequence[str]) -> int:
    """Run the command line; return its exit code."""
    words, overrides = split(argv)
    parser = argparse.ArgumentParser(
        prog="python -m cluster.shadow", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("candidate", metavar="VERSION|FOLDER", help="kept in history, or a model's folder")
    add_data(parser)
    options = parser.parse_args(words)
    return answered(lambda: _run(options.candidate, stores_of(options, overrides)))


def _run(name: str, stores: Stores) -> int:
    log, history = existing_log(stores), existing_history(stores)
    try:
        candidate = _candidate(name, history, stores.config.serve.batch_rows)
        matches = LiveMatches(log, history, HealthSettings(), pause=lambda: None)
        matches.refresh(datetime.now(UTC))
        since = datetime.combine(date.fromisoformat(candidate.manifest.trained_until), time(), UTC)
        found = compare(matches.matches(since), candidate)
    finally:
        history.close()
        log.close()
    print(f"{candidate.model_version} less what was served; below 0 it did better")
    for phase in found:
        print(f"{phase.minute:2}' n={phase.matches} log loss {_said(phase.log_loss)} RPS {_said(phase.rps)}")
    if not found:
        print(f"no match since {since:%Y-%m-%d} has its result yet")
    return 0


def _candidate(name: str, kept: ModelStore, batch_rows: int) -> TorchForecaster:
    folder = Path(name)
    if folder.is_dir():
        return load_model(folder, batch_rows=batch_rows)
    row = kept.model(name)
    if row is None:
        raise SetupError(f"{name} is no folder, and history keeps only {', '.join(kept.model_versions()) or 'none'}")
    return load_kept(row, batch_rows)


def _said(difference: Estimate) -> str:
    if difference.low is None or difference.high is None:
        return f"{difference.value:+.4f} (too few for an interval)"
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
