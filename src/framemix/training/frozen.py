"""Parts a network that is trained from some layer on: the first ones give the same every epoch."""

from collections.abc import Callable, Sequence
from itertools import takewhile

from torch import Tensor, nn

from framemix.models.input import IMAGENET, Normalisation
from framemix.models.vivit import ViViT
from framemix.training.settings import AugmentSettings


class Steps(nn.Module):
    """Some of a network's steps, with their weights under the names that they have there."""

    def __init__(
        self, network: nn.Module, steps: Sequence[tuple[str, Callable[[Tensor], Tensor]]]
    ) -> None:
        super().__init__()
        self.steps = [step for _, step in steps]
        for name, _ in steps:
            self.add_module(name, network.get_submodule(name))

    def forward(self, x: Tensor) -> Tensor:
        """What the steps make of x, one after the other."""
        for step in self.steps:
            x = step(x)
        return x


def split_frozen(
    network: nn.Module, augment: AugmentSettings, normalisation: Normalisation = IMAGENET
) -> tuple[Steps | None, nn.Module]:
    """Return the first, frozen steps, and the others; the latter alone where clips change."""
    steps = network.steps(normalisation) if isinstance(network, ViViT) else []
    frozen = list(takewhile(lambda step: not _is_trained(network, step[0]), steps))
    if not frozen or any(augment.model_dump().values()):
        return None, network
    # Without dropout: the same each time.
    return Steps(network, frozen).eval(), Steps(network, steps[len(frozen) :])


def _is_trained(network: nn.Module, part: str) -> bool:
    return any(p.requires_grad for p in network.get_submodule(part).parameters())
