"""A trained-looking model of a few kilobytes, and videos that it can be asked about."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from framemix.datasets.origin import Origin
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, TrainedModel, build_model, save_model
from framemix.models.calibration import Calibration
from framemix.models.config import ModelConfig
from framemix.models.trained_on import TrainedOn
from framemix.video.writing import video_writer
from tests.tiny_store import ACTIONS, mix_settings, vivit_config

FPS = 10.0


def record(seconds: float | None = None, *, drawn: bool = False) -> TrainedOn:
    """What a model says that it was trained on: clips of so many seconds."""
    return TrainedOn(
        videos=(Origin(name="tiny", drawn=drawn),),
        train_clips=6,
        val_clips=2,
        clip_seconds=seconds,
        leak_share=0.0,
        metrics={"top1": 0.5},
        start=None,
    )


def write_model(
    path: Path,
    config: ModelConfig | None = None,
    classes: tuple[str, ...] = ACTIONS,
    trained_on: TrainedOn | None = None,
    calibration: Calibration | None = None,
    **mix: Any,
) -> TrainedModel:
    """Write a model with random weights whose answers differ from clip to clip; return it."""
    torch.manual_seed(0)
    config = config or vivit_config(len(classes))
    network = build_model(config).eval()
    for name, weight in network.named_parameters():
        if name.endswith("out_norm.weight"):  # else a non-local block does nothing yet
            torch.nn.init.ones_(weight)
    model = TrainedModel(
        network,
        config,
        list(classes),
        mix_settings(**mix).model_dump(mode="json"),
        IMAGENET_MEAN,
        IMAGENET_STD,
        trained_on,
        calibration,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, model)
    return model


def write_video(
    path: Path, frames: int = 30, seed: int = 0, size: tuple[int, int] = (48, 64)
) -> Path:
    """Write a square that moves over a coloured ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    ground = np.random.default_rng(seed).integers(0, 200, 3)
    codec = "xvid" if path.suffix == ".avi" else "h264"
    with video_writer(path, width=width, height=height, fps=FPS, codec=codec) as write:
        for number in range(frames):
            frame = np.full((height, width, 3), ground, np.uint8)
            left = number * (seed + 1) % (width - 10)
            frame[10:30, left : left + 10] = 255
            write(frame)
    return path
