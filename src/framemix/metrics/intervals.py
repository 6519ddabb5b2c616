"""Figures of merit with 95 % intervals: Wilson's, and by bootstrap over clusters.

Clips of one actor, or of one driver, are alike: to resample them one by one would promise more
than they tell. So the bootstrap draws whole clusters (groups of UCF101, subjects of UTA-RLDD).
Of few clusters it promises too much itself: an interval is never narrower than if all clips were
independent, and the estimate says how many clusters there were.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framemix.tables import MaybeFloat, Row

# Shapes: N clips, R resamples, G clusters, K classes, U distinct scores.

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
# Weights (R, N), how often each clip counts -> the figure in each row (R,), nan where undefined.
Statistic = Callable[[Floats], Floats]

Z = 1.959963984540054  # the 97.5th percentile of the normal distribution
RESAMPLES = 2000
CHUNKS = 10  # of the resamples: the weights of all would take 8 * R * N bytes


class Estimate(Row):
    """A figure over `clips` clips of `clusters` clusters, and its 95 % interval where it has one.

    `interval` says how it was found: Wilson's or by bootstrap, of clusters or of clips; "" where
    there is none.
    """

    metric: str
    value: float
    low: MaybeFloat
    high: MaybeFloat
    interval: str
    clips: int
    clusters: int


def wilson(hits: float, total: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the proportion hits / total of independent trials.

    Wilson 1927; it stays in [0, 1] and has a width at 0 and at 1 too.
    """
    share, z2 = hits / total, Z * Z / total
    centre = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / total + z2 / (4 * total))
    # At 0 and at 1 a limit is the share itself, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def estimate(metric: str, statistic: Statistic, clusters: Sequence[str]) -> Estimate | None:
    """Return a figure with the wider of its bootstrap intervals; None where it is not defined.

    `clusters` names the cluster of each clip, in the order of the statistic's weights. There is
    no interval where all resamples give the same: they cannot tell how far off it is.
    """
    if not clusters:
        return None
    of_clips = _bootstrap(statistic, range(len(clusters)))
    return _widest(metric, statistic, clusters, {"bootstrap of clips": of_clips})


def estimate_share(metric: str, hits: Bools | Floats, clusters: Sequence[str]) -> Estimate | None:
    """Return the share of `hits` (N,) with the wider of its intervals; None without clips.

    Of a clip that several networks judged, the share that was right: it is still one clip.
    These are Wilson's of the clips and the bootstrap of clusters. Where every cluster is all
    right, or all wrong, resamples do not differ: then each cluster is one of Wilson's trials.
    """
    if not clusters:
        return None
    wilsons = _wilsons(float(hits.sum()), len(hits), clusters)
    return _widest(metric, share(hits), clusters, wilsons)


def estimate_class_mean(
    metric: str, hits: Bools, labels: NDArray[np.int64], clusters: Sequence[str]
) -> Estimate | None:
    """Return the mean over classes of their shares of `hits` (N,), as `estimate_share` does.

    Wilson's clips are as many as would tell a share as exactly: of K classes with n_k clips,
    K^2 / (1 / n_1 + ... + 1 / n_K), which is all of them where classes are equally large.
    """
    if not clusters:
        return None
    statistic, (_, sizes) = mean_class_accuracy(hits, labels), np.unique(labels, return_counts=True)
    clips = len(sizes) ** 2 / float((1 / sizes).sum())
    value = float(statistic(np.ones((1, len(hits))))[0])
    return _widest(metric, statistic, clusters, _wilsons(value * clips, clips, clusters))


def share(hits: Bools | Floats) -> Statistic:
    """Return the share of clips that are hits (N,)."""
    return lambda weights: _ratio(weights @ hits, weights.sum(1))


def mean_class_accuracy(hits: Bools, labels: NDArray[np.int64]) -> Statistic:
    """Return the mean of the classes' shares of hits, over the classes that have clips.

    A class that a resample lacks counts as with all its clips: to leave it out would move the mean.
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
    """Return the best sensitivity of any threshold whose specificity is at least that.

    A clip counts as found when its score is at or above the threshold.
    """

    def best(weights: Floats) -> Floats:
        up, down = _by_score(weights, scores, positive)
        ups, downs = up.sum(1, keepdims=True), down.sum(1, keepdims=True)
        specific = _ratio(np.cumsum(down, 1) - down, downs)  # (R, U)
        found = _ratio(np.cumsum(up[:, ::-1], 1)[:, ::-1], ups)  # (R, U)
        # The tolerance: 0.95 of whole numbers may be missed by a rounding error.
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
    """Return which of `bins` equal parts of [0, 1] each score (N,) lies in; 1 lies in the last."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def _wilsons(hits: float, clips: float, clusters: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return Wilson's interval of the clips, and of the clusters where all are right or wrong."""
    found = {"Wilson of clips": wilson(hits, clips)}
    if hits in (0, clips):
        trials = len(set(clusters))
        found["Wilson of clusters"] = wilson(hits / clips * trials, trials)
    return found


def _widest(
    metric: str,
    statistic: Statistic,
    clusters: Sequence[str],
    others: Mapping[str, tuple[float, float]],
) -> Estimate | None:
    """Return the figure with the widest interval of the bootstrap of clusters and `others`."""
    value = statistic(np.ones((1, len(clusters))))[0]
    if np.isnan(value):
        return None
    intervals = {"bootstrap of clusters": _bootstrap(statistic, clusters), **others}
    how = max(intervals, key=lambda name: intervals[name][1] - intervals[name][0])
    low, high = intervals[how]
    return Estimate(
        metric=metric,
        value=round(float(value), 6),
        low=round(low, 6) if low < high else None,
        high=round(high, 6) if low < high else None,
        interval=how if low < high else "",
        clips=len(clusters),
        clusters=len(set(clusters)),
    )


def _bootstrap(statistic: Statistic, clusters: Sequence[str] | range) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile over resamples of whole clusters, drawn alike."""
    names, cluster_of = np.unique(np.array(clusters), return_inverse=True)
    generator = np.random.default_rng(0)
    count, rows = len(names), RESAMPLES // CHUNKS
    figures = np.concatenate(
        [
            statistic(
                generator.multinomial(count, np.full(count, 1 / count), rows)[:, cluster_of] * 1.0
            )
            for _ in range(CHUNKS)
        ]
    )
    low, high = np.nanquantile(figures, [0.025, 0.975])
    return float(low), float(high)


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
