"""Grad-CAM (Selvaraju et al., ICCV 2017): which places of the last maps speak for a class."""

# C channels, T' frames of h x w places

import torch
from einops import reduce
from torch import Tensor, nn

from framemix.models.resnet import ResNet


def grad_cam(network: ResNet, video: Tensor, label: int) -> Tensor:
    """How much each place of the last residual stage speaks for class `label`: (T', h, w), >= 0.

    For a normalised clip (1, C, T, H, W): the maps weighted by the class's mean gradient, without
    what speaks against it (equations 1 and 2), with time as a third axis of the places.
    """
    maps: list[Tensor] = []

    def begin_graph(module: nn.Module, args: tuple[Tensor], out: Tensor) -> Tensor:
        # Only here: a graph of all before would hold gigabytes of a clip of paper A's size.
        torch.set_grad_enabled(True)
        maps.append(out.requires_grad_())
        return out

    hook = network.layer4.register_forward_hook(begin_graph)
    try:
        with torch.no_grad():  # whose end gives back the mode that the hook changes
            score = network(video)[0, label]
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(score, maps[0])
    weights = reduce(gradient, "1 c t h w -> c 1 1 1", "mean")
    return (weights * maps[0][0]).sum(dim=0).relu().detach()
