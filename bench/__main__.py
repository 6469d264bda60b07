"""`python -m bench list`, `python -m bench NAME`, `python -m bench` (all): one JSON line per result."""

import sys
from importlib import import_module

from actors.domain.errors import SetupError
from bench.harness import note_load, skip

BENCHES = {
    "autoscale": "bench.autoscale",
    "batch": "bench.batch",
    "event_to_push": "bench.event_to_push",
    "growth": "bench.growth",
    "ingest": "bench.ingest",
    "matches": "bench.matches",
    "overload": "bench.overload",
    "pieces": "bench.pieces",
    "push": "bench.push",
    "reads": "bench.reads",
    "recover": "bench.recover",
    "stores": "bench.stores",
    "swaps": "bench.swaps",
    "what_if_peers": "bench.what_if_peers",
    "what_ifs": "bench.what_ifs",
}


def main(names: list[str]) -> int:
    """Run the named benches, or all."""
    if names == ["list"]:
        for name, module in BENCHES.items():
            print(f"{name:16} {(import_module(module).__doc__ or '').strip().splitlines()[0]}")
        return 0
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no bench {unknown[0]!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        note_load()
        try:
            import_module(BENCHES[name]).run()
        except SetupError as error:  # something it measures with is not there; the others go on
            skip(name, str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
