"""The one way in for command lines: compose, check, run; what is wrong is one sentence on stderr and exit code 2."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, cast, get_type_hints

import hydra
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from conf.schema import Config, register

FOLDER = Path(__file__).resolve().parent
EXIT_SETUP = 2

_FULL_ERRORS = "HYDRA_FULL_ERROR"  # else Hydra prints errors itself and exits with 1
_NOISE = re.compile(r" (Config search path:|See https?://).*$")  # what Hydra adds for its own developers
_AROUND = re.compile(r"Error parsing override |See https?:|\s*\^$")  # lines around what is wrong with an override
_COULD_NOT_OVERRIDE = re.compile(r"Could not override '([^']+)'")


class WrongOptions(ValueError):
    """Options that make no configuration, in one sentence."""


def load(overrides: Sequence[str], config_name: str = "config") -> Config:
    """Compose and check a configuration for a tool that has words of its own beside `key=value`; makes no run folder.

    Raises:
        WrongOptions: A key, option or value is wrong.
    """
    register()
    before = os.environ.get(_FULL_ERRORS)
    os.environ[_FULL_ERRORS] = "1"
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(FOLDER)):
            return _checked(compose(config_name, overrides=list(overrides)))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError) as error:
        raise WrongOptions(sentence(error)) from error
    finally:
        _restore(before)


def setting(key: str, value: object) -> str:
    """Return the override that sets a key to a text, whatever characters that has.

    >>> setting("data.folder", "/tmp/it's [here]")
    "data.folder='/tmp/it\\\\'s [here]'"
    """
    text = str(value).replace("\\'", "\\\\'").replace("'", "\\'")
    return f"{key}='{text}'"


def _checked(composed: DictConfig) -> Config:
    for unknown in _unknown_keys(composed):  # `+key=1` forces a key in; nobody would read it
        raise ValueError(_no_such_key(unknown, Config))
    return cast(Config, OmegaConf.to_object(composed))


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(_FULL_ERRORS, None)
    else:
        os.environ[_FULL_ERRORS] = before


class _Task:
    """What Hydra calls. Keeps what main answered or raised, since Hydra would print errors in its own way."""

    def __init__(self, main: Callable[[Config], int | None]) -> None:
        self._main = main
        self.answer: int | None = None
        self.wrong: str | None = None
        self.raised: BaseException | None = None

    def __call__(self, composed: DictConfig) -> None:
        try:
            config = _checked(composed)
        except (OmegaConfBaseException, ValueError, TypeError) as error:
            self.wrong = sentence(error)
            return
        try:
            self.answer = self._main(config)
        except BaseException as error:  # noqa: BLE001  raised again by `run`, out of Hydra's sight
            self.raised = error


def run(
    main: Callable[[Config], int | None], config_name: str = "config", expected: tuple[type[Exception], ...] = ()
) -> int:
    """Compose the configuration from conf/ and the command line, call `main` with it, and return the exit code.

    Args:
        main: Takes the checked configuration; its answer is the exit code, None is 0.
        config_name: The YAML file to begin with.
        expected: Errors of main that mean "cannot start as configured": one sentence, no traceback, exit code 2.
    """
    register()
    task = _Task(main)

    @wraps(main)  # Hydra names the job after main's module
    def task_of_main(composed: DictConfig) -> None:
        task(composed)

    try:
        _compose_and_call(task_of_main, config_name)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        return _refuse(sentence(error))
    except OSError as error:
        return _refuse(f"the run folder {error.filename} cannot be written: {error.strerror}")
    if task.wrong is not None:
        return _refuse(task.wrong)
    if isinstance(task.raised, expected):
        return _refuse(" ".join(str(task.raised).split()))
    if task.raised is not None:
        raise task.raised
    return task.answer or 0


def _compose_and_call(task: Callable[[DictConfig], None], config_name: str) -> None:
    before = os.environ.get(_FULL_ERRORS)
    os.environ[_FULL_ERRORS] = "1"
    try:
        hydra.main(version_base="1.3", config_path=str(FOLDER), config_name=config_name)(task)()
    finally:
        _restore(before)


def _refuse(problem: str) -> int:
    sys.stderr.write(f"{problem}\n")
    return EXIT_SETUP


def sentence(error: BaseException, schema: type = Config) -> str:
    """Say in one sentence what is wrong with a configuration of this schema, naming the key in full."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    if isinstance(error, OverrideParseException):
        said = [line.strip() for line in str(error).splitlines() if not _AROUND.match(line)]
        return f"{error.override}: expected key=value, {' '.join(said)}"
    override = _COULD_NOT_OVERRIDE.match(str(error))
    for link in reversed(chain):
        if isinstance(link, MissingConfigException):
            return _no_such_option(link)
        if isinstance(link, ConfigKeyError | ConfigAttributeError):
            return _no_such_key(max(_full_key(link), override[1] if override else "", key=len), schema)
        if isinstance(link, OmegaConfBaseException) and _full_key(link):
            return f"{_full_key(link)}: {_first_line(link)}"
    return _NOISE.sub("", " ".join(str(error).split()))


def _no_such_option(error: MissingConfigException) -> str:
    if error.missing_cfg_file is None or not error.options:
        return _NOISE.sub("", " ".join(str(error).split()))
    group, _, option = error.missing_cfg_file.rpartition("/")
    options = ", ".join(name for name in error.options if not name.startswith("base_"))
    return f"{group}={option}: there is no such option; choose from {options}"


def _no_such_key(key: str, schema: type) -> str:
    near = get_close_matches(key, list(_known_keys(schema)), n=1)
    return f"{key}: there is no such key" + (f"; did you mean {near[0]}?" if near else "")


def _full_key(error: OmegaConfBaseException) -> str:
    return error.full_key or str(error.key or "")


def _first_line(error: OmegaConfBaseException) -> str:
    return str(error.msg or error).strip().partition("\n")[0]


def _known_keys(section: type, prefix: str = "") -> Iterator[str]:
    """Yield every key of a section in full, those of sections below it included."""
    for name, kind in get_type_hints(section).items():
        yield f"{prefix}{name}"
        if is_dataclass(kind):
            yield from _known_keys(cast(type, kind), f"{prefix}{name}.")


def _unknown_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield in full the keys that the dataclass of their section does not have."""
    known = {field.name for field in fields(cast(Any, OmegaConf.get_type(node)))}
    for name in map(str, node):
        if name not in known:
            yield f"{prefix}{name}"
        elif not OmegaConf.is_missing(node, name) and OmegaConf.is_dict(below := node._get_node(name)):
            yield from _unknown_keys(cast(DictConfig, below), f"{prefix}{name}.")
