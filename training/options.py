"""Typed options of the commands that fit and evaluate, by Hydra's rules; a mistyped one is one sentence."""

import subprocess
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TypeVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actors.domain.errors import SetupError
from conf.run import sentence

INPUTS = ("full", "no_odds", "past_odds", "pre_odds", "close_odds")
_Config = TypeVar("_Config")


@dataclass
class DataConfig:
    """Where the data lies; see the project's data notes for the layout."""

    root: str = "../shared/data"  # as in conf/


@dataclass
class FitConfig:
    """Options of `training.fit`."""

    data: DataConfig = field(default_factory=DataConfig)
    out: str = MISSING  # the model's folder, which is made; the model's version is named after it
    until: str = "2017-12-01"  # exclusive; the earlier cut-off of the two live suites
    seed: int = 0  # of the bootstrap; nothing else in the fit is drawn

    def __post_init__(self) -> None:
        check_date("until", self.until)


@dataclass
class EvaluateConfig:
    """Options of `training.evaluate`."""

    model: str = MISSING  # its folder
    suite: str = MISSING
    since: str = MISSING  # first day of kick-offs that are scored; not before the model's trained_until
    until: str = MISSING  # exclusive
    data: DataConfig = field(default_factory=DataConfig)
    inputs: str = "full"  # what the forecast may know
    out: str = ""  # Parquet file of forecasts, its report beside it as .html; none where empty
    threshold: float = 0.0  # of D2, frozen elsewhere; 0: only what would reach 67 % here is shown
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("since", "until"):
            check_date(key, getattr(self, key))
        if date.fromisoformat(self.since) >= date.fromisoformat(self.until):
            raise SetupError(f"since must be before until, were {self.since} and {self.until}")
        if self.inputs not in INPUTS:
            raise SetupError(f"inputs must be one of {', '.join(INPUTS)}, was {self.inputs!r}")


def report_path(config: EvaluateConfig) -> Path:
    """Return where the report of an evaluation goes: beside its forecasts."""
    return Path(config.out).with_suffix(".html")


def parse(schema: type[_Config], arguments: list[str], about: str | None = None) -> _Config:
    """Lay `key=value` arguments over the defaults of `schema`, by Hydra's rules; `--help` says `about` and ends.

    Raises:
        SetupError: An argument is wrong, or one that must be given is not.
    """
    if {"--help", "-h"} & {*arguments}:
        print(f"{(about or '').strip()}\n\nOptions and their defaults, ??? where one must be given:")
        print(OmegaConf.to_yaml(OmegaConf.structured(schema)), end="")
        raise SystemExit(0)
    bare = [argument for argument in arguments if "=" not in argument]
    if bare:
        raise SetupError(f"expected key=value, received {bare[0]!r}; keys are {', '.join(_keys(schema))}")
    try:
        config = OmegaConf.to_object(_laid_over(schema, arguments))
    except (HydraException, OmegaConfBaseException) as error:
        raise SetupError(f"{sentence(error, schema)}; keys are {', '.join(_keys(schema))}") from error
    assert isinstance(config, schema)
    return config


def _laid_over(schema: type[object], arguments: list[str]) -> DictConfig:
    """Lay overrides over a schema alone: composed, `model=DIR` would be taken for an option of the group in conf/."""
    config: DictConfig = OmegaConf.structured(schema)
    for override in OverridesParser.create().parse_overrides(arguments):
        if override.type is not OverrideType.CHANGE or override.is_sweep_override():
            raise HydraException(f"{override.input_line}: expected key=value, a list in brackets")
        OmegaConf.update(config, override.key_or_group, override.value())
    return config


def _keys(schema: type[object]) -> list[str]:
    names = [str(name) for name in OmegaConf.structured(schema)]
    return ["data.root" if name == "data" else name for name in names]


def check_date(key: str, value: str) -> None:
    """Raise SetupError unless `value` is an ISO date."""
    try:
        date.fromisoformat(value)
    except ValueError:
        raise SetupError(f"{key} must be a date such as 2017-12-01, was {value!r}") from None


def code_commit() -> str | None:
    """Return the commit of the code, None outside a repository."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
