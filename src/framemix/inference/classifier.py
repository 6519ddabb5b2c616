"""A trained model as one function from mixed clips to probabilities, PyTorch's or ONNX."""

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
from framemix.models import TrainedModel, load_model
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


def load_classifier(path: Path, device: str = "auto") -> Classifier:
    """Read a model.safetensors, or an ONNX file that `export` wrote.

    Raises ModelError, naming the file, for anything else.
    """
    if path.suffix.lower() == ".onnx":
        # Here: an extra that the other models do not need.
        from framemix.inference.onnx_file import load_onnx

        return load_onnx(path)
    return classifier_of(load_model(path), path, device)


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
