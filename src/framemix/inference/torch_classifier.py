"""A trained model that PyTorch computes. Its own file: who has ONNX files needs no torch."""

from pathlib import Path

import torch

from framemix.devices import resolve_device
from framemix.inference.classifier import Classifier, Probabilities, mix_of
from framemix.mixing import Pixels
from framemix.models import TrainedModel


def classifier_of(model: TrainedModel, name: Path | str, device: str) -> Classifier:
    """Return a model's classifier, computing in fp32 on `device`; errors call it `name`."""
    place = resolve_device(device)
    model.network.eval().to(place)

    @torch.inference_mode()
    def compute(clips: Pixels) -> Probabilities:
        logits = model.logits(torch.from_numpy(clips).to(place))
        probabilities: Probabilities = logits.softmax(dim=1).cpu().numpy()
        return probabilities

    mix = mix_of(model.mix, name)
    return Classifier(name, model.classes, mix, compute, model.trained_on, model.calibration)
