"""Reads the ONNX files that `export` writes, with onnxruntime on the CPU."""

# B clips, S segments, K classes

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, Json, ValidationError

from framemix.errors import ModelError, one_line, some_of
from framemix.inference.classifier import Classifier, Probabilities, mix_of
from framemix.mixing import Pixels
from framemix.models.calibration import Calibration
from framemix.models.extras import load_extra
from framemix.models.trained_on import TrainedOn
from framemix.validation import describe_error

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession

INPUT, OUTPUT = "clips", "probabilities"
CLASSES_KEY, MIX_KEY = "framemix.classes", "framemix.mix"
TRAINED_ON_KEY = "framemix.trained_on"
# Its temperature is part of the graph already.
CALIBRATION_KEY = "framemix.calibration"
OURS = "allowed: what framemix exported"
# The sizes of a tensor; None: any.
Shape = tuple[int | None, ...]


class OnnxMetadata(BaseModel):
    """The metadata that `export` writes into the file, each as JSON."""

    classes: Json[list[str]] = Field(alias=CLASSES_KEY)
    mix: Json[dict[str, Any]] = Field(alias=MIX_KEY)
    trained_on: Json[TrainedOn] | None = Field(None, alias=TRAINED_ON_KEY)
    calibration: Json[Calibration] | None = Field(None, alias=CALIBRATION_KEY)


def load_onnx(path: Path) -> Classifier:
    """Return the classifier in an ONNX file. Raises ModelError, naming the file."""
    for package in ("onnx", "onnxruntime"):
        load_extra(package, extra="onnx", what=str(path))
    try:
        session = _session(path)
        metadata = _metadata(session)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    mix, classes = mix_of(metadata.mix, path), metadata.classes
    _check_signature(session, path, (None, mix.segments, *mix.frame_shape), (None, len(classes)))

    def compute(clips: Pixels) -> Probabilities:
        try:
            probabilities: Probabilities = session.run([OUTPUT], {INPUT: clips})[0]
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelError(f"{path}: cannot be computed ({one_line(error)}); {OURS}") from None
        return probabilities

    return Classifier(path, classes, mix, compute, metadata.trained_on, metadata.calibration)


def _session(path: Path) -> "InferenceSession":
    import onnx
    import onnxruntime

    if not path.is_file():
        raise ModelError("no such model file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its log would repeat its exceptions
    try:
        _check_content(onnx.load(path, load_external_data=False))
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
    except Exception as error:  # the parser may raise anything for a stranger's file
        raise ModelError(f"not a readable ONNX file ({one_line(error)})") from None


def _check_content(model: "ModelProto") -> None:
    """Raise ModelError for a graph that may never end, or that reads other files.

    Only a graph inside a graph (Loop), or a function that calls itself, can run for ever.
    """
    graph = model.graph
    attributes = [(node, attribute) for node in graph.node for attribute in node.attribute]
    nested = {node.op_type for node, one in attributes if one.HasField("g") or one.graphs}
    if nested or model.functions:
        names = nested | {function.name for function in model.functions}
        raise ModelError(f"has graphs inside of its graph ({some_of(names)}); {OURS}")
    tensors = [*graph.initializer, *(one.t for _, one in attributes)]
    tensors += [tensor for _, one in attributes for tensor in one.tensors]
    elsewhere = {tensor.name for tensor in tensors if tensor.data_location == tensor.EXTERNAL}
    if elsewhere or graph.sparse_initializer:
        raise ModelError(f"has weights in other files or sparse ones; {OURS}")


def _metadata(session: "InferenceSession") -> OnnxMetadata:
    found = session.get_modelmeta().custom_metadata_map
    if not {CLASSES_KEY, MIX_KEY} <= found.keys():
        raise ModelError(f"no classes and mix settings; {OURS}")
    try:
        return OnnxMetadata.model_validate(found)
    except ValidationError as error:
        raise ModelError(f"metadata: {describe_error(error, OnnxMetadata)}") from None


def _check_signature(session: "InferenceSession", path: Path, clips: Shape, outputs: Shape) -> None:
    """Raise ModelError unless the graph maps clips to one probability per class."""
    for kind, values, wanted in (
        ("inputs", session.get_inputs(), (INPUT, "tensor(uint8)", clips)),
        ("outputs", session.get_outputs(), (OUTPUT, "tensor(float)", outputs)),
    ):
        found = [(value.name, value.type, value.shape) for value in values]
        name, dtype, shape = wanted
        fits = [one[:2] == (name, dtype) and _fits(one[2], shape) for one in found]
        if fits != [True]:
            raise ModelError(
                f"{path}: its {kind} are {_described(found)}; allowed: {_described([wanted])}, "
                f"as in what framemix exported"
            )


def _fits(found: Sequence[int | str | None], wanted: Shape) -> bool:
    """Return whether sizes, in which a name means any size, match the wanted ones."""
    return len(found) == len(wanted) and all(
        size == other or not isinstance(size, int)
        for size, other in zip(found, wanted, strict=True)
    )


def _described(values: Sequence[tuple[str, str, Sequence[int | str | None]]]) -> str:
    return ", ".join(
        f"{name} {dtype} ({', '.join('any' if size is None else str(size) for size in shape)})"
        for name, dtype, shape in values
    )
