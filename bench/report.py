"""Writes bench/RESULTS.md and its plots from lines of benches: `python -m bench.report LINES.jsonl...`.

Lines of several runs may be given: of lines of one bench and one config the last counts.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.goals import GOALS, Verdict, judge
from bench.plan import Costs, Demand, Node, Plan, costs_of, plan
from bench.plots import draw

RESULTS = Path(__file__).with_name("RESULTS.md")
PLOTS = Path(__file__).with_name("plots")
_HIDDEN = {"bench", "question", "seed", "commit", "machine", "config", "rounds", "kinds", "cpu_s", "phases", "skipped"}
_HIDDEN |= {"checked", "latency_from"}  # the same in every line; the docstrings and the page's head say it
_NESTED = ("p50_ms", "p99_ms", "n", "mb", "cpu", "us")  # of figures within figures; the lines have the rest
_MOST_CPU = 4  # names of processes told per line

Line = Mapping[str, Any]


def main(paths: Sequence[str]) -> int:
    """Read the files, write the page; 2 if there is nothing to read."""
    if not paths:
        print("python -m bench.report LINES.jsonl...: which lines?", file=sys.stderr)
        return 2
    lines = newest(line for path in paths for line in read(Path(path)))
    plots = draw(lines, PLOTS)
    RESULTS.write_text(
        page(lines, {bench: path.relative_to(RESULTS.parent).as_posix() for bench, path in plots.items()})
    )
    return 0


def read(path: Path) -> list[Line]:
    """Read the lines of benches in a file; what else it holds is left out."""
    found: list[Line] = [json.loads(each) for each in path.read_text().splitlines() if each.startswith('{"bench"')]
    return found


def newest(lines: Iterable[Line]) -> list[Line]:
    """Return the last line of each bench and config, in the order in which they first came."""
    last: dict[str, Line] = {}
    for line in lines:
        last[f"{line['bench']} {json.dumps(line['config'], sort_keys=True)}"] = line
    return list(last.values())


def page(lines: Sequence[Line], plots: Mapping[str, str]) -> str:
    """Return the page: what was measured on, a section per bench, the plan."""
    benches = dict.fromkeys(line["bench"] for line in lines)
    sections = [_section([line for line in lines if line["bench"] == bench], plots.get(bench)) for bench in benches]
    head = (
        "# What benches measured\n\nWritten by `python -m bench.report` from the lines of `python -m bench NAME`; how"
        " each was measured stands in its docstring. Rates are per second, `spread` is the least and the most of the"
        " rounds, other figures are medians of rounds, errors are sums. Times of wrk begin with the sending, times of"
        " h2load when a request was due. Why goals are missed: PROFILES.md.\n"
    )
    return "\n".join([head, _machines(lines), *sections, plan_section(lines)])


def _machines(lines: Sequence[Line]) -> str:
    said = {
        "{cores} cores ({cpu}), {memory_gb} GB, Linux {kernel}".format(**{"cpu": "?", "kernel": "?", **line["machine"]})
        for line in lines
    }
    loads = [line["machine"]["load_before"] for line in lines if "load_before" in line["machine"]]
    commits = ", ".join(sorted({line["commit"] for line in lines}))
    load = f" Load average before: {min(loads):g} to {max(loads):g}." if loads else ""
    return f"Machine: {'; '.join(sorted(said))}.{load} Commit: {commits}.\n"


def _section(lines: Sequence[Line], plot: str | None) -> str:
    run = [line for line in lines if "skipped" not in line]
    bench, question = lines[-1]["bench"], lines[-1].get("question") or lines[-1]["bench"]
    parts = [f"## {question}\n", f"`python -m bench {bench}`\n"]
    parts += [f"Not run: {line['skipped']}.\n" for line in lines if "skipped" in line]
    if run:
        parts += [table(run), _cpu(run), verdicts([judge(goal, run) for goal in GOALS if goal.bench == bench])]
    if plot:
        parts.append(f"![{question}]({plot})\n")
    return "\n".join(part for part in parts if part)


def table(lines: Sequence[Line]) -> str:
    """Return a row per line: what its config has of its own, and its figures."""
    keys = dict.fromkeys(key for line in lines for key in line["config"])
    own = [key for key in keys if len({json.dumps(line["config"].get(key)) for line in lines}) > 1]
    shared = [f"{key} {_text(lines[0]['config'][key])}" for key in keys if key not in own]
    rows = [_figures(line) for line in lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [
        [_text(line["config"].get(key)) for key in own] + [_text(row.get(name)) for name in names]
        for line, row in zip(lines, rows, strict=True)
    ]
    head = [*own, *names]
    text = [_row(head), _row(["---"] * len(head)), *(_row(each) for each in cells)]
    return (f"For all: {', '.join(shared)}.\n\n" if shared else "") + "\n".join(text) + "\n"


def _figures(line: Line) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, value in line.items():
        if name in _HIDDEN:
            continue
        if name == "rounds" or not isinstance(value, Mapping) or name == "errors":
            figures[name] = value
        else:
            figures |= {f"{name}.{inner}": value[inner] for inner in _NESTED if inner in value}
    if "rounds" in line:
        figures["rounds"] = len(line["rounds"])
    return figures


def _cpu(lines: Sequence[Line]) -> str:
    told = []
    for line in lines:
        if split := line.get("cpu_s"):
            most = sorted(split.items(), key=lambda each: -each[1])[:_MOST_CPU]
            name = next((str(line["config"][key]) for key in ("way", "door", "phase") if key in line["config"]), "all")
            told.append(f"{name}: " + ", ".join(f"{process} {seconds:g}" for process, seconds in most))
    return f"CPU seconds by process: {'; '.join(told)}.\n" if told else ""


def verdicts(found: Sequence[Verdict]) -> str:
    """Return a table of goals, those that were not measured among them; empty if there are none."""
    if not found:
        return ""
    words = {True: "reached", False: "**missed**", None: "not measured"}
    rows = [[each.goal.says, _text(each.value), words[each.reached]] for each in found]
    return "\n".join([_row(["Goal", "measured", ""]), _row(["---"] * 3), *(_row(row) for row in rows)]) + "\n"


def plan_section(lines: Sequence[Line], demand: Demand | None = None, node: Node | None = None) -> str:
    """Return what a larger service needs by these lines, or which lines that would take."""
    demand, node = demand or Demand(), node or Node()
    wanted = f"{demand.matches:,} matches, {demand.streams:,} streams and {demand.forecasts_per_s:,.0f} forecasts/s"
    title = f"## What {wanted} need\n"
    try:
        costs = costs_of(lines)
    except LookupError as error:
        return f"{title}\nNot computed: {error.args[0]}.\n"
    return "\n".join([title, _assumptions(costs, node), _planned(plan(costs, demand, node))])


def _assumptions(costs: Costs, node: Node) -> str:
    return (
        f"By the lines above: a match costs {costs.match_cores:g} cores and {costs.match_mb:g} MB, and"
        f" {costs.stores_cores_per_match:g} cores of the log and the stores; a message to a stream"
        f" {costs.message_us:g} us and a stream {costs.stream_bytes:g} bytes; a forecast over HTTP"
        f" {costs.forecast_us:g} us, a replica {costs.forecaster_mb:g} MB; a node {costs.base_mb:,.0f} MB before its"
        " first match.\n\n"
        f"Assumed: costs grow in proportion (the growth plot shows how far that holds); nodes of {node.cores} cores as"
        f" fast as these and {node.memory_gb:g} GB, {node.busy_share:.0%} of the cores used and {node.memory_share:.0%}"
        f" of the memory; {node.streams_per_process:,} streams a process; a partition of the event feed for each"
        f" {node.matches_per_partition} match, rounded up to a power of two; an edge that spreads connections. Not in"
        " it: copies of the log and the stores (three times their share), network cards, and the edge.\n"
    )


def _planned(needed: Plan) -> str:
    rows = [[part.name, _text(part.cores), _text(part.memory_gb), _text(part.processes)] for part in needed.parts]
    text = [_row(["", "cores", "GB", "processes"]), _row(["---"] * 4), *(_row(row) for row in rows)]
    return "\n".join(text) + f"\n\nTogether {needed.nodes} nodes and {needed.partitions:,} partitions of the feed.\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool() | str():
            return str(value).replace("|", "\\|")
        case float() | int():
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        case Mapping():
            return ", ".join(f"{key}: {_text(each)}" for key, each in value.items()) or "none"
        case _:
            return " - ".join(_text(each) for each in value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
