"""Evaluates a model: `python -m training.evaluate data.root=DIR model=FOLDER suite=live_wyscout since= until= out=`."""

import sys

from actors.domain.errors import ModelRejected, SetupError
from training import evaluate_live
from training.baseline_config import EvaluateConfig, parse


def main(arguments: list[str]) -> int:
    """Print the suite's tables; return the exit code."""
    try:
        for line in run(parse(EvaluateConfig, arguments)):
            print(line, flush=True)
    except (SetupError, ModelRejected) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(config: EvaluateConfig) -> list[str]:
    """Run the suite that the options name; raises SetupError if there is none."""
    if config.suite not in evaluate_live.SUITES:
        raise SetupError(f"suite must be one of {', '.join(evaluate_live.SUITES)}, was {config.suite!r}")
    return evaluate_live.run(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
