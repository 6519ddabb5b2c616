"""The tables of `framemix bench videos`, from the predictions of its cells."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from framemix.benchmarks.cells import CellRow
from framemix.benchmarks.networks import over_seeds
from framemix.evaluation.tables import NONE, limits, percent
from framemix.metrics.intervals import estimate
from framemix.metrics.measures import Floats, Measure, auroc, share, share_measure
from framemix.text.markdown import Table

# Shapes: K seeds, N clips, R resamples.


@dataclass(frozen=True)
class Condition:
    """What a table has a row of: cells that differ in fold and seed alone.

    Each seed's networks, one for each fold, predict every clip once.
    """

    name: str
    rows: Sequence[CellRow]

    @cached_property
    def seeds(self) -> list[list[CellRow]]:
        """The predictions of each seed, in the order of clips."""
        seeds: dict[int, list[CellRow]] = defaultdict(list)
        for row in sorted(self.rows, key=lambda row: row.clip):
            seeds[row.seed].append(row)
        return list(seeds.values())

    @property
    def groups(self) -> list[str]:
        """The group of each clip; one without is a group of its own."""
        return [row.group or row.clip for row in self.seeds[0]]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each seed's networks are right, bool (K, N)."""
        return np.array([[row.is_right for row in rows] for rows in self.seeds])

    @property
    def accuracy(self) -> float:
        """The mean over folds, and seeds, of the share of clips that are predicted correctly."""
        cells: dict[tuple[int, int], list[bool]] = defaultdict(list)
        for row in self.rows:
            cells[row.seed, row.fold].append(row.is_right)
        return fmean(map(fmean, cells.values()))

    @property
    def aurocs(self) -> list[Measure]:
        """Each seed's AUROC over the clips of all folds; of two classes, else there is none."""
        first, *others = sorted({row.true for row in self.rows})
        if len(others) != 1:
            return []
        found = []
        for rows in self.seeds:
            positive = np.array([row.true != first for row in rows])
            own = np.array([row.probability for row in rows])
            scores = np.where(positive, own, 1 - own)
            found.append(Measure("auroc", auroc(scores, positive), len(rows)))
        return found


def table(what: str, conditions: Sequence[Condition]) -> Table:
    """Return a row for each condition, with its difference from the first one's accuracy.

    Of several seeds means and sample deviations, and intervals of the mean: a clip that three
    networks predicted is still one clip.
    """
    columns = ["parameters", "seeds", "leak share, %", "accuracy, %", "95 % interval", "AUROC"]
    rest = ["95 % interval", "less the first, points", "95 % interval", "CPU s a training"]
    first = conditions[0]
    return Table(columns=[what, *columns, *rest], rows=[_cells(one, first) for one in conditions])


def _cells(condition: Condition, first: Condition) -> list[str]:
    leaks = [row.leak_share for row in condition.rows if row.leak_share is not None]
    hits, groups = condition.hits, condition.groups
    aurocs = condition.aurocs
    return [
        condition.name,
        f"{condition.rows[0].parameters:,}",
        str(len(hits)),
        percent(fmean(leaks)) if leaks else NONE,
        over_seeds((100 * hits.mean(1)).tolist()),
        _interval(share_measure("top1", hits.mean(0)), groups, 100),
        over_seeds([one.exact or 0.0 for one in aurocs], 3) if aurocs else NONE,
        _interval(_mean(aurocs), groups, 1) if aurocs else NONE,
        *_difference(condition, first),
        f"{fmean(row.cpu_seconds for row in condition.rows):.0f}",
    ]


def _difference(condition: Condition, first: Condition) -> tuple[str, str]:
    """Return how much higher the accuracy is than the first's on the same clips, in points."""
    if condition is first:
        return NONE, NONE
    gains = condition.hits.mean(0) - first.hits.mean(0)
    measure = Measure("top1_lead", share(gains), len(gains))
    found = estimate(measure, condition.groups)
    assert found is not None
    if found.low is None or found.high is None:
        return f"{100 * found.value:+.1f}", NONE
    return f"{100 * found.value:+.1f}", f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _mean(measures: Sequence[Measure]) -> Measure:
    """Return the mean of several seeds' metrics of the same clips."""

    def mean(weights: Floats) -> Floats:
        means: Floats = np.mean([one.statistic(weights) for one in measures], axis=0)
        return means

    return Measure(measures[0].metric, mean, measures[0].clips)


def _interval(measure: Measure, groups: Sequence[str], scale: int) -> str:
    found = estimate(measure, groups)
    return NONE if found is None else limits(found.low, found.high, scale)
