"""The predictions of a trained model for mixed clips, and their metrics."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from framemix.metrics.accuracy import class_measures
from framemix.metrics.intervals import ClipMetrics
from framemix.models import TrainedModel
from framemix.models.checks import check_outputs
from framemix.training.data import ClipDataset, Example, labels_of, ordered_loader


@torch.inference_mode()
def predict(
    model: TrainedModel,
    examples: Sequence[Example],
    *,
    batch_size: int,
    device: torch.device,
    views: int = 1,
) -> Tensor:
    """Return class probabilities float64 (clips, classes) in the order of `examples`.

    They are means over the first `views` variants of each clip; StoreError where it has fewer. The
    network runs in fp32 whatever the precision of training, so that metrics agree between devices.
    Raises ModelError for logits that are not finite.
    """
    model.network.eval().to(device)
    probabilities = [torch.zeros(0, len(model.classes), dtype=torch.float64)]
    for clips, _ in ordered_loader(ClipDataset(examples, views), batch_size, workers=0):
        logits = model.logits(clips.to(device)).cpu()
        check_outputs(logits)
        # In fp32, all probabilities beyond 17 logits would be 1, and tie where they are ranked.
        probabilities.append(F.softmax(logits.double(), dim=1))
    return reduce(torch.cat(probabilities), "(n views) k -> n k", "mean", views=views)


def evaluate(
    model: TrainedModel,
    examples: Sequence[Example],
    clusters: Mapping[str, str],
    *,
    batch_size: int,
    device: torch.device,
    views: int,
) -> list[ClipMetrics]:
    """Return how often `predict` is right; `clusters` has the cluster of each clip, by name."""
    probabilities = predict(model, examples, batch_size=batch_size, device=device, views=views)
    measures = class_measures(probabilities, labels_of(examples))
    return [ClipMetrics(measures, [clusters[example.row.clip] for example in examples])]
