"""Means over seeds and clips, with intervals by two-way bootstrap.

Answers to one clip (forward and backward, by networks of several seeds) are alike, and so are all
answers of one network. The bootstrap draws clips and seeds anew, each as a whole (Owen, "The
pigeonhole bootstrap", 2007). It errs on the wide side where there are many of both, but few seeds
say little of how seeds differ: with three, where that is most of what varies, it is too narrow. A
cell that has one seed tells nothing of it, and its interval is one over clips.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Shapes: K seeds, N clips, R resamples.

Floats = NDArray[np.float64]

RESAMPLES = 4000


@dataclass(frozen=True)
class Mean:
    """A mean and an interval that holds the true one with probability `level`."""

    value: float
    low: float
    high: float
    level: float = 0.95


def mean_of(values: Floats, level: float = 0.95) -> Mean:
    """Return the mean of `values` (K, N)."""
    rng = np.random.default_rng(0)
    return _mean(values.mean(), _resampled(values, _draws(rng, values.shape[1]), rng), level)


def difference_of(values: Floats, base: Floats, level: float = 0.95) -> Mean:
    """Return the mean of `values` (K, N) less that of `base` (K', N), of the same clips.

    Both are resampled with the same clips, so that what is hard about a clip cancels out.
    """
    rng = np.random.default_rng(0)
    clips = _draws(rng, values.shape[1])
    resampled = _resampled(values, clips, rng) - _resampled(base, clips, rng)
    return _mean(values.mean() - base.mean(), resampled, level)


def _draws(rng: np.random.Generator, count: int) -> Floats:
    """Return how often each of `count` is drawn, as shares (R, count)."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _resampled(values: Floats, clips: Floats, rng: np.random.Generator) -> Floats:
    """Return the mean of `values` (K, N) in each resample (R,)."""
    seeds = _draws(rng, len(values))  # (R, K)
    means: Floats = ((clips @ values.T) * seeds).sum(1)
    return means


def _mean(value: float, resampled: Floats, level: float) -> Mean:
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Mean(round(float(value), 6), round(float(low), 6), round(float(high), 6), level)
