"""Scores a model on later matches: `python -m training.evaluate data.root=DIR model=MODEL_DIR suite=prematch ...`.

Kick-offs with since <= date < until are forecast from what `inputs` allows, weights fixed, ratings moving on match by
match; one row a forecast goes to `out`, and the protocol's table beside the baselines is printed.
"""

import sys

from actors.domain.errors import ModelRejected, SetupError
from training import evaluate_live
from training.evaluate_prematch import evaluate_prematch
from training.options import EvaluateConfig, parse

PREMATCH = "prematch"
SUITES = (PREMATCH, *evaluate_live.SUITES)


def main(arguments: list[str]) -> int:
    """Score, print and write as the arguments say; return the exit code."""
    try:
        for line in evaluate(parse(EvaluateConfig, arguments, __doc__)):
            print(line, flush=True)
    except (SetupError, ModelRejected) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def evaluate(config: EvaluateConfig) -> list[str]:
    """Score the suite that the configuration names; return the lines of its table. Raises SetupError, ModelRejected."""
    if config.suite == PREMATCH:
        return evaluate_prematch(config)
    if config.suite in evaluate_live.SUITES:
        return evaluate_live.run(config)
    raise SetupError(f"suite must be one of {', '.join(SUITES)}, was {config.suite!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
