"""Means over seeds and clips, with intervals for other clips and other seeds.

Predictions for one clip (forward and backward, by networks of several seeds) are alike, and so are
all predictions of one network. So whole clips are resampled, and the error of the seeds' mean is
added to each resample: by Student's t, because few seeds show little of how seeds differ. The part
of the seeds' differences that is due to the clips counts twice, which makes intervals wider. With
one seed there is no estimate of how seeds differ, and the interval is over clips alone.
"""

import copy
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Shapes: K seeds, N clips, R resamples, T draws of Student's t for each.

Floats = NDArray[np.float64]

RESAMPLES, T_DRAWS = 4000, 10  # the tails of t need many draws, which take little time


@dataclass(frozen=True)
class Mean:
    """A mean, and an interval that contains the true mean with probability `level`."""

    value: float
    low: float
    high: float
    level: float = 0.95


def mean_of(values: Floats, level: float = 0.95) -> Mean:
    """Return the mean of shares `values` (K, N).

    Where all are 0, or all 1, resamples do not differ; the interval is then Clopper and Pearson's.
    """
    value, clips = float(values.mean()), values.shape[1]
    low, high = _limits(_resampled(values, *_drawn(clips)), level)
    if value in (0, 1):
        edge = ((1 - level) / 2) ** (1 / clips)
        low, high = (edge, 1.0) if value else (0.0, 1 - edge)
    return _mean(value, max(low, 0.0), min(high, 1.0), level)


def difference_of(values: Floats, base: Floats, level: float = 0.95) -> Mean:
    """Return the mean of shares `values` (K, N) minus that of `base` (K', N), of the same clips.

    Both are resampled with the same clips, so that the difficulty of a clip cancels out.
    """
    clips, rng = _drawn(values.shape[1])
    low, high = _limits(_resampled(values, clips, rng) - _resampled(base, clips, rng), level)
    return _mean(float(values.mean() - base.mean()), max(low, -1.0), min(high, 1.0), level)


def _drawn(count: int) -> tuple[Floats, np.random.Generator]:
    """Return how often each of `count` clips is drawn, as shares (R, count), and what draws on."""
    counts, rng = _counts(count)
    return counts / count, copy.deepcopy(rng)


# The numbers are the same each time, and drawing them takes most of the time. A report has many
# means of all videos, and of those with a direction.
@lru_cache(maxsize=2)
def _counts(count: int) -> tuple[NDArray[np.int32], np.random.Generator]:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return counts.astype(np.int32), rng  # half as large


def _resampled(values: Floats, clips: Floats, rng: np.random.Generator) -> Floats:
    """Return the mean of `values` (K, N) in each resample, (R,) or (T, R)."""
    means: Floats = clips @ values.mean(0)
    seeds = len(values)
    if seeds > 1:
        error = values.mean(1).std(ddof=1) / math.sqrt(seeds)
        means = means + error * rng.standard_t(seeds - 1, (T_DRAWS, RESAMPLES))
    return means


def _limits(resampled: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _mean(value: float, low: float, high: float, level: float) -> Mean:
    return Mean(round(value, 6), round(low, 6), round(high, 6), level)
