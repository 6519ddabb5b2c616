"""The study's table (paper B, table 2), its plot, and its metrics."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from framemix.errors import DatasetError
from framemix.frame_mixup.cells import Videos, parse_cell
from framemix.frame_mixup.figures import Curve, Panel, direction_plot
from framemix.frame_mixup.predictions import VideoPrediction
from framemix.jobs.atomic import write_text
from framemix.metrics.means import Floats, Mean, difference_of, mean_of
from framemix.mixing import Window, mix_windows
from framemix.tables import write_json
from framemix.text.markdown import Table

# Shapes: K seeds, N videos.

BASE = "none"
TOP5 = "top-5, %"
COLUMNS = (
    "frames mixed",
    "seeds",
    "top-1, %",
    TOP5,
    "top-1 over base",
    "direction, %",
    "of each seed",
    "paper top-1/top-5",
    "paper over base",
)
# Paper B, table 2: TSN of 8 segments on Something-Something V1, top-1 and top-5 in %.
# Its base draws the frames that train, and tests on the middle ones: the cell random.
PAPER = {
    "none": (17.29, 43.11),
    "random": (17.29, 43.11),
    "average-all": (19.17, 47.98),
    "average-5": (19.5, 47.27),
    "average-3": (18.76, 46.36),
    "linear-all": (19.45, 47.02),
    "linear-5": (19.99, 48.13),
    "linear-3": (19.55, 47.42),
}
PLOTTED = ("average", "linear", "harmonic")


@dataclass(frozen=True)
class CellPredictions:
    """The predictions of a cell's networks, one per seed, for the same videos."""

    videos: Videos
    name: str
    segments: int
    window: Literal["all"] | Window
    by_seed: Mapping[int, Sequence[VideoPrediction]]

    def __post_init__(self) -> None:
        if len({tuple(row.video for row in rows) for rows in self.by_seed.values()}) != 1:
            raise DatasetError(
                f"frame_mixup.cells: the seeds of {self.name} predicted different videos; "
                f"allowed: seeds of one table of videos"
            )

    @property
    def rows(self) -> Sequence[VideoPrediction]:
        """The first seed's rows, one per video; other seeds' rows have other predictions."""
        return next(iter(self.by_seed.values()))

    def values(self, *names: str) -> Floats:
        """Return the mean of the named columns for each video, (K, N); nan without a prediction."""
        rows = [
            [[getattr(a, name) for name in names] for a in predictions]
            for predictions in self.by_seed.values()
        ]
        means: Floats = np.array(rows, np.float64).mean(2)
        return means

    @property
    def directed(self) -> NDArray[np.bool_]:
        """Whether each video has a direction, (N,)."""
        return np.array([prediction.forward is not None for prediction in self.rows])

    @property
    def has_top5(self) -> bool:
        """Whether there are more than five classes, without which top-5 is always 1."""
        return all(prediction.top5 is not None for prediction in self.rows)

    @property
    def divisible(self) -> NDArray[np.bool_]:
        """Whether each video has segments of equal length, (N,)."""
        divisible: NDArray[np.bool_] = self.lengths % self.segments == 0
        return divisible

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of frames of each video in the window, (N,)."""
        fixed = None if self.window == "all" else self.window.frames
        return np.array([fixed or prediction.frames for prediction in self.rows])

    @property
    def direction(self) -> Floats:
        """The share of correct directions of a video and its reversal, (K, directed)."""
        return self.values("forward", "backward")[:, self.directed]


def write_study(cells: Sequence[CellPredictions], target: Path) -> dict[str, Any]:
    """Write table_b.md, direction.png and frame_mixup.json into `target`; return the metrics."""
    target.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, Any] = {
        "short": {cell.name: _metrics(cell) for cell in cells if cell.videos == "short"},
        "long": {cell.name: _metrics(cell) for cell in cells if cell.videos == "long"},
        "checks": checks(cells),
    }
    write_text(target / "table_b.md", table_b(cells))
    direction_plot(panels(cells), target / "direction.png")
    write_json(target / "frame_mixup.json", metrics)
    return metrics


def table_b(cells: Sequence[CellPredictions]) -> str:
    """Return paper B's table 2 with our rows, and the checks of the direction."""
    short = [cell for cell in cells if cell.videos == "short"]
    base = next((cell for cell in short if cell.name == BASE), None)
    videos = {len(cell.rows) for cell in short}
    paragraphs = [
        "# Frame mix-up (paper B, table 2)",
        _table([_cells(cell, base) for cell in short]).markdown(),
        f"On {max(videos, default=0)} videos that no network was trained on. Without a test subset "
        "these are the val videos, which also chose each network's epoch, so numbers are a little "
        "too high. In brackets: 95 % intervals over videos (bootstrap), and over seeds where there "
        "are several (Student's t, wide for few). One seed does not show how seeds differ. "
        "Direction: a video is shown forward and in reverse; how often the true one of the two "
        "classes that are each other's reversal scores higher. Chance is 50 %. The paper's metrics "
        "are on Something-Something V1, from one run each.",
        *_check_table(cells),
    ]
    return "\n\n".join(paragraphs) + "\n"


def checks(cells: Sequence[CellPredictions]) -> dict[str, Any]:
    """Return checks of the direction, by theory and by expectation, with our metrics.

    Where segments are equally long, the averages of a reversed video are the mirror image of the
    video's own, and a network that averages over segments gives the same prediction for both.
    """
    found: dict[str, Any] = {}
    directed = [cell for cell in cells if cell.videos == "short" and cell.directed.any()]
    by_name = {cell.name: cell for cell in directed}
    if (average := by_name.get("average-all")) is not None:
        equal = average.divisible[average.directed]
        for name, chosen in (("equal", equal), ("unequal", ~equal)):
            if chosen.any():
                found[f"average_{name}_segments"] = _check(
                    average.direction[:, chosen], 0.99, lambda m: m.low <= 0.5 <= m.high
                )
    if (linear := by_name.get("linear-all")) is not None:
        found["linear"] = _check(linear.direction, 0.95, lambda m: m.value >= 0.7 and m.low > 0.6)
    return found


def panels(cells: Sequence[CellPredictions]) -> list[Panel]:
    """Return the plot's panels: short and long videos, one curve per method over frames mixed."""
    found = []
    for videos in ("short", "long"):
        chosen = [cell for cell in cells if cell.videos == videos and cell.directed.any()]
        plotted = [cell for cell in chosen if parse_cell(cell.name)[0] in PLOTTED]
        if chosen:
            curves = [_plotted(method, plotted) for method in PLOTTED]
            title = f"{videos} videos: {_frames(chosen[0])}"
            found.append(Panel(title, [curve for curve in curves if curve.points], _ticks(plotted)))
    return found


def _check(values: Floats, level: float, holds: Callable[[Mean], bool]) -> dict[str, Any]:
    mean = mean_of(values, level)
    return {**asdict(mean), "predictions": 2 * values.size, "holds": holds(mean)}


def _check_table(cells: Sequence[CellPredictions]) -> list[str]:
    """Return the table of `checks` in Markdown, nothing if there are none."""
    named = {
        "average_equal_segments": "average-all, equally long segments: 50 % by construction",
        "average_unequal_segments": "average-all, other videos: the interval holds 50 %",
        "linear": "linear-all: at least 70 %, and the interval above 60 %",
    }
    rows = [
        [
            named[name],
            f"{100 * check['value']:.1f} [{100 * check['low']:.1f}, {100 * check['high']:.1f}]",
            f"{100 * check['level']:.0f} %",
            str(check["predictions"]),
            "yes" if check["holds"] else "no",
        ]
        for name, check in checks(cells).items()
    ]
    columns = ["direction", "measured, %", "interval", "predictions", "holds"]
    return [Table(columns, rows).markdown()] if rows else []


def _table(rows: Sequence[Sequence[str]]) -> Table:
    """Return the table of COLUMNS, without top-5 if no row has it."""
    filled = [name != TOP5 or any(cells) for name, *cells in zip(COLUMNS, *rows, strict=True)]
    head, *body = [list(compress(row, filled)) for row in (COLUMNS, *rows)]
    return Table(head, body)


def _cells(cell: CellPredictions, base: CellPredictions | None) -> list[str]:
    """Return a cell's row of the table, in the order of COLUMNS."""
    top1 = cell.values("top1")
    over = _points(difference_of(top1, base.values("top1"))) if base and cell != base else ""
    direction = _percent(mean_of(cell.direction)) if cell.directed.any() else ""
    seeds = ", ".join(f"{100 * one.mean():.1f}" for one in cell.direction) if direction else ""
    paper, paper_over = "", ""
    if cell.name in PAPER:
        paper = "{:.2f}/{:.2f}".format(*PAPER[cell.name])
        over_base = PAPER[cell.name][0] - PAPER[BASE][0]
        paper_over = f"{over_base:+.2f}" if over_base else ""
    return [
        cell.name,
        str(len(cell.by_seed)),
        _percent(mean_of(top1)),
        f"{100 * cell.values('top5').mean():.1f}" if cell.has_top5 else "",
        over,
        direction,
        seeds,
        paper,
        paper_over,
    ]


def _percent(mean: Mean) -> str:
    return f"{100 * mean.value:.1f} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]"


def _points(mean: Mean) -> str:
    return f"{100 * mean.value:+.1f} [{100 * mean.low:+.1f}, {100 * mean.high:+.1f}]"


def _metrics(cell: CellPredictions) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "seeds": list(cell.by_seed),
        "videos": len(cell.rows),
        "top1": asdict(mean_of(cell.values("top1"))),
        "top5": asdict(mean_of(cell.values("top5"))) if cell.has_top5 else None,
    }
    if cell.directed.any():
        metrics["direction"] = asdict(mean_of(cell.direction))
        metrics["direction_of_seeds"] = [round(one.mean(), 6) for one in cell.direction]
    return metrics


def _plotted(method: str, cells: Sequence[CellPredictions]) -> Curve:
    points = [
        (float(np.mean(_mixed(cell))), mean_of(cell.direction))
        for cell in cells
        if parse_cell(cell.name)[0] == method
    ]
    return Curve(method, sorted(points, key=lambda point: point[0]))


def _ticks(cells: Sequence[CellPredictions]) -> dict[float, str]:
    """Return the labels of the cells' places on the axis; cells that mix all frames get two lines.

    There would be no room beside a label for nearly as many frames.
    """
    numbers: dict[float, list[str]] = defaultdict(list)
    below: dict[float, str] = {}
    for cell in cells:
        mixed, kept = _mixed(cell), parse_cell(cell.name)[1]
        names = numbers[place := float(np.mean(mixed))]
        if kept == "all":
            below[place] = f"all: {_span(mixed)}"
        elif str(kept) not in names:
            names.append(str(kept))
    return {
        place: "\n".join([", ".join(sorted(names, key=int)), below.get(place, "")]).rstrip()
        for place, names in numbers.items()
    }


def _mixed(cell: CellPredictions) -> list[int]:
    """Return the number of mixed frames of each segment of each video."""
    method, kept = parse_cell(cell.name)
    how: dict[str, Any] = {"method": method, "frames_per_segment": kept}
    return [
        len(window)
        for length in cell.lengths[cell.directed].tolist()
        for window in mix_windows(length, segments=cell.segments, **how)
    ]


def _frames(cell: CellPredictions) -> str:
    place = "" if cell.window == "all" else f" at the {cell.window.at}"
    return f"{_span(cell.lengths[cell.directed].tolist())} frames{place}"


def _span(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least} to {most}"
