"""The inputs of a network's layers while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


@contextmanager
def capture_activations(
    network: nn.Module, kind: type[Layer]
) -> Iterator[list[tuple[Layer, Tensor]]]:
    """Collect each layer of a kind and its input, in the order in which they run."""
    seen: list[tuple[Layer, Tensor]] = []

    def see(layer: Any, args: tuple[Tensor, ...]) -> None:
        seen.append((layer, args[0]))

    hooks = [
        layer.register_forward_pre_hook(see)
        for layer in network.modules()
        if isinstance(layer, kind)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
