"""The picture of a timeline: a model's predictions over the time of a video."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from framemix.inference.prediction import ClipPrediction
from framemix.pictures.lettering import legible

MOST_LINES = 5  # more lines are hard to distinguish


def draw_timeline(predictions: Sequence[ClipPrediction], classes: Sequence[str]) -> Figure:
    """Return a figure of the classes' probabilities, drawn at the middles of the windows.

    Of many classes, it has those with the highest peaks.
    """
    seconds = [(prediction.start + prediction.end) / 2 for prediction in predictions]
    probabilities = np.stack(
        [prediction.probabilities for prediction in predictions]
    )  # (predictions, K)
    shown = sorted(np.argsort(-probabilities.max(axis=0), kind="stable")[:MOST_LINES])
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for k in shown:
        axes.plot(seconds, probabilities[:, k], marker=".", label=str(k))
    window = predictions[0].end - predictions[0].start
    axes.set(xlabel=f"seconds (middle of a window of {window:.1f} s)", ylabel="probability")
    axes.set(ylim=(-0.02, 1.02), xlim=(0, predictions[-1].end))
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    # Not as labels, because a legend leaves out labels that begin with an underscore.
    for text, k in zip(legend.get_texts(), shown, strict=True):
        text.set_text(legible(classes[k]))
    return figure
