"""Metrics as functions of how often each clip counts.

Each is defined once, here: training takes its value, and evaluation resamples the clips for an
interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Shapes: N clips, R resamples, K classes, U distinct scores.

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
# Weights (R, N), how often each clip counts -> the metric in each row (R,), nan where undefined.
Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Measure:
    """A metric of `clips` clips.

    For a share, or a mean of shares, `trials` is the number of independent clips that would
    estimate a share as precisely.
    """

    metric: str
    statistic: Statistic
    clips: int
    trials: float | None = None

    @property
    def exact(self) -> float | None:
        """The metric with each clip counted once; None where it is not defined."""
        value = float(self.statistic(np.ones((1, self.clips)))[0]) if self.clips else np.nan
        return None if np.isnan(value) else value

    @property
    def value(self) -> float | None:
        """The metric as files have it, rounded."""
        return None if (exact := self.exact) is None else round(exact, 6)


def share_measure(metric: str, hits: Bools | Floats) -> Measure:
    """Return the share of `hits` (N,).

    For a clip that several networks predicted, the hit is the share of them that was right.
    """
    return Measure(metric, share(hits), len(hits), len(hits))


def class_mean_measure(metric: str, hits: Bools, labels: NDArray[np.int64]) -> Measure:
    """Return the mean over classes of their shares of `hits` (N,).

    With K classes of n_k clips, K^2 / (1 / n_1 + ... + 1 / n_K) clips would estimate a share as
    precisely; that is all clips where the classes are equally large.
    """
    _, sizes = np.unique(labels, return_counts=True)
    trials = len(sizes) ** 2 / float((1 / sizes).sum())
    return Measure(metric, mean_class_accuracy(hits, labels), len(hits), trials)


def share(hits: Bools | Floats) -> Statistic:
    """Return the share of clips that are hits (N,)."""
    return lambda weights: _ratio(weights @ hits, weights.sum(1))


def mean_class_accuracy(hits: Bools, labels: NDArray[np.int64]) -> Statistic:
    """Return the mean of the classes' shares of hits, over the classes that have clips.

    A class that a resample lacks counts with all its clips; leaving it out would shift the mean.
    """
    of_class = labels[:, None] == np.unique(labels)  # (N, K)
    right_of = of_class & hits[:, None]
    shares = right_of.sum(0) / of_class.sum(0)  # (K,)
    return lambda weights: _ratio(weights @ right_of, weights @ of_class, empty=shares).mean(1)


def auroc(scores: Floats, positive: Bools) -> Statistic:
    """Return the area under the ROC curve: how often a positive outscores a negative clip.

    Equal scores count half. nan where a resample lacks positives or negatives.
    """

    def area(weights: Floats) -> Floats:
        up, down = _by_score(weights, scores, positive)
        below = np.cumsum(down, 1) - down / 2
        return _ratio((up * below).sum(1), up.sum(1) * down.sum(1))

    return area


def sensitivity_at(specificity: float, scores: Floats, positive: Bools) -> Statistic:
    """Return the best sensitivity of all thresholds with at least this specificity.

    A clip counts as found when its score is at or above the threshold.
    """

    def best(weights: Floats) -> Floats:
        up, down = _by_score(weights, scores, positive)
        ups, downs = up.sum(1, keepdims=True), down.sum(1, keepdims=True)
        specific = _ratio(np.cumsum(down, 1) - down, downs)  # (R, U)
        found = _ratio(np.cumsum(up[:, ::-1], 1)[:, ::-1], ups)  # (R, U)
        # With a tolerance, because a rounding error may miss exactly 0.95.
        enough = specific >= specificity - 1e-12
        best_found: Floats = np.where(enough, found, 0 * specific * found).max(1)
        return best_found

    return best


def calibration_error(scores: Floats, positive: Bools, bins: int) -> Statistic:
    """Return the expected calibration error of probabilities, over bins of equal width.

    Naeini, Cooper, Hauskrecht (AAAI 2015): the mean distance between a bin's mean score and its
    share of positives, weighted by its clips.
    """
    of_bin = bin_of(scores, bins)[:, None] == np.arange(bins)  # (N, bins)
    gap = of_bin * (scores - positive)[:, None]
    return lambda weights: _ratio(np.abs(weights @ gap).sum(1), weights.sum(1))


def bin_of(scores: Floats, bins: int) -> NDArray[np.int64]:
    """Return which of `bins` equal parts of [0, 1] each score (N,) is in; 1 is in the last."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def _by_score(weights: Floats, scores: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """Return the weight of positives and of negatives at each distinct score, ascending (R, U)."""
    _, place = np.unique(scores, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    ups = np.add.reduceat((weights * positive)[:, order], starts, 1)
    return ups, np.add.reduceat(weights[:, order], starts, 1) - ups


def _ratio(above: Any, below: Any, empty: Any = np.nan) -> Floats:
    """Return above / below, and `empty` where below is 0."""
    above, below, empty = np.broadcast_arrays(above, below, empty)
    ratio: Floats = np.divide(above, below, out=empty.astype(float), where=below > 0)
    return ratio
