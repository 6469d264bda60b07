"""Scores encoders of events beside the in-play model: `python -m training.sequence data.root=DIR suite=wyscout`.

Three encoders are pre-trained, each on two thirds of the matches before the validation split. A correction is fitted to
what each makes of the third that it has not seen, since of others it knows the goals; the mean of the three is scored.
"""

import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from actors.domain.errors import ModelRejected, SetupError
from training.live_data import FloatArray, load_live
from training.live_score import SPLITS
from training.metrics import paired_bootstrap
from training.network import TorchForecaster
from training.options import DataConfig, parse
from training.sequence.correction import POOLED, SCORED, Known, cross_fit, fit_and_apply, gains, known, part
from training.sequence.encoder import BATCH, Encoder, Views, pretrain, read_out
from training.sequence.events import Events, load_events
from training.sequence.view import view, window_counts

WINDOWS, OUTLOOK, STATE = INPUTS = ("windows", "outlook", "state")
TRAINING = "training"
_FOLDS = 3
_FIRST_DAY = date(1990, 1, 1)
_LEVEL = 0.9


@dataclass
class SequenceConfig:
    """Options of `training.sequence`."""

    data: DataConfig = field(default_factory=DataConfig)
    model: str = "training/models/touchline-2017-12-01"  # that is to be corrected
    suite: str = "wyscout"  # or understat, whose events are shots
    split: str = "validation"  # or test, for what was chosen on it; or training: each match by fits without it
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))  # counts in windows; an encoder's outlook, state
    precisions: list[float] = field(default_factory=lambda: [1e2, 1e3, 1e4, 1e5])
    epochs: int = 10
    keep: str = ""  # a folder for the encoders, which another run with the same options takes from there
    seed: int = 0

    def __post_init__(self) -> None:
        suites, splits = ({each[place] for each in SPLITS} for place in (0, 1))
        for key, value, known_values in (
            ("suite", {self.suite}, suites),
            ("split", {self.split}, splits | {TRAINING}),
            ("inputs", set(self.inputs), set(INPUTS)),
        ):
            if not value <= known_values:
                raise SetupError(f"{key} must be of {sorted(known_values)}, was {sorted(value)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of the split: what the model says of the matches, and their events."""

    known: Known
    events: list[Events]

    def views(self) -> Views:
        """Return each match as home and as away sees it."""
        pairs = zip(self.events, self.known.log_rates.T, strict=True)
        return [(view(events, 0, rates), view(events, 1, rates)) for events, rates in pairs]

    def counts(self) -> FloatArray:
        """Return the window counts, (2, MINUTES, n, k)."""
        return np.stack([np.stack([window_counts(each, side) for each in self.events], axis=1) for side in (0, 1)])


def main(arguments: list[str]) -> int:
    """Fit, score and print; return the exit code."""
    torch.set_num_threads(1)
    try:
        config = parse(SequenceConfig, arguments, __doc__)
        forecaster, root = TorchForecaster(Path(config.model)), Path(config.data.root)
        past = _side(forecaster, root, config.suite, (_FIRST_DAY, SPLITS[config.suite, "validation"][0]))
        span = SPLITS.get((config.suite, config.split))
        later = _side(forecaster, root, config.suite, span) if span else None
    except (SetupError, ModelRejected) as error:
        print(error, file=sys.stderr)
        return 2
    scored = (later or past).known
    for name, by_precision in corrections_of(past, later, config).items():
        for precision, corrections in zip(config.precisions, by_precision, strict=True):
            print(
                f"{config.suite}, {config.split}, {name}", *table(scored, corrections, precision, config.seed), sep="\n"
            )
    return 0


def corrections_of(past: Side, later: Side | None, config: SequenceConfig) -> dict[str, FloatArray]:
    """Return (precisions, 2, MINUTES, n) corrections of the later matches' log rates, by each of the inputs.

    Without later matches those of the past themselves, each by fits that have not seen it.
    """
    found = {}
    if WINDOWS in config.inputs:
        counts = past.counts()
        found[WINDOWS] = (
            fit_and_apply(past.known, counts, later.known, later.counts(), config.precisions)
            if later
            else cross_fit(past.known, counts, config.precisions)
        )
    if names := [name for name in config.inputs if name != WINDOWS]:
        found |= _by_encoders(past, later, config, names)
    return found


def _by_encoders(past: Side, later: Side | None, config: SequenceConfig, names: list[str]) -> dict[str, FloatArray]:
    views, fold = past.views(), np.arange(len(past.events)) % _FOLDS
    scored, later_views = (later or past).known, later.views() if later else []
    found = {name: np.zeros((len(config.precisions), *scored.expected.shape)) for name in names}
    for held in range(_FOLDS):
        rows = np.flatnonzero(fold == held)
        encoder = _encoder([views[row] for row in np.flatnonzero(fold != held).tolist()], config, held)
        third, unseen = part(past.known, rows), [views[row] for row in rows.tolist()]
        for name in names:
            inputs = read_out(encoder, unseen, name == STATE)
            if later:
                later_inputs = read_out(encoder, later_views, name == STATE)
                found[name] += fit_and_apply(third, inputs, later.known, later_inputs, config.precisions) / _FOLDS
            else:
                found[name][..., rows] = cross_fit(third, inputs, config.precisions)
    return found


def _encoder(seen: Views, config: SequenceConfig, held: int) -> Encoder:
    """Return the encoder of a fold, pre-trained now unless an earlier run has kept it."""
    kept = Path(config.keep) / f"{config.suite}-{config.epochs}-{config.seed}-{held}.safetensors"
    if config.keep and kept.is_file():
        encoder = Encoder()
        encoder.load_state_dict(load_file(kept))
        return encoder.eval()
    encoder = pretrain(seen, BATCH[config.suite], config.epochs, config.seed + held, _say)
    if config.keep:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(encoder.state_dict(), kept)
    return encoder


def table(later: Known, corrections: FloatArray, precision: float, seed: int) -> list[str]:
    """Return what corrections (2, MINUTES, n) change, x .001 with 90 % intervals over matches, pooled and by minute."""
    rps, log = gains(later, corrections)
    size = np.sqrt((corrections**2).mean())
    lines = [f"precision {precision:g}, n={rps.shape[1]}, corrections of {size:.4f} (root mean square)"]
    rows = [("15'-75'", rps[POOLED].mean(axis=0), log[POOLED].mean(axis=0))]
    rows += [(f"{minute}'", *row) for minute, *row in zip(SCORED, rps, log, strict=True)]
    for name, *differences in rows:
        said = (paired_bootstrap(each, seed, level=_LEVEL).thousandths() for each in differences)
        lines.append(f"  {name:8} RPS {next(said):22} log loss {next(said)}")
    return lines


def _side(forecaster: TorchForecaster, root: Path, suite: str, span: tuple[date, date]) -> Side:
    matches = load_live(root, suite, *span)
    return Side(known=known(forecaster, matches), events=load_events(root, matches))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
