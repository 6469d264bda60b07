"""One retraining: champion, held-out window, candidate, verdict, swap; every step is written down."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec.structs import replace

from actors.domain.errors import ForecastingError, SetupError
from conf.retrain import RetrainConfig
from conf.schema import Config
from training.decisions import CANDIDATE, FOLDER, Decision, Outcome, last_decision, remove_old, write_decision
from training.gate import HeldOut, Tolerance, judge
from training.held_out import find_window, held_out
from training.live_data import data_hashes
from training.model_file import MANIFEST, Manifest, sha256
from training.options import DataConfig, FitConfig, code_commit
from training.served import Served

logger = logging.getLogger("touchline.retraining")

_HISTORY = "history"  # beside the candidates

Report = Callable[[str], None]
Fit = Callable[[FitConfig, Report], Path]


def retrain(config: Config, as_of: date, served: Served, fit: Fit, report: Report) -> Decision:
    """Fit, judge, decide, and have an accepted candidate served; return the decision, which is written by then.

    Whatever goes wrong is the candidate's end, not the champion's: the decision says what it was.
    """
    folder = _folder(config)
    decision, last = Decision(began_at=_now(), as_of=as_of), last_decision(folder)
    goes_on = last is not None and last.outcome == "under way" and last.as_of == as_of
    try:
        for step in _steps(config, decision, served, fit, report, goes_on):
            decision = step
            write_decision(folder, decision)
    except Exception as error:
        logger.exception("Retraining failed")
        why = str(error) if isinstance(error, ForecastingError) else repr(error)
        decision = replace(decision, outcome="failed", reasons=(why,))
    decision = replace(decision, ended_at=_now())
    report(f"the decision is in {write_decision(folder, decision)}")
    if removed := remove_old(folder):
        report(f"removed old candidates that were never served: {', '.join(removed)}")
    return decision


def _steps(
    config: Config, decision: Decision, served: Served, fit: Fit, report: Report, goes_on: bool
) -> Iterator[Decision]:
    """Yield the decision whenever there is more of it; `goes_on`: history is what it was when a kill ended the last."""
    yield decision
    options = config.retrain
    root, added = _history(config, decision.as_of, served, goes_on)
    report(added)
    decision = replace(decision, history=added)
    yield decision
    with TemporaryDirectory(prefix="touchline-champion-") as made:
        champion = _champion(options, served, Path(made) / "champion")
        window = find_window(root, options.suites, _trained_until(champion), decision.as_of, options.holdout_matches)
        decision = replace(
            decision,
            champion=_manifest(champion).model_version,
            champion_trained_until=_trained_until(champion),
            window=window,
        )
        if shortage := window.shortage(options.least_matches):
            yield replace(decision, outcome="too little data", reasons=(shortage,))
            return
        report(f"champion {decision.champion}; held out: {window.since} <= date < {window.until}, {window.matches}")
        candidate = _candidate(config, root, window.since, fit, report)
        decision = replace(decision, candidate=candidate.name)
        yield decision
        report(f"judging {candidate.name}")
        decision = _judged(decision, list(held_out(root, window, candidate, champion)), options)
        yield decision
    if decision.outcome == "accepted" and options.swap:
        report("swapping")
        is_served, said = served.swap(candidate)
        yield replace(decision, is_served=is_served, swap=said)


def _folder(config: Config) -> Path:
    return Path(config.store.folder).resolve() / FOLDER


def _history(config: Config, as_of: date, served: Served, goes_on: bool) -> tuple[Path, str]:
    """Lay out history as it is now; return its folder and what was added.

    A fit that was killed finds the folder again as it was, whatever has finished since: else it would begin anew.
    """
    folder = _folder(config) / _HISTORY
    if goes_on and folder.is_dir():
        return folder, f"{folder}: as it was"
    draft = folder.with_name(f".{_HISTORY}")  # renamed once it is whole
    for old in (folder, draft):
        if old.exists():
            shutil.rmtree(old)
    added = served.history(draft, as_of).replace(str(draft), str(folder))
    draft.rename(folder)
    return folder, added


def _champion(options: RetrainConfig, served: Served, folder: Path) -> Path:
    if options.champion:
        return Path(options.champion).resolve()
    served.champion(folder)
    return folder


def _candidate(config: Config, root: Path, until: date, fit: Fit, report: Report) -> Path:
    """Fit the candidate; one of the same data, code, date and seed that is there already is the same.

    So a run that was killed in the fit goes on in it, and one that was killed later has it behind it.
    """
    seed = config.retrain.seed
    made_of = msgspec.json.encode([data_hashes(root), until, seed, code_commit()])
    out = _folder(config) / f"{CANDIDATE}{until}-{sha256(made_of)[:8]}"
    if (out / MANIFEST).is_file():
        return out
    return fit(FitConfig(data=DataConfig(root=str(root)), out=str(out), until=until.isoformat(), seed=seed), report)


def _judged(decision: Decision, phases: Sequence[HeldOut], options: RetrainConfig) -> Decision:
    tolerance = Tolerance(
        log_loss=options.log_loss_tolerance, rps=options.rps_tolerance, calibration=options.calibration_tolerance
    )
    verdict = judge(phases, tolerance, options.seed)
    lacking = sorted({*options.suites} - {phase.suite for phase in phases})
    not_compared = (f"not compared, for {_why_not(decision, suite)}: {suite}" for suite in lacking)
    outcome: Outcome = "accepted" if verdict.is_accepted else "rejected"
    return replace(decision, outcome=outcome, reasons=(*verdict.reasons, *not_compared), verdict=verdict)


def _why_not(decision: Decision, suite: str) -> str:
    if decision.window is not None and suite not in decision.window.matches:
        return f"there is no match since {decision.champion_trained_until}"
    return "the champion does not forecast it"


def _manifest(folder: Path) -> Manifest:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"champion {folder}: its manifest cannot be read ({error})") from error


def _trained_until(folder: Path) -> date:
    return date.fromisoformat(_manifest(folder).trained_until)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
