"""`python -m bench list`; `python -m bench NAME [option=value ...]`; `python -m bench`: one JSON line per result.

Without a name all of them run, each as short as it still says something; that is meant to take half an hour.
What RESULTS.md holds is of their full lengths, one by one. Options are the arguments of the bench's `run`; of a list,
1,16,100.
"""

import inspect
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, get_type_hints

import msgspec

from actors.domain.errors import SetupError
from bench.harness import note_load, skip

BENCHES: Mapping[str, Mapping[str, Any]] = {  # and what it is called with where all run
    "autoscale": {"low_s": 5.0, "high_s": 20.0, "fallen_s": 75.0},
    "batch": {"round_s": 1.0},
    "event_to_push": {"speeds": (10,), "measure_s": 20.0},
    "growth": {"matches": (4,), "replicas": (1,)},
    "ingest": {"matches": (16,), "sizes": (1000,), "passes": 1},
    "matches": {"counts": (1,), "measure_s": 10.0},
    "overload": {"seconds": 5.0},
    "pieces": {},
    "push": {"sizes": (10_000,), "websockets": 0, "rounds": 1},
    "reads": {"seconds": 2.0},
    "recover": {"kills": 3},
    "stores": {},
    "swaps": {"swaps": 10},
    "what_if_peers": {"seconds": 1.0},
    "what_ifs": {"seconds": 2.0},
}


def main(words: Sequence[str]) -> int:
    """Run the named bench, or all."""
    name, *options = words or ("",)
    if name == "list":
        for each in BENCHES:
            print(f"{each:16} {(_module(each).__doc__ or '').strip().splitlines()[0]}")
        return 0
    if name and name not in BENCHES:
        print(f"no bench {name!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    try:
        chosen = {name: options_of(_module(name).run, options)} if name else BENCHES
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    for each, values in chosen.items():
        note_load()
        began = time.monotonic()
        try:
            _module(each).run(**values)
        except SetupError as error:  # something it measures with is not there; the others go on
            skip(each, str(error))
        print(f"{each}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def options_of(run: Callable[..., object], words: Sequence[str]) -> dict[str, Any]:
    """Read `option=value` words as arguments of `run`; raises SetupError.

    >>> def run(matches: tuple[int, ...] = (), seconds: float = 1.0) -> None: ...
    >>> options_of(run, ["matches=1,16", "seconds=2"]), options_of(run, ["matches="])
    ({'matches': (1, 16), 'seconds': 2.0}, {'matches': ()})
    """
    kinds = {name: kind for name, kind in get_type_hints(run).items() if name in inspect.signature(run).parameters}
    values = dict[str, Any]()
    for word in words:
        name, _, text = word.partition("=")
        if name not in kinds:
            raise SetupError(
                f"{word}: expected option=value with one of {', '.join(kinds)}"
                if kinds
                else f"{word}: it has no options"
            )
        try:
            is_list = getattr(kinds[name], "__origin__", None) is tuple
            said = [each for each in text.split(",") if each] if is_list else text
            values[name] = msgspec.convert(said, kinds[name], strict=False)
        except msgspec.ValidationError as error:
            raise SetupError(f"{word}: {error}") from error
    return values


def _module(name: str) -> Any:
    return import_module(f"bench.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
