"""Accuracy: how often the most likely class, or one of the five most likely, is the clip's own."""

import torch
from einops import rearrange
from torch import Tensor, nn

from framemix.metrics.measures import Bools, Measure, class_mean_measure, share_measure

# Shapes: N clips, K classes.

RANKS = 5  # of top-5, which is always 1 with five classes or fewer: reports then leave it out


def class_measures(probabilities: Tensor, labels: Tensor) -> list[Measure]:
    """Return top-1, top-5 and mean-class accuracy, fractions in [0, 1].

    `probabilities` (N, K), `labels` int64 (N,). Classes without a clip are left out of the
    mean; with fewer than five classes, top-5 counts all of them.
    """
    hits = ranked_hits(probabilities, labels)
    first: Bools = hits[:, 0].numpy()
    return [
        share_measure("top1", first),
        share_measure("top5", hits.any(1).numpy()),
        class_mean_measure("mean_class_accuracy", first, labels.numpy()),
    ]


def ranked_hits(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return whether each of the five likeliest classes is the clip's own: bool (N, 5), in order.

    With fewer than five classes, (N, K). `probabilities` (N, K), `labels` int64 (N,).
    """
    likeliest = probabilities.topk(min(RANKS, probabilities.shape[1])).indices
    return likeliest == rearrange(labels, "n -> n 1")


def confusion(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return how often each class (rows) was predicted as each class (columns), int64 (K, K)."""
    classes = probabilities.shape[1]
    top1 = probabilities.topk(1).indices[:, 0]
    counts = torch.bincount(labels * classes + top1, minlength=classes**2)
    return rearrange(counts, "(true predicted) -> true predicted", true=classes)


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Return the counts of a network's parameters, and of its trainable ones."""
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return {
        "parameters": sum(count for count, _ in counts),
        "trainable_parameters": sum(count for count, trained in counts if trained),
    }
