"""Splits a network into frozen first layers, whose outputs never change, and the trained rest."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from framemix.models.input import IMAGENET, Normalisation
from framemix.training.settings import AugmentSettings

Step = tuple[tuple[str, ...], Callable[[Tensor], Tensor]]


@runtime_checkable
class Stepwise(Protocol):
    """A network that lists its steps on stored clips, in order."""

    def steps(self, normalisation: Normalisation) -> list[Step]:
        """Return what is done in turn, each with the parts whose weights it takes."""


class Steps(nn.Module):
    """Some of a network's steps, with their weights under the network's names."""

    def __init__(self, network: nn.Module, steps: Sequence[Step]) -> None:
        super().__init__()
        self.steps = [step for _, step in steps]
        for parts, _ in steps:
            for part in parts:
                self.add_module(part, network.get_submodule(part))

    def forward(self, x: Tensor) -> Tensor:
        """The output of the steps, one after another, for x."""
        for step in self.steps:
            x = step(x)
        return x


def split_frozen(
    network: nn.Module, augment: AugmentSettings, normalisation: Normalisation = IMAGENET
) -> tuple[Steps | None, nn.Module]:
    """Return the frozen first steps and the others; with augmentation, all steps are others."""
    steps = network.steps(normalisation) if isinstance(network, Stepwise) else []
    frozen = list(takewhile(lambda step: not _is_trained(network, step[0]), steps))
    if not frozen or any(augment.model_dump().values()):
        return None, network
    # Without dropout, so that outputs are the same each time.
    return Steps(network, frozen).eval(), Steps(network, steps[len(frozen) :])


def _is_trained(network: nn.Module, parts: tuple[str, ...]) -> bool:
    weights = (weight for part in parts for weight in network.get_submodule(part).parameters())
    return any(weight.requires_grad for weight in weights)
