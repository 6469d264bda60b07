"""Scores a model on later matches: `python -m training.evaluate data.root=DIR model=MODEL_DIR suite=prematch ...`.

Kick-offs with since <= date < until are forecast from what `inputs` allows, weights fixed, ratings moving on match by
match; one row a forecast goes to `out`, and the protocol's table beside the baselines is printed.
"""

import sys
from dataclasses import dataclass, field
from datetime import date

from omegaconf import MISSING

from actors.domain.errors import ModelRejected, SetupError
from training.baseline_config import DataConfig, check_date, parse
from training.evaluate_prematch import evaluate_prematch
from training.prematch.model import KNOWN

SUITES = ("prematch",)


@dataclass
class EvaluateConfig:
    """Options of `training.evaluate`."""

    model: str = MISSING  # its folder
    suite: str = MISSING
    since: str = MISSING  # first day of kick-offs that are scored; not before the model's trained_until
    until: str = MISSING  # exclusive
    data: DataConfig = field(default_factory=DataConfig)
    inputs: str = "full"  # what the forecast may know
    out: str = ""  # Parquet file of forecasts; none where empty
    threshold: float = 0.0  # of D2, frozen elsewhere; 0: only what would reach 67 % here is shown
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("since", "until"):
            check_date(key, getattr(self, key))
        if date.fromisoformat(self.since) >= date.fromisoformat(self.until):
            raise SetupError(f"since must be before until, were {self.since} and {self.until}")
        _check_choice("suite", self.suite, SUITES)
        _check_choice("inputs", self.inputs, KNOWN)


def main(arguments: list[str]) -> int:
    """Score, print and write as the arguments say; return the exit code."""
    try:
        config = parse(EvaluateConfig, arguments)
        for line in evaluate(config):
            print(line, flush=True)
    except (SetupError, ModelRejected) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def evaluate(config: EvaluateConfig) -> list[str]:
    """Score the suite that the configuration names; return the lines of its table."""
    return evaluate_prematch(config)


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SetupError(f"{key} must be one of {', '.join(choices)}, was {value!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
