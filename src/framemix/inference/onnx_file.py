"""Reads the ONNX files that `export` writes, with onnxruntime on the CPU."""

import json
from pathlib import Path

from framemix.errors import ModelError
from framemix.inference.classifier import Classifier, Probabilities, mix_of
from framemix.mixing import Pixels

INPUT, OUTPUT = "clips", "probabilities"
CLASSES_KEY, MIX_KEY = "framemix.classes", "framemix.mix"


def load_onnx(path: Path) -> Classifier:
    """Return the classifier in an ONNX file. Raises ModelError, naming the file."""
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(
            f"{path}: needs packages that are not installed; run: pip install 'framemix[export]'"
        ) from None
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no common base of their own
        raise ModelError(
            f"{path}: not a readable ONNX file ({' '.join(str(error).split())})"
        ) from None
    metadata = session.get_modelmeta().custom_metadata_map
    if not {CLASSES_KEY, MIX_KEY} <= metadata.keys():
        raise ModelError(f"{path}: no classes and mix settings; allowed: what framemix exported")

    def probabilities(clips: Pixels) -> Probabilities:
        said: Probabilities = session.run([OUTPUT], {INPUT: clips})[0]
        return said

    mix = mix_of(json.loads(metadata[MIX_KEY]), path)
    return Classifier(json.loads(metadata[CLASSES_KEY]), mix, probabilities)
