"""Metrics by name, as metrics.json has them."""

from collections.abc import Sequence

from torch import Tensor

from framemix.metrics.accuracy import class_measures
from framemix.metrics.drivers import measure_drivers
from framemix.metrics.intervals import ClipMetrics
from framemix.metrics.seeds import Metrics


def accuracies(probabilities: Tensor, labels: Tensor) -> Metrics:
    """Return top-1, top-5 and mean-class accuracy of clips that are all of one group."""
    return ClipMetrics(class_measures(probabilities, labels), ["one"] * len(labels)).metrics


def of_drivers(probabilities: Tensor, states: Sequence[str], drowsy_class: int) -> Metrics:
    """Return the metrics of driver clips that are all of one subject."""
    evaluated = measure_drivers(probabilities, states, drowsy_class, ["one"] * len(states))
    return {name: value for each in evaluated for name, value in each.metrics.items()}
