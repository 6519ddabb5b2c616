"""The parts of a network, from its first block to its last layer, and which a mode trains."""

import re
from collections.abc import Callable

from torch import nn

from framemix.errors import ModelError
from framemix.models.config import FinetuneMode
from framemix.models.video_transformer import VideoTransformer

# What is behind all that is the same whatever the classes.
HEADS = ("head.", "fc.")
# What makes a network one deeper: its last layers, and a block of a transformer or a ResNet.
DEEPER = re.compile(r"head(?=\.)|fc(?=\.)|(?:.*\.)?(?:blocks|\w*layers|layer\d?)\.\d+(?=\.)")
# Stands before the residual block of that stage and number.
NONLOCAL = re.compile(r"nonlocal_blocks\.(layer\d)_(\d+)\.")
LAST = re.compile(r"last_(\d+)")


def last_layers(network: nn.Module) -> tuple[str, ...]:
    """Return how the names of those weights begin that are of no use for other classes."""
    return ("head.classifier.",) if isinstance(network, VideoTransformer) else HEADS


def depths(network: nn.Module) -> dict[str, int]:
    """Return by parameter how many blocks its input has gone through, at least.

    The last layers count as one block more than all the others.
    """
    found: dict[str, int] = {}
    blocks: dict[str, int] = {}
    for name, _ in network.named_parameters():
        if block := DEEPER.match(name):
            blocks.setdefault(block[0], len(blocks) + 1)
        found[name] = len(blocks)
        if before := NONLOCAL.match(name):
            found[name] = blocks[f"{before[1]}.0"] + int(before[2])
    return found


def freeze_for(network: nn.Module, mode: FinetuneMode) -> None:
    """Make just the parts trainable that `mode` trains (four of them are paper A's).

    Raises ModelError for a mode that separates space from time if the network does not, and for
    more blocks than it has.
    """
    is_trained = _trained_by(mode, network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_trained(name))


def _trained_by(mode: FinetuneMode, network: nn.Module) -> Callable[[str], bool]:
    """Return a test, by a parameter's name, of whether `mode` trains it."""
    at = depths(network)
    blocks = max(at.values()) - 1
    tells_space_from_time = all(hasattr(network, part) for part in ("spatial", "temporal"))
    named = {"all": ("",), "fc": HEADS}
    if tells_space_from_time:
        named["temporal_fc"] = ("temporal.", *HEADS)
        named["spatial_temporal_fc"] = ("spatial.", *named["temporal_fc"])
    if mode in named:
        return lambda name: name.startswith(named[mode])
    last = LAST.fullmatch(mode)
    if last is None or not 1 <= int(last[1]) <= blocks:
        raise ModelError(
            f"mode = {mode}: allowed with this {type(network).__name__}: "
            f"{', '.join(named)}, last_1 to last_{blocks}"
        )
    return lambda name: at[name] > blocks - int(last[1])
