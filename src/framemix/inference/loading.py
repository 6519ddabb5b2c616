"""Reads the file of a trained model, PyTorch's or ONNX."""

from pathlib import Path

from framemix.inference.classifier import Classifier, classifier_of
from framemix.inference.onnx_file import load_onnx
from framemix.models import load_model


def load_classifier(path: Path, device: str = "auto") -> Classifier:
    """Read a model.safetensors, or an ONNX file that `export` wrote.

    Raises ModelError, naming the file, for anything else.
    """
    if path.suffix.lower() == ".onnx":
        return load_onnx(path)
    return classifier_of(load_model(path), path, device)
