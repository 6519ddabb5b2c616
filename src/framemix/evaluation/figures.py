"""Pictures of what was trained: loss curves, confusion matrices, mixed frames, explanations."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from framemix.explain.explanation import Explanation
from framemix.explain.pictures import draw_explanation
from framemix.metrics.drowsiness import Bin
from framemix.metrics.measures import Bools, Floats
from framemix.pictures.lettering import legible, save_picture

# Shapes: K classes, S segments, H height, W width.

History = list[dict[str, float]]

styled = mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
TRAIN, VAL = "#4878a8", "#d1702a"
MOST_TIMES_USUAL = 1.5  # a val loss may be, of the highest train loss, to be drawn
MOST_SEGMENTS = 8
MOST_COUNTED_CLASSES = 20  # with more, a cell has no room for its count


@styled
def loss_curves(histories: Mapping[str, History], path: Path) -> None:
    """Draw train and val loss by epoch, one panel per model (paper A, figure 3)."""
    figure = Figure(figsize=(3.6 * len(histories), 3.0), layout="constrained")
    for axes, (name, history) in zip(
        _panels(figure, len(histories)), histories.items(), strict=True
    ):
        epochs = [row["epoch"] + 1 for row in history]
        for subset, colour in (("train", TRAIN), ("val", VAL)):
            losses = [row[f"{subset}_loss"] for row in history]
            axes.plot(epochs, losses, marker=".", color=colour, label=subset)
        kept = next(row for row in history if row["kept"])
        axes.axvline(kept["epoch"] + 1, color="0.7", lw=0.8, ls=":")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(title=f"{name}: val top-1 {100 * kept['val_top1']:.1f} %", xlabel="epoch")
        _limit(axes, history)
        axes.legend(frameon=False)
    figure.supylabel("loss", fontsize=9)
    save_picture(figure, path)


def _limit(axes: Axes, history: History) -> None:
    """Cut off single losses that would flatten all others; their values stand at the edge."""
    val = [row["val_loss"] for row in history]
    train = max(row["train_loss"] for row in history)
    top = MOST_TIMES_USUAL * max(np.median(val), train)
    axes.set_ylim(0, min(top, 1.05 * max(*val, train)))
    for row, loss in zip(history, val, strict=True):
        if loss > top:
            place = (row["epoch"] + 1, 0.97 * top)
            axes.text(*place, f"{loss:.1f}", ha="center", va="top", fontsize=7, color=VAL)


@styled
def confusion_matrix(
    counts: NDArray[np.int64], classes: Sequence[str], title: str, path: Path
) -> None:
    """Draw counts (K, K), true classes down and predicted ones across, shaded by row share."""
    few = len(classes) <= MOST_COUNTED_CLASSES
    size = max(3.2, (0.36 if few else 0.13) * len(classes) + 1.6)
    figure = Figure(figsize=(size + 0.6, size), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    names = [legible(name) for name in classes]
    axes.set_xticks(ticks, names, rotation=90, fontsize=9 if few else 6)
    axes.set_yticks(ticks, names, fontsize=9 if few else 6)
    axes.set(xlabel="predicted", ylabel="true")
    figure.suptitle(title, fontsize=9)
    if few:
        for true, predicted in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[true, predicted] > 0.5 else "black"
            text = str(counts[true, predicted])
            axes.text(predicted, true, text, ha="center", va="center", color=colour, fontsize=8)
    save_picture(figure, path)


@styled
def reliability_plot(bins: Sequence[Bin], path: Path) -> None:
    """Draw the share of drowsy clips against their mean predicted probability, bin by bin."""
    figure = Figure(figsize=(3.6, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    predicted, drowsy = [one.mean_p for one in bins], [one.share_drowsy for one in bins]
    whiskers = (
        [one.share_drowsy - one.low for one in bins],
        [one.high - one.share_drowsy for one in bins],
    )
    above.plot([0, 1], [0, 1], color="0.7", lw=0.8, ls=":", label="calibrated")
    above.errorbar(predicted, drowsy, whiskers, fmt="o", ms=4, color=TRAIN, lw=1, label="val clips")
    above.set(ylabel="share of drowsy clips", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    above.legend(frameon=False, loc="upper left")
    below.bar(predicted, [one.clips for one in bins], width=0.03, color=TRAIN)
    below.set(xlabel="p(drowsy)", ylabel="clips")
    below.yaxis.get_major_locator().set_params(integer=True)
    save_picture(figure, path)


@styled
def mixed_frames(clips: Mapping[str, NDArray[np.uint8]], how: str, path: Path) -> None:
    """Show clips (S, H, W, 3) as the network sees them, one row per clip (paper B, figure 1)."""
    segments = len(next(iter(clips.values())))
    shown = np.linspace(0, segments - 1, min(MOST_SEGMENTS, segments)).round().astype(int)
    figure = Figure(figsize=(1.5 * len(shown), 1.35 * len(clips) + 0.4), layout="constrained")
    grid = figure.subplots(len(clips), len(shown), squeeze=False)
    for row, (name, clip) in zip(grid, clips.items(), strict=True):
        for axes, segment in zip(row, shown, strict=True):
            axes.imshow(clip[segment])
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        # No title: a long one would push the first column aside.
        above = {"va": "bottom", "fontsize": 8, "transform": row[0].transAxes}
        row[0].text(0, 1.04, legible(name), **above).set_in_layout(False)
    for axes, segment in zip(grid[-1], shown, strict=True):
        axes.set_xlabel(f"segment {segment + 1} of {segments}", fontsize=7)
    figure.suptitle(f"{how}\n", fontsize=9)
    figure.set_layout_engine("constrained", hspace=0.2)
    save_picture(figure, path)


def wrong_predictions(clips: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    """Show clips (S, H, W, 3) that were predicted wrongly; without any, one line of text."""
    if clips:
        mixed_frames(clips, "wrong predictions, the surest first", path)
        return
    figure = Figure(figsize=(6.0, 0.6))
    figure.text(0.5, 0.5, "no wrong prediction", ha="center", va="center")
    save_picture(figure, path)


@styled
def roc_curve(scores: Floats, positive: Bools, called: Bools, class_name: str, path: Path) -> None:
    """Draw the share of a class's clips that are found against false alarms, for all thresholds.

    Clips of equal score pass together, so that the curve is straight there. A point marks what the
    model does: the clips (N,) that it `called` so, because this class was the likeliest.
    """
    ends = np.append(np.diff(np.sort(-scores)) != 0, True)[: len(scores)]
    ranked = positive[np.argsort(-scores, kind="stable")]
    found, alarms = np.cumsum(ranked)[ends], np.cumsum(~ranked)[ends]
    positives, negatives = max(1, positive.sum()), max(1, (~positive).sum())
    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", lw=0.8, ls=":", label="chance")
    x, y = np.append(0, alarms) / negatives, np.append(0, found) / positives
    axes.plot(x, y, color=TRAIN, label="all thresholds")
    now = (called & ~positive).sum() / negatives, (called & positive).sum() / positives
    axes.plot(
        *now, "o", color=VAL, label=f"likeliest class: {now[1]:.0%} found, {now[0]:.0%} false"
    )
    axes.set(
        xlabel="share of other clips called so",
        ylabel=f"share of {legible(class_name)} clips found",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
    )
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    save_picture(figure, path)


@styled
def explained(explanation: Explanation, path: Path) -> None:
    """Show what in a clip a prediction depends on."""
    save_picture(draw_explanation(explanation), path)


def _panels(figure: Figure, count: int) -> Sequence[mpl.axes.Axes]:
    panels: Sequence[mpl.axes.Axes] = figure.subplots(1, count, squeeze=False)[0]
    return panels
