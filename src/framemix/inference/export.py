"""A trained model as one ONNX file, from mixed clips to probabilities, with its classes."""

# B clips, S segments, H x W pixels, K classes

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from framemix.inference.classifier import mix_of
from framemix.inference.clips import USUAL_LIMITS, isolated_clips
from framemix.inference.onnx_file import (
    CALIBRATION_KEY,
    CLASSES_KEY,
    INPUT,
    MIX_KEY,
    OUTPUT,
    TRAINED_ON_KEY,
    load_onnx,
)
from framemix.inference.torch_classifier import classifier_of
from framemix.jobs.atomic import replacing
from framemix.models import TrainedModel, load_model
from framemix.models.extras import load_extra

OPSET = 20


@dataclass(frozen=True)
class Check:
    """The comparison of ONNX and PyTorch: the largest difference of a probability."""

    clips: int
    difference: float


def export_onnx(model_path: Path, target: Path, videos: Sequence[Path]) -> Check:
    """Write the model as ONNX and compare both on the videos' clips, or on noise without videos.

    The graph takes stored clips uint8 (B, S, *frame_shape), any B, and returns float32 (B, K). It
    includes normalising, temperature and softmax, but not decoding and mixing. Its metadata are the
    classes, the mix settings, the record of the training and the calibration. Raises ModelError
    when packages are not installed, VideoError for a video that cannot be used.
    """
    model = load_model(model_path)
    mix = mix_of(model.mix, model_path)
    clips = [
        clip.mixed for video in videos for clip in isolated_clips(video, mix, None, USUAL_LIMITS)
    ]
    if not clips:
        shape = (2, mix.segments, *mix.frame_shape)
        clips = list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    _write(model, torch.from_numpy(clips[0]), target)
    ours, theirs = classifier_of(model, model_path, "cpu"), load_onnx(target)
    differences = [
        np.abs(ours.probabilities(clip[None]) - theirs.probabilities(clip[None])).max()
        for clip in clips
    ]
    return Check(len(clips), float(max(differences)))


class _Whole(nn.Module):
    """The network with normalising before it, and temperature and softmax after it."""

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.network, self.normalisation = model.network, model.normalisation
        self.temperature = model.temperature

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalisation(clips))
        return (logits / self.temperature).softmax(dim=1)


def _write(model: TrainedModel, clip: Tensor, target: Path) -> None:
    onnx = load_extra("onnx", extra="export", what="export")
    load_extra("onnxscript", extra="export", what="export")  # torch's exporter needs it
    # Two clips, because an example of one would fix the batch size at one.
    example = torch.stack([clip, clip])
    # The exporter warns of missing torchvision operators, which are not needed here.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages warn about each other
        program = torch.onnx.export(
            _Whole(model).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:
        node.ClearField("metadata_props")  # names of this machine's source files
    metadata = {CLASSES_KEY: json.dumps(model.classes), MIX_KEY: json.dumps(model.mix)}
    if model.trained_on is not None:
        metadata[TRAINED_ON_KEY] = model.trained_on.model_dump_json()
    if model.calibration is not None:
        metadata[CALIBRATION_KEY] = model.calibration.model_dump_json()
    onnx.helper.set_model_props(proto, metadata)
    with replacing(target) as partial:
        onnx.save(proto, partial)
