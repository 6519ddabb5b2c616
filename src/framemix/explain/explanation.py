"""A model's prediction for a clip, and the parts of the clip on which it depends."""

# S segments, H x W pixels, T' frames of h x w places of a network

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.explain.activations import capture_activations
from framemix.explain.attention import vivit_relevance
from framemix.explain.gradcam import grad_cam
from framemix.explain.links import Links, strongest_links
from framemix.explain.published import transformer_relevance
from framemix.mixing import Pixels
from framemix.models import TrainedModel
from framemix.models.checks import check_outputs
from framemix.models.input import to_rgb
from framemix.models.nonlocal_net import NonLocalBlock
from framemix.models.resnet import ResNet
from framemix.models.video_transformer import VideoTransformer
from framemix.models.vivit import ViViT


@dataclass(frozen=True)
class Explanation:
    """A clip uint8 (S, H, W, 3), a class, its probability, and the relevance of each place.

    `relevance` float32 (T', h, w) is at most 1; `links` are those of a non-local block.
    """

    clip: Pixels
    class_name: str
    probability: float
    method: str
    relevance: Tensor
    links: Links | None


def explain_clip(model: TrainedModel, mixed: Pixels, class_name: str | None = None) -> Explanation:
    """Explain a class, or the likeliest, for a mixed clip uint8 (S, *frame_shape).

    This runs on the CPU, where the network stays. Raises ModelError for a class that the model does
    not have, and for logits that are not finite.
    """
    network = model.network.eval().cpu()
    stored = torch.from_numpy(mixed[None])
    video = model.normalisation(stored)
    with torch.inference_mode(), capture_activations(network, NonLocalBlock) as inputs:
        probabilities = (network(video)[0] / model.temperature).softmax(dim=0)
    check_outputs(probabilities)
    label = int(probabilities.argmax()) if class_name is None else _label(model, class_name)
    method, relevance = _relevance(network, video, label)
    return Explanation(
        clip=to_rgb(stored)[0].numpy(),
        class_name=model.classes[label],
        probability=float(probabilities[label]),
        method=method,
        relevance=relevance / relevance.max().clamp_min(1e-12),
        links=strongest_links(*inputs[-1]) if inputs else None,
    )


def _label(model: TrainedModel, class_name: str) -> int:
    if class_name not in model.classes:
        raise ModelError(f"class = {class_name!r}: allowed: {', '.join(model.classes)}")
    return model.classes.index(class_name)


def _relevance(network: nn.Module, video: Tensor, label: int) -> tuple[str, Tensor]:
    if isinstance(network, ViViT):
        return "attention rollout", vivit_relevance(network, video)
    if isinstance(network, VideoTransformer):
        return "attention rollout", transformer_relevance(network, video)
    if isinstance(network, ResNet):
        return "Grad-CAM", grad_cam(network, video, label)
    raise ModelError(f"explain: {type(network).__name__}; allowed: ViViT and the ResNets")
