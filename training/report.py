"""The report of an evaluation: one HTML file that stands alone, with the table as printed and figures beside it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.calibration import reliability
from training.metrics import FloatArray, IntArray, Interval

OUTCOMES = ("home", "draw", "away")
_COLOURS = ("#1f6f54", "#8a8a8a", "#b4532a")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:24px auto;max-width:1400px;padding:0 16px;color:#222}
pre{overflow-x:auto;font-size:12px;background:#f6f6f4;padding:12px}figure{margin:24px 0}svg{max-width:100%;height:auto}
figcaption{font-weight:600}</style>
<h1>{{ title }}</h1>
{% for figure in figures %}<figure><figcaption>{{ figure.caption }}</figcaption>{{ figure.svg }}</figure>
{% endfor %}<h2>As printed</h2><pre>{{ lines | join("\n") }}</pre></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A figure and what it shows."""

    caption: str
    svg: Markup


def write_report(path: Path, title: str, lines: Sequence[str], figures: Sequence[Drawn]) -> None:
    """Write the file; whatever is in the lines is text, never markup."""
    page = Environment(autoescape=True).from_string(_PAGE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.render(title=title, lines=lines, figures=figures), encoding="utf-8")


def reliability_figure(phases: Mapping[str, FloatArray], outcomes: IntArray) -> Drawn:
    """Draw how often each outcome came against how likely it was said to be.

    Args:
        phases: (n, 3) probabilities by the name of a phase.
        outcomes: (n,) index of what happened.
    """
    figure = Figure(figsize=(3.2 * len(phases), 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(phases), sharex=True, sharey=True))
    for place, (name, chances) in zip(axes, phases.items(), strict=True):
        _draw_reliability(place, chances, outcomes)
        place.set(title=name, xlabel="said", xlim=(0, 1), ylim=(0, 1))
    axes[0].set_ylabel("came")
    axes[0].legend(fontsize=8)
    return Drawn(caption="How often it came against how likely it was said to be; bars: 95 %", svg=_svg(figure))


def gains_figure(caption: str, series: Mapping[str, Sequence[Interval]], places: Sequence[str]) -> Drawn:
    """Draw differences and their intervals at places, such as minutes, a line for each series."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    shifts = np.linspace(-0.15, 0.15, len(series)) if len(series) > 1 else [0.0]
    for shift, (name, gains) in zip(shifts, series.items(), strict=True):
        mean, low, high = np.array([(each.mean, each.low, each.high) for each in gains]).T * 1e3
        axes.errorbar(np.arange(len(places)) + shift, mean, [mean - low, high - mean], marker="o", label=name)
    axes.axhline(0, color="#999", linewidth=0.8)
    axes.set_xticks(range(len(places)), places)
    axes.set_ylabel("x .001")
    axes.legend(fontsize=8)
    return Drawn(caption=caption, svg=_svg(figure))


def _draw_reliability(axes: Axes, chances: FloatArray, outcomes: IntArray) -> None:
    axes.plot([0, 1], [0, 1], color="#bbb", linewidth=0.8)
    for k, (outcome, colour) in enumerate(zip(OUTCOMES, _COLOURS, strict=True)):
        said, came, count = reliability(chances[:, k], outcomes == k)
        bar = 1.96 * np.sqrt(came * (1 - came) / count)
        axes.errorbar(said, came, bar, marker="o", markersize=3, linewidth=1, color=colour, label=outcome)


def _svg(figure: Figure) -> Markup:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return Markup(drawn[drawn.index("<svg") :])
