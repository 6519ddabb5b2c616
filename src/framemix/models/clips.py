"""What each network is fed of clips as a store holds them."""

from torch import Tensor, nn

from framemix.models.input import Normalisation
from framemix.models.vivit import ViViT


def logits_of(network: nn.Module, clips: Tensor, normalisation: Normalisation) -> Tensor:
    """Logits (B, classes) of clips: stored, uint8, of either format; or floats, taken as they are.

    Floats are normalised clips (B, 3, T, H, W), or what the first layers of a network made of clips
    where `network` is the rest of it.
    """
    if clips.is_floating_point():
        logits: Tensor = network(clips)
    elif isinstance(network, ViViT):  # normalises bytes itself, in fewer passes
        logits = network(clips, normalisation)
    else:
        logits = network(normalisation(clips))
    return logits
