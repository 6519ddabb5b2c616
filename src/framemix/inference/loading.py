"""Reads the file of a trained model, in PyTorch's format or as ONNX."""

from pathlib import Path

from framemix.inference.classifier import Classifier
from framemix.inference.clips import Sliding
from framemix.jobs.terminal import print_text
from framemix.models.extras import load_extra
from framemix.models.trained_on import TrainedOn, caveat

LIVE_WINDOW = 5.0  # seconds, the length of the drivers' clips in both profiles


def load_classifier(path: Path, device: str = "auto") -> Classifier:
    """Read a model.safetensors, or an ONNX file that `export` wrote; print its caveat to stderr.

    Raises ModelError, naming the file, for anything else.
    """
    if path.suffix.lower() == ".onnx":
        from framemix.inference.onnx_file import load_onnx

        classifier = load_onnx(path)
    else:
        load_extra("torch", extra="pipeline", what=str(path))
        from framemix.inference.torch_classifier import classifier_of
        from framemix.models import load_model

        classifier = classifier_of(load_model(path), path, device)
    say_caveat(path, classifier.trained_on)
    return classifier


def say_caveat(path: Path, trained_on: TrainedOn | None) -> None:
    """Print to stderr, in one line, that a model was trained on drawn videos, if it was."""
    if text := caveat(trained_on):
        print_text(f"note: {path}: {text}", error=True)


def sliding_for(trained_on: TrainedOn | None, window: float | None, step: float) -> Sliding | None:
    """Return the requested window, else one as long as the clips of the model's training.

    None where the length of those is not known.
    """
    if window is not None:
        return Sliding(window, step)
    usual = trained_on.clip_seconds if trained_on else None
    return Sliding(usual, step, usual=True) if usual else None


def live_sliding(trained_on: TrainedOn | None, window: float | None, step: float) -> Sliding:
    """Return the window of `sliding_for`, but 5 s where it would be None."""
    return sliding_for(trained_on, window, step) or Sliding(LIVE_WINDOW, step, usual=True)
