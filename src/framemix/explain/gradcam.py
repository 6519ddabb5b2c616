"""Grad-CAM (Selvaraju et al., ICCV 2017): the places of the last maps that support a class."""

# C channels, T' frames of h x w places

import torch
from einops import reduce
from torch import Tensor, nn

from framemix.models.resnet import ResNet


def grad_cam(network: ResNet, video: Tensor, label: int) -> Tensor:
    """How much each place of the last residual stage supports class `label`: (T', h, w), >= 0.

    For a normalised clip (1, C, T, H, W): the maps weighted by the class's mean gradient, with
    negative values set to 0 (equations 1 and 2), and time as a third axis of the places.
    """
    maps: list[Tensor] = []

    def begin_graph(module: nn.Module, args: tuple[Tensor], out: Tensor) -> Tensor:
        # From here on only: the graph of all layers would take gigabytes for paper A's clips.
        torch.set_grad_enabled(True)
        maps.append(out.requires_grad_())
        return out

    hook = network.layer4.register_forward_hook(begin_graph)
    try:
        with torch.no_grad():  # its end restores the mode that the hook changes
            score = network(video)[0, label]
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(score, maps[0])
    weights = reduce(gradient, "1 c t h w -> c 1 1 1", "mean")
    return (weights * maps[0][0]).sum(dim=0).relu().detach()
