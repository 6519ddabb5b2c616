"""95 % intervals of metrics: Wilson's, by bootstrap over clusters, and of rates of events.

Clips of one actor, or of one driver, are alike: resampling single clips would give intervals that
are too narrow. So the bootstrap draws whole clusters (groups of UCF101, subjects of UTA-RLDD). With
few clusters, the bootstrap is too narrow too: an interval is never narrower than if all clips were
independent, and the estimate has the number of clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framemix.metrics.measures import Measure, Statistic
from framemix.metrics.seeds import Metrics
from framemix.tables import MaybeFloat, Row

Z = 1.959963984540054  # the 97.5th percentile of the normal distribution
RESAMPLES = 2000
CHUNKS = 10  # of the resamples: the weights of all at once would take 8 * R * N bytes


class Estimate(Row):
    """A metric over `clips` clips of `clusters` clusters, with its 95 % interval if it has one.

    `interval` names the method: Wilson or bootstrap, of clusters or of clips; "" without interval.
    """

    metric: str
    value: float
    low: MaybeFloat
    high: MaybeFloat
    interval: str
    clips: int
    clusters: int


@dataclass(frozen=True)
class ClipMetrics:
    """Metrics of a model on the same clips; `clusters` names the cluster of each clip."""

    measures: Sequence[Measure]
    clusters: Sequence[str]

    @property
    def metrics(self) -> Metrics:
        """The metrics by name, None where one is not defined."""
        return {each.metric: each.value for each in self.measures}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % intervals of those metrics that have one, as `estimate` finds them."""
        found = [estimate(each, self.clusters) for each in self.measures]
        return {
            each.metric: (each.low, each.high)
            for each in found
            if each is not None and each.low is not None and each.high is not None
        }


def wilson(hits: float, total: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the proportion hits / total of independent trials.

    Wilson 1927; it stays in [0, 1], and its width is not 0 at 0 or at 1.
    """
    share, z2 = hits / total, Z * Z / total
    centre = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / total + z2 / (4 * total))
    # At 0 and at 1, a limit equals the share itself, except for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def poisson(events: int) -> tuple[float, float]:
    """Return Garwood's exact 95 % interval of the expected number of independent events.

    Garwood, "Fiducial limits for the Poisson distribution" (Biometrika 1936). It is the interval of
    a rate, where it is divided by the time in which the events were counted.
    """
    low = _expected(events - 1, 0.975) if events else 0.0
    return low, _expected(events, 0.025)


def _expected(most: int, probability: float) -> float:
    """Return the expected number with which at most `most` events have this probability."""
    low, high = 0.0, most + 10 * math.sqrt(most + 1) + 10  # where it is far below 0.025
    while (middle := (low + high) / 2) not in (low, high):
        logs = (n * math.log(middle) - middle - math.lgamma(n + 1) for n in range(most + 1))
        enough = math.fsum(map(math.exp, logs)) >= probability
        low, high = (middle, high) if enough else (low, middle)
    return middle


def estimate(measure: Measure, clusters: Sequence[str]) -> Estimate | None:
    """Return a metric with the widest of its intervals; None where it is not defined.

    `clusters` names the cluster of each clip. The bootstrap of clusters is compared with Wilson's
    interval of the clips or, where that has no meaning, with the bootstrap of clips. There is no
    interval where all resamples give the same value, which is no estimate of the error.
    """
    if (value := measure.value) is None:
        return None
    intervals = {
        "bootstrap of clusters": _bootstrap(measure.statistic, clusters),
        **_of_independent_clips(measure, clusters),
    }
    how = max(intervals, key=lambda name: intervals[name][1] - intervals[name][0])
    low, high = intervals[how]
    return Estimate(
        metric=measure.metric,
        value=value,
        low=round(low, 6) if low < high else None,
        high=round(high, 6) if low < high else None,
        interval=how if low < high else "",
        clips=measure.clips,
        clusters=len(set(clusters)),
    )


def _of_independent_clips(
    measure: Measure, clusters: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return the intervals that the metric would have if all clips were independent.

    Where all clips are right, or all wrong, resamples of clusters do not differ; then Wilson's
    interval with one trial per cluster is included.
    """
    share, trials = measure.exact, measure.trials
    if share is None or trials is None:
        return {"bootstrap of clips": _bootstrap(measure.statistic, range(measure.clips))}
    found = {"Wilson of clips": wilson(share * trials, trials)}
    if share in (0, 1):
        apart = len(set(clusters))
        found["Wilson of clusters"] = wilson(share * apart, apart)
    return found


def _bootstrap(statistic: Statistic, clusters: Sequence[str] | range) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentiles over resamples of whole, equally likely clusters."""
    names, cluster_of = np.unique(np.array(clusters), return_inverse=True)
    generator = np.random.default_rng(0)
    count, rows = len(names), RESAMPLES // CHUNKS
    statistics = np.concatenate(
        [
            statistic(
                generator.multinomial(count, np.full(count, 1 / count), rows)[:, cluster_of] * 1.0
            )
            for _ in range(CHUNKS)
        ]
    )
    low, high = np.nanquantile(statistics, [0.025, 0.975])
    return float(low), float(high)
