"""How well a network recognises pairs of classes that are each other's time reversal."""

# N clips, K classes, D clips of a class that has a partner

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from framemix.metrics.intervals import ClipMetrics
from framemix.metrics.measures import share_measure


def measure_direction(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    partners: Mapping[str, str],
    clusters: Sequence[str],
) -> ClipMetrics:
    """Return how often a pair is right, and which of its two classes, on the clips of pairs.

    `probabilities` (N, K), `labels` int64 (N,). `partners` has the class that is a class's
    reversal; a pair counts where both are among `classes`. `pair_top1` is the share of clips whose
    top-1 is one of their pair's classes, `direction` of those whose own class scores higher than
    its partner, whatever the others score; of equals, the first by label.
    """
    place = {name: label for label, name in enumerate(classes)}
    reversal = {own: place.get(partners.get(name, ""), -1) for name, own in place.items()}
    found = [number for number, label in enumerate(labels.tolist()) if reversal[label] >= 0]
    own = labels[found]  # (D,)
    other = torch.tensor([reversal[label] for label in own.tolist()], dtype=torch.int64)
    scores = probabilities[found]  # (D, K)
    best, clips = scores.argmax(1), torch.arange(len(found))
    gain = scores[clips, own] - scores[clips, other]
    measures = [
        share_measure("pair_top1", ((best == own) | (best == other)).numpy()),
        share_measure("direction", ((gain > 0) | ((gain == 0) & (own < other))).numpy()),
    ]
    return ClipMetrics(measures, [clusters[number] for number in found])
