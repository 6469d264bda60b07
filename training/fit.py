"""Fits a model: `python -m training.fit data.root=DIR until=2017-12-01 out=MODEL_DIR seed=0`.

Nothing dated on or after `until` is used, in whichever file it lies. MODEL_DIR gets the in-play network, and in
prematch/ the forecast before kick-off. Ended and started again with the same arguments, it goes on behind the last
finished stage.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from actors.domain.errors import SetupError
from conf.ray import OF_EVERY_RAY, tell_ray
from training.live_data import data_hashes
from training.options import FitConfig, code_commit, parse

SETTINGS_OF_RAY = {**OF_EVERY_RAY, "RAY_TRAIN_METRICS_ENABLED": "0"}


def main(arguments: list[str]) -> int:
    """Fit and write a model as the arguments say; return the exit code."""
    try:
        folder = fit(parse(FitConfig, arguments, __doc__), report=lambda line: print(line, file=sys.stderr, flush=True))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    print(folder)
    return 0


def fit(config: FitConfig, report: Callable[[str], None]) -> Path:
    """Fit the model in a Ray of our own and write its folder; return the folder.

    Raises:
        SetupError: There is something at `out`, or the data cannot be read or has nothing to fit on.
    """
    out = Path(config.out).resolve()
    if out.exists():
        raise SetupError(
            f"out={config.out}: is there already; forecasts are kept under a model's name, so take another"
        )
    report("hashes of the data")
    root = Path(config.data.root).resolve()
    hashes = data_hashes(root)
    tell_ray(SETTINGS_OF_RAY)
    from training.fit_on_ray import Plan, fit_on_ray, own_ray

    plan = Plan(
        root=str(root), out=str(out), until=config.until, seed=config.seed, data=hashes, code_commit=code_commit()
    )
    report(f"starting Ray; until the model is whole the run lies in {plan.folder()}")
    with own_ray():
        return fit_on_ray(plan, report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
