"""Typed options of the two baseline commands, given as `key=value`; a mistyped key or value is one sentence."""

from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actors.domain.errors import SetupError

_Config = TypeVar("_Config")


@dataclass
class DataConfig:
    """Where the data lies; see the project's data notes for the layout."""

    root: str = "../shared/data"  # as in conf/


@dataclass
class FitConfig:
    """Options of `training.fit_baseline`."""

    data: DataConfig = field(default_factory=DataConfig)
    out: str = "training/models"
    until: str = "2017-12-01"  # exclusive; the earlier cut-off of the two live suites
    version: str = ""  # empty: baseline-<until>
    seed: int = 0  # recorded; nothing in the fit is drawn
    threads: int = 1

    def __post_init__(self) -> None:
        check_date("until", self.until)
        if self.threads < 1:
            raise SetupError(f"threads must be positive, was {self.threads}")


@dataclass
class ScoreConfig:
    """Options of `training.baseline_score`."""

    model: str = MISSING
    data: DataConfig = field(default_factory=DataConfig)
    suites: list[str] = field(default_factory=lambda: ["understat", "wyscout"])
    split: str = "test"  # or validation
    prices: bool = True  # false: forecast from the ratings alone
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in ("test", "validation"):
            raise SetupError(f"split must be test or validation, was {self.split!r}")
        unknown = [suite for suite in self.suites if suite not in ("understat", "wyscout")]
        if unknown:
            raise SetupError(f"suites must be understat or wyscout, was {unknown[0]!r}")


def parse(schema: type[_Config], arguments: list[str]) -> _Config:
    """Lay `key=value` arguments over the defaults of `schema`; raises SetupError."""
    bare = [argument for argument in arguments if "=" not in argument]
    if bare:
        raise SetupError(f"expected key=value, received {bare[0]!r}; keys are {', '.join(_keys(schema))}")
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.from_dotlist(arguments)))
    except OmegaConfBaseException as error:
        reason = str(error).split("\n")[0]
        raise SetupError(f"{reason}; keys are {', '.join(_keys(schema))}") from error
    assert isinstance(config, schema)
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
