"""The optimizer, and the learning rate of each parameter."""

import re
from collections import defaultdict
from operator import itemgetter

import torch
from torch import nn

from framemix.training.settings import TrainingSettings

# The modules that count as one depth: a transformer's block, a ResNet's block, the last layer.
DEEPER = re.compile(r"(?:.*\.)?(?:blocks|layer\d)\.\d+|head|fc")
# The Non-local block is before the residual block of that stage and number.
NONLOCAL = re.compile(r"nonlocal_blocks\.(layer\d)_(\d+)\.")


def build_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW or SGD over the parameters that are not frozen.

    Each depth learns `layer_decay` times as fast as the next one (Howard and Ruder, "Universal
    Language Model Fine-tuning", 2018, section 3.2), the last layer at the full rate.
    """
    depths = _depths(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            # Matrices and kernels decay; biases, norms, positions and class tokens do not.
            weight = parameter.ndim > 1 and name.endswith("weight")
            rate = settings.learning_rate * settings.layer_decay ** (
                max(depths.values()) - depths[name]
            )
            groups[rate, settings.weight_decay if weight else 0.0].append(parameter)
    options = [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items(), key=itemgetter(0), reverse=True)
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(options, lr=settings.learning_rate, momentum=0.9)
    return torch.optim.AdamW(options, lr=settings.learning_rate)


def _depths(network: nn.Module) -> dict[str, int]:
    """Return, for each parameter, the least number of blocks that its input has passed."""
    depths: dict[str, int] = {}
    blocks: dict[str, int] = {}
    for name, _ in network.named_parameters():
        if block := DEEPER.match(name):
            blocks.setdefault(block[0], len(blocks) + 1)
        depths[name] = len(blocks)
        if before := NONLOCAL.match(name):
            depths[name] = blocks[f"{before[1]}.0"] + int(before[2])
    return depths
