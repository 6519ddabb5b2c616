"""The study's plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from framemix.metrics.means import Mean
from framemix.pictures.lettering import save_picture

COLOURS = {"average": "0.5", "linear": "#4878a8", "harmonic": "#d1702a"}


@dataclass(frozen=True)
class Curve:
    """Direction accuracy of a method by frames mixed per segment, the mean over all segments."""

    method: str
    points: Sequence[tuple[float, Mean]]


@dataclass(frozen=True)
class Panel:
    """The curves of one kind of videos, and the names of the places on their axis."""

    title: str
    curves: Sequence[Curve]
    ticks: Mapping[float, str]


@mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
def direction_plot(panels: Sequence[Panel], path: Path) -> None:
    """Draw direction accuracy against frames mixed per segment, one panel per kind of videos."""
    figure = Figure(figsize=(3.8 * max(len(panels), 1), 3.2), layout="constrained")
    grid = figure.subplots(1, max(len(panels), 1), squeeze=False, sharey=True)[0]
    for axes, panel in zip(grid, panels, strict=False):
        axes.axhline(50, color="0.8", lw=0.8, ls=":")
        for curve in panel.curves:
            _draw(axes, curve)
        axes.set(title=panel.title, xscale="log", xlabel="frames mixed a segment", ylim=(28, 102))
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()))
        axes.minorticks_off()
        axes.legend(frameon=False, loc="lower right")
    figure.supylabel("direction correct, %", fontsize=9)
    save_picture(figure, path)


def _draw(axes: mpl.axes.Axes, curve: Curve) -> None:
    means = [mean for _, mean in curve.points]
    values = [100 * mean.value for mean in means]
    below = [100 * (mean.value - mean.low) for mean in means]
    above = [100 * (mean.high - mean.value) for mean in means]
    axes.errorbar(
        [place for place, _ in curve.points],
        values,
        (below, above),
        color=COLOURS[curve.method],
        marker="o",
        ms=4,
        lw=1.2,
        capsize=2,
        label=curve.method,
    )
