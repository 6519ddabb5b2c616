"""Draws explanations: the segments of a clip, and over them the relevance of each place."""

# S segments, H x W pixels, T' frames of h x w places of a network

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from numpy.typing import NDArray
from PIL import Image

from framemix.explain.explanation import Explanation
from framemix.explain.links import Links, Place
from framemix.mixing import Pixels
from framemix.pictures.lettering import legible

MOST_SEGMENTS = 8
MOST_COVER = 0.65  # opacity of the colour where relevance is highest


def draw_explanation(explanation: Explanation) -> Figure:
    """Return a figure: the segments, the segments under their relevance, and a block's links."""
    segments, shown = len(explanation.clip), _shown(explanation)
    rows = 2 if explanation.links is None else 3
    figure = Figure(figsize=(1.6 * len(shown) + 0.6, 1.35 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, len(shown), squeeze=False)
    for column, segment in enumerate(shown):
        frame = explanation.clip[segment]
        for row, picture in enumerate((frame, under_heat(explanation, frame, segment), frame)):
            if row < rows:
                _show(grid[row][column], picture)
        grid[1][column].set_title(f"{_share(explanation, segment):.0%}", fontsize=7)
        grid[-1][column].set_xlabel(f"segment {segment + 1} of {segments}", fontsize=7)
    if explanation.links is not None:
        _draw_links(figure, list(grid[2]), shown, explanation.links, explanation.clip)
    labels = ("as seen", explanation.method, "strongest links")
    for axes, label in zip(grid[:, 0], labels, strict=False):
        axes.set_ylabel(label, fontsize=8)
    name = legible(explanation.class_name)
    figure.suptitle(f"{name}: {explanation.probability:.1%}", fontsize=10)
    return figure


def under_heat(explanation: Explanation, frame: Pixels, segment: int) -> Pixels:
    """Return the frame (H, W, 3) with the colour of its segment's relevance over it."""
    heat = explanation.relevance[_time(explanation, segment)].numpy().astype(np.float32)
    height, width = frame.shape[:2]
    smooth = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))
    colour = mpl.colormaps["inferno"](smooth)[..., :3] * 255
    cover = MOST_COVER * smooth[..., None]
    mixed: NDArray[np.float64] = (1 - cover) * frame + cover * colour
    return mixed.round().astype(np.uint8)


def _shown(explanation: Explanation) -> list[int]:
    """Return the segments to show: evenly spread, with the one where the links start."""
    segments, links = len(explanation.clip), explanation.links
    shown = np.linspace(0, segments - 1, min(MOST_SEGMENTS, segments)).round().astype(int)
    if links is not None and links.start[0] not in shown * links.grid[0] // segments:
        start = -(-links.start[0] * segments // links.grid[0])  # the first segment of that frame
        shown[np.abs(shown - start).argmin()] = start
    return [int(segment) for segment in shown]


def _time(explanation: Explanation, segment: int) -> int:
    """Return which of the network's T' frames a segment went into."""
    return segment * len(explanation.relevance) // len(explanation.clip)


def _share(explanation: Explanation, segment: int) -> float:
    """Return a segment's share of the relevance; segments of one frame share it evenly."""
    relevance = explanation.relevance
    share = relevance[_time(explanation, segment)].sum() / relevance.sum().clamp_min(1e-12)
    return float(share) * len(relevance) / len(explanation.clip)


def _show(axes: Axes, picture: Pixels) -> None:
    axes.imshow(picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _draw_links(
    figure: Figure, panels: list[Axes], shown: list[int], links: Links, clip: Pixels
) -> None:
    """Draw arrows from the start to each end in a shown segment; stronger links are thicker."""
    columns: dict[int, int] = {}
    for column, segment in enumerate(shown):
        columns.setdefault(segment * links.grid[0] // len(clip), column)
    size = clip.shape[1:3]
    start = (_pixel(links.start, links, size), panels[columns[links.start[0]]])
    strongest = links.ends[0][1]
    for end, weight in links.ends:
        if end[0] in columns:
            arrow = ConnectionPatch(
                xyA=start[0],
                xyB=_pixel(end, links, size),
                coordsA="data",
                coordsB="data",
                axesA=start[1],
                axesB=panels[columns[end[0]]],
                arrowstyle="->",
                color="gold",
                alpha=0.9,
                lw=0.4 + 1.4 * max(weight, 0.0) / max(strongest, 1e-12),
            )
            figure.add_artist(arrow)
    start[1].plot(*start[0], marker="o", ms=5, color="red")


def _pixel(place: Place, links: Links, size: tuple[int, ...]) -> tuple[float, float]:
    """Return x and y of the middle of a place, in pixels of a picture of `size` = (H, W)."""
    (_, rows, columns), (_, row, column) = links.grid, place
    return (column + 0.5) * size[1] / columns - 0.5, (row + 0.5) * size[0] / rows - 0.5
