"""The ROC curve of a model of two classes."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from framemix.evaluation.figures import TRAIN, styled
from framemix.metrics.measures import Bools, Floats
from framemix.pictures.lettering import legible, save_picture


@styled
def roc_curve(scores: Floats, positive: Bools, class_name: str, path: Path) -> None:
    """Draw the share of a class's clips that are found against false alarms, for all thresholds.

    Clips of equal score pass together, so that the curve is straight there.
    """
    ends = np.append(np.flatnonzero(np.diff(np.sort(-scores))), len(scores) - 1)
    ranked = positive[np.argsort(-scores, kind="stable")]
    found, alarms = np.cumsum(ranked)[ends], np.cumsum(~ranked)[ends]
    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8, ls=":")
    axes.plot(
        np.append(0, alarms) / max(1, (~positive).sum()),
        np.append(0, found) / max(1, positive.sum()),
        color=TRAIN,
    )
    axes.set(
        xlabel="share of other clips called so",
        ylabel=f"share of {legible(class_name)} clips found",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    save_picture(figure, path)
