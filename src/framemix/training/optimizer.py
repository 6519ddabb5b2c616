"""The optimizer, and the learning rate of each parameter."""

from collections import defaultdict
from operator import itemgetter

import torch
from torch import nn

from framemix.training.parts import depths
from framemix.training.settings import TrainingSettings


def build_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW or SGD over the parameters that are not frozen.

    Each depth learns `layer_decay` times as fast as the next one (Howard and Ruder, "Universal
    Language Model Fine-tuning", 2018, section 3.2), the last layer at the full rate.
    """
    at = depths(network)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            # Matrices and kernels decay; biases, norms, positions and class tokens do not.
            weight = parameter.ndim > 1 and name.endswith("weight")
            rate = settings.learning_rate * settings.layer_decay ** (max(at.values()) - at[name])
            groups[rate, settings.weight_decay if weight else 0.0].append(parameter)
    options = [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items(), key=itemgetter(0), reverse=True)
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(options, lr=settings.learning_rate, momentum=0.9)
    return torch.optim.AdamW(options, lr=settings.learning_rate)
