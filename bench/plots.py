"""The plots of bench/RESULTS.md: small, one per bench that has one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Line = Mapping[str, Any]
_SIZE_IN = (6.4, 2.6)
_SHARED = {"matches", "seconds", "connections", "model", "batch_rows"}  # of configs: in no label


def draw(lines: Sequence[Line], folder: Path) -> dict[str, Path]:
    """Draw what can be drawn of the lines; return the file of each bench."""
    drawn = {}
    for bench, painter in PAINTERS.items():
        own = [line for line in lines if line["bench"] == bench and "skipped" not in line]
        if own:
            folder.mkdir(exist_ok=True)
            drawn[bench] = folder / f"{bench}.svg"
            _save(own, painter, drawn[bench])
    return drawn


def _save(lines: Sequence[Line], painter: Callable[[Figure, Sequence[Line]], None], path: Path) -> None:
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasSVG(figure)
    painter(figure, lines)
    figure.savefig(path, metadata={"Date": None})  # the same lines, the same file


def rates(figure: Figure, lines: Sequence[Line]) -> None:
    """Bars of what was achieved, with the spread of the rounds."""
    axes = figure.subplots()
    names = [", ".join(str(value) for key, value in line["config"].items() if key not in _SHARED) for line in lines]
    achieved = [line["achieved_per_s"] for line in lines]
    least, most = zip(
        *(line.get("spread", [rate, rate]) for line, rate in zip(lines, achieved, strict=True)), strict=True
    )
    below = [rate - low for rate, low in zip(achieved, least, strict=True)]
    above = [high - rate for rate, high in zip(achieved, most, strict=True)]
    axes.barh(names, achieved, xerr=[below, above], color="#3b6ea5")
    axes.set_xlabel("per second")
    axes.invert_yaxis()


def growth(figure: Figure, lines: Sequence[Line]) -> None:
    """What a match costs by the number of matches, and a request by the number of replicas."""
    left, right = figure.subplots(1, 2)
    by_matches = sorted(
        (line["config"]["matches"], line["per_match_actor"]["cpu"] * 1000) for line in _least_replicas(lines)
    )
    _curve(left, by_matches, "matches", "ms of CPU per match and s")
    most = max(line["config"]["replicas"] for line in lines)
    matches = next(line["config"]["matches"] for line in lines if line["config"]["replicas"] == most)
    of_replicas = [line for line in lines if line["config"]["matches"] == matches]
    by_replicas = sorted((line["config"]["replicas"], line["cpu_us_per_request"]) for line in of_replicas)
    _curve(right, by_replicas, "replicas", "us of CPU per request")


def _least_replicas(lines: Sequence[Line]) -> list[Line]:
    least = min(line["config"]["replicas"] for line in lines)
    return [line for line in lines if line["config"]["replicas"] == least]


def _curve(axes: Axes, points: Sequence[tuple[float, float]], x: str, y: str) -> None:
    axes.plot(*zip(*points, strict=True), marker="o", color="#3b6ea5")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)


def replicas(figure: Figure, lines: Sequence[Line]) -> None:
    """Replicas over time, with the load beneath, of the newest run."""
    above, below = figure.subplots(2, 1, sharex=True)
    at, began = list[tuple[float, float]](), 0.0
    offered = list[tuple[float, float]]()
    for name, phase in lines[-1]["phases"].items():
        at += [(began + second, count) for second, count in phase["replicas"]]
        offered += [(began, phase["offered_per_s"]), (began + lines[-1]["config"][f"{name}_s"], phase["offered_per_s"])]
        began += lines[-1]["config"][f"{name}_s"]
    at.append((began, at[-1][1]))
    above.step(*zip(*at, strict=True), where="post", color="#3b6ea5")
    above.set_ylabel("replicas")
    above.set_ylim(bottom=0)
    below.plot(*zip(*offered, strict=True), color="#a55b3b")
    below.set_ylabel("offered/s")
    below.set_xlabel("seconds")
    below.set_ylim(bottom=0)


PAINTERS: dict[str, Callable[[Figure, Sequence[Line]], None]] = {
    "what_ifs": rates,
    "what_if_peers": rates,
    "reads": rates,
    "growth": growth,
    "autoscale": replicas,
}
