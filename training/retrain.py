"""Retrains: `python -m training.retrain when=now [key=value ...]`, options as in conf/, such as `retrain.swap=false`.

Fits a candidate on history before `when` (now, or a date): data.root, and the results of the log that it has not got.
Judges it beside the champion on the newest matches, which neither was fitted on: see `training.window`, and
`training.gate` for what must hold. The candidate and the decision with all its figures lie in `retraining/` of the data
folder. An accepted candidate is served, by the two-phase swap; whatever else happens, the champion stays. Killed and
started again, it goes on where it was. It runs at the lowest priority.

Exit code 0: decided, either way. 1: it failed, and the decision says why. 2: it could not begin.
"""

import logging
import os
import sys
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path

import psutil

from actors.adapters.file_lock import held
from actors.domain.errors import SetupError
from conf.run import EXIT_SETUP, WrongOptions, load
from training.decisions import FOLDER, Decision
from training.fit import fit
from training.options import check_date
from training.served import CommandLine

_WHEN, _NOW = "when=", "now"
_LOWEST = 19


def main(arguments: list[str]) -> int:
    """Retrain as the arguments say; return the exit code."""
    overrides = [word for word in arguments if not word.startswith(_WHEN)]
    when = next((word.removeprefix(_WHEN) for word in arguments if word.startswith(_WHEN)), _NOW)
    try:
        config, as_of = load(overrides), as_of_date(when, datetime.now(UTC))
        with only_one(Path(config.store.folder).resolve() / FOLDER):
            step_back()
            from training.retraining import retrain  # torch, behind what is refused at once

            decision = retrain(config, as_of, CommandLine(overrides), fit, report=_say)
    except (SetupError, WrongOptions) as error:
        print(error, file=sys.stderr)
        return EXIT_SETUP
    print("\n".join(summary(decision)))
    return 1 if decision.outcome == "failed" else 0


def as_of_date(when: str, now: datetime) -> date:
    """Return the day before which history lies: today is not over. Raises SetupError."""
    if when == _NOW:
        return now.date()
    check_date("when", when)
    return date.fromisoformat(when)


def only_one(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of retraining; raises SetupError."""
    return held(folder / "lock", str(folder), ": a retraining is under way there")


def step_back() -> None:
    """Take processor and disk only where nobody else wants them; what we start inherits it."""
    os.nice(_LOWEST - os.nice(0))
    psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)


def summary(decision: Decision) -> list[str]:
    """Return what a person wants to know of a decision; all of it is in its file."""
    lines = [f"{decision.outcome}: {decision.candidate or 'no candidate'} beside {decision.champion or 'no champion'}"]
    lines += [f"  {reason}" for reason in decision.reasons]
    for suite in decision.verdict.suites if decision.verdict else ():
        for name, found in (("log loss", suite.log_loss), ("RPS", suite.rps)):
            gain = f"{found.difference:+.5f} [{found.low:+.5f}, {found.high:+.5f}]"
            lines.append(f"  {suite.suite}, n={suite.matches}: {name} {gain}")
    return [*lines, f"  {decision.swap}"] if decision.swap else lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(main(sys.argv[1:]))
