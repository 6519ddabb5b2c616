"""What a trained model says of mixed clips."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from framemix.models import TrainedModel
from framemix.models.checks import check_answers
from framemix.training.data import ClipDataset, Example, ordered_loader


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

    Each clip's are the mean over its first `views` variants; StoreError where it has fewer. The
    network runs in fp32 whatever the training's precision, so that figures agree between devices.
    Raises ModelError for answers that are not finite.
    """
    model.network.eval().to(device)
    probabilities = [torch.zeros(0, len(model.classes), dtype=torch.float64)]
    for clips, _ in ordered_loader(ClipDataset(examples, views), batch_size, workers=0):
        logits = model.logits(clips.to(device)).cpu()
        check_answers(logits)
        # In fp32 all that are surer than 17 logits would be 1, and ties to whoever ranks them.
        probabilities.append(F.softmax(logits.double(), dim=1))
    return reduce(torch.cat(probabilities), "(n views) k -> n k", "mean", views=views)
