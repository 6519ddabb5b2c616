"""A temperature: one number that makes probabilities as sure as they are right.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2.
It changes no ranking of the classes.
"""

# Shapes: N predictions, K classes.

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framemix.metrics.measures import Floats

Labels = NDArray[np.integer[Any]]

# Where every prediction is right, no temperature is too low: limits keep the model from a certainty
# that a few clips cannot show.
COLDEST, HOTTEST = 0.1, 10.0
HALVINGS = 50  # of the range of its logarithm: beyond the precision of any prediction


def tempered(log_p: Floats, temperature: float) -> Floats:
    """Return the probabilities (N, K) of logits, or of log probabilities, at a temperature.

    Both give the same: they differ by a constant in each row.
    """
    scaled = log_p / temperature
    odds = np.exp(scaled - scaled.max(1, keepdims=True))
    shares: Floats = odds / odds.sum(1, keepdims=True)
    return shares


def mean_nll(probabilities: Floats, labels: Labels) -> float:
    """Return the mean negative log likelihood, in nats, of labels (N,)."""
    own = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(own, np.finfo(np.float32).tiny)).mean())


def fitted_temperature(log_p: Floats, labels: Labels) -> float:
    """Return the temperature with the lowest NLL, from COLDEST to HOTTEST.

    `log_p` (N, K) are finite logits or log probabilities, `labels` (N,).
    """
    own = log_p[np.arange(len(labels)), labels].mean()

    def is_too_hot(temperature: float) -> bool:
        # NLL is convex in 1 / temperature, and this is the sign of its slope. At certainty it is 0.
        expected = (tempered(log_p, temperature) * log_p).sum(1).mean()
        return bool(expected <= own)

    low, high = COLDEST, HOTTEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_too_hot(middle) else (middle, high)
    return math.sqrt(low * high)
