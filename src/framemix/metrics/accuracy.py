"""Figures of merit from class probabilities and labels."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torchmetrics.functional.classification import binary_auroc

# Shapes: N clips, K classes.

RANKS = 5  # of top-5, which is 1 for whoever knows no more classes: no report shows it then


def classification_metrics(probabilities: Tensor, labels: Tensor) -> dict[str, float]:
    """Return top-1, top-5 and mean-class accuracy, fractions in [0, 1].

    `probabilities` (N, K), `labels` int64 (N,). Classes without a clip are left out of the
    mean; with fewer than five classes, top-5 is over all of them.
    """
    hits = ranked_hits(probabilities, labels)
    by_class = torch.stack([hits[labels == one, 0].double().mean() for one in torch.unique(labels)])
    return {
        "top1": _share(hits[:, 0]),
        "top5": _share(hits.any(1)),
        "mean_class_accuracy": _share(by_class),
    }


def ranked_hits(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return whether each of the likeliest classes is the clip's own: bool (N, 5), likeliest first.

    With fewer than five classes (N, K). `probabilities` (N, K), `labels` int64 (N,).
    """
    likeliest = probabilities.topk(min(RANKS, probabilities.shape[1])).indices
    return likeliest == rearrange(labels, "n -> n 1")


def confusion(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return how often each class (rows) was taken for each (columns), int64 (K, K)."""
    classes = probabilities.shape[1]
    top1 = probabilities.topk(1).indices[:, 0]
    counts = torch.bincount(labels * classes + top1, minlength=classes**2)
    return rearrange(counts, "(true predicted) -> true predicted", true=classes)


def drowsiness_metrics(
    probabilities: Tensor, states: Sequence[str], drowsy_class: int
) -> dict[str, float | int | None]:
    """Return how well drowsy clips are found, and told from alert ones.

    `probabilities` (N, K) of driver clips of subjects held out of training, `states` their
    states. `drowsy_accuracy` is paper A's: the share of drowsy clips whose top-1 is drowsy.
    `drowsy_vs_alert_auroc` takes p(drowsy) over drowsy and alert clips. None where there are
    no such clips.
    """
    drowsy = torch.tensor([state == "drowsy" for state in states], dtype=torch.bool)
    alert = torch.tensor([state == "alert" for state in states], dtype=torch.bool)
    found = probabilities.argmax(1) == drowsy_class
    told = drowsy | alert
    both = bool(drowsy.any() and alert.any())
    auroc = binary_auroc(probabilities[told, drowsy_class], drowsy[told].long()) if both else None
    return {
        "drowsy_accuracy": _share(found[drowsy]) if drowsy.any() else None,
        "drowsy_clips": int(drowsy.sum()),
        "drowsy_vs_alert_auroc": None if auroc is None else round(auroc.item(), 6),
    }


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Return how many parameters a network has, and how many of them are trained."""
    counts = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return {
        "parameters": sum(count for count, _ in counts),
        "trainable_parameters": sum(count for count, trained in counts if trained),
    }


def _share(hits: Tensor) -> float:
    return round(hits.double().mean().item(), 6)
