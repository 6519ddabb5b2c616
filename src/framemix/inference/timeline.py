"""The picture of a timeline: what a model says of a video, second by second."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from framemix.inference.prediction import Prediction
from framemix.jobs.atomic import replacing

MOST_LINES = 5  # more cannot be told apart


def draw_timeline(predictions: Sequence[Prediction], classes: Sequence[str]) -> Figure:
    """Return a figure of the classes' probabilities at the middles of their windows.

    Where there are many classes, of those that are likeliest at some time.
    """
    seconds = [(said.start + said.end) / 2 for said in predictions]
    probabilities = np.stack([said.probabilities for said in predictions])  # (predictions, K)
    shown = sorted(np.argsort(-probabilities.max(axis=0), kind="stable")[:MOST_LINES])
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for k in shown:
        axes.plot(seconds, probabilities[:, k], marker=".", label=classes[k])
    window = predictions[0].end - predictions[0].start
    axes.set(xlabel=f"seconds (middle of a window of {window:.1f} s)", ylabel="probability")
    axes.set(ylim=(-0.02, 1.02), xlim=(0, predictions[-1].end))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture; the same figure is the same bytes."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=120, metadata={"Software": None})
