"""A trained model as one function from mixed clips to probabilities."""

# B clips, S segments, H x W pixels, K classes

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from framemix.devices import resolve_device
from framemix.errors import ModelError
from framemix.mixing import MixSettings, Pixels
from framemix.models import TrainedModel
from framemix.validation import explain

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """What predicting needs of a model.

    `probabilities` maps stored clips uint8 (B, S, *mix.frame_shape) to float32 (B, K).
    """

    classes: list[str]
    mix: MixSettings
    probabilities: Callable[[Pixels], Probabilities]


def classifier_of(model: TrainedModel, name: Path | str, device: str) -> Classifier:
    """Return a model's classifier, computing in fp32 on `device`; errors call it `name`."""
    place = resolve_device(device)
    model.network.eval().to(place)

    @torch.inference_mode()
    def probabilities(clips: Pixels) -> Probabilities:
        logits = model.logits(torch.from_numpy(clips).to(place))
        said: Probabilities = logits.softmax(dim=1).cpu().numpy()
        return said

    return Classifier(model.classes, mix_of(model.mix, name), probabilities)


def mix_of(settings: dict[str, Any], name: Path | str) -> MixSettings:
    """Return the checked mix settings of the model called `name`. Raises ModelError."""
    try:
        return MixSettings.model_validate(settings)
    except ValidationError as error:
        raise ModelError(f"{name}: mix settings: {explain(error, MixSettings)}") from None
