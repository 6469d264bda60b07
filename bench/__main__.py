"""`python -m bench list`, `python -m bench NAME`, `python -m bench` (all): one JSON line per result."""

import sys
from importlib import import_module

BENCHES = {
    "event_to_push": "bench.event_to_push",
    "ingest": "bench.ingest",
    "matches": "bench.matches",
    "pieces": "bench.pieces",
    "push": "bench.push",
    "recover": "bench.recover",
    "stores": "bench.stores",
    "swaps": "bench.swaps",
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
        import_module(BENCHES[name]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
