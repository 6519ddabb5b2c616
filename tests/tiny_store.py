"""Stores, splits and settings so small that a whole training takes about a second."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from framemix.datasets.clips import Clip, Subset
from framemix.finetuning.data import FinetuneData
from framemix.jobs.scratch import link
from framemix.mixing import MixSettings
from framemix.models.config import NonLocalConfig, ViViTConfig
from framemix.store import IndexRow, MixedStore, shard_name, write_index, write_shard
from framemix.training.batches import Resident
from framemix.training.data import Example
from framemix.training.run import HISTORY, LAST_MODEL, OUTPUTS, Machine, Run, train
from framemix.training.settings import TrainingSettings

SEGMENTS, HEIGHT, WIDTH = 4, 16, 24
ACTIONS = ("ApplyLipstick", "Archery", "YoYo")
VARIANTS: dict[str, Any] = {"variants": 3, "window": {"frames": 40, "at": "start"}}
STATES = ("alert", "low_vigilant", "drowsy")
AUGMENT = {
    "shift": 0.1,
    "flip": False,
    "brightness": 0.2,
    "contrast": 0.2,
    "mixup": 0.0,
    "cutmix": 0.0,
}
NO_AUGMENT = AUGMENT | {"shift": 0.0, "brightness": 0.0, "contrast": 0.0}
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "patience": None,
    "select": "best",
    "batch_size": 4,
    "accumulate": 1,
    "sampling": "uniform",
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "layer_decay": 1.0,
    "weight_decay": 0.05,
    "warmup_epochs": 1,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "ema_decay": None,
    "precision": "fp32",
    "augment": AUGMENT,
}
FINETUNING = {
    "start": "models/vivit/model.safetensors",
    "positions": "exact",
    "needs": "ucf101",
    "mode": "all",
    "task": "drowsy_class",
    "head": "replace",
    "temporal": "keep",
    "split": "shared",
}
VIVIT: dict[str, Any] = {
    "attention": "factorised_encoder",
    "tokeniser": "tubelet",
    "image_patch_size": 8,
    "frame_patch_size": 2,
    "dim": 16,
    "spatial_depth": 1,
    "temporal_depth": 1,
    "heads": 2,
    "dim_head": 8,
    "mlp_dim": 32,
    "dropout": 0.1,
    "init": "torch",
}
NONLOCAL: dict[str, Any] = {
    "depth": 10,
    "width": 4,
    "pairwise": "embedded_gaussian",
    "nonlocal_blocks": 1,
    "subsample": False,
    "pool": "after",
    "scaled": False,
    "dropout": 0.1,
    "weights": None,
    "weights_sha256": None,
}


def mix_settings(**changes: Any) -> MixSettings:
    settings = {
        "method": "linear",
        "segments": SEGMENTS,
        "frames_per_segment": "all",
        "window": "all",
        "variants": 1,
        "size": (HEIGHT, WIDTH),
        "fit": "squeeze",
        "pixel_format": "rgb24",
    }
    return MixSettings.model_validate(settings | changes)


def clips(label: int, count: int, seed: int = 0) -> np.ndarray:
    """Noise over a brightness of the class: learnable, and no two clips alike."""
    noise = np.random.default_rng([seed, label]).integers(
        0, 120, (count, SEGMENTS, HEIGHT, WIDTH, 3)
    )
    noise[..., label % 3] += 100
    return noise.astype(np.uint8)


def as_planes(rgb: np.ndarray) -> np.ndarray:
    """Clips (N, S, H, W, 3) as yuv420p (N, S, 3H/2, W), by ffmpeg."""
    frames = [av.VideoFrame.from_ndarray(frame) for clip in rgb for frame in clip]
    planes = np.stack([frame.to_ndarray(format="yuv420p") for frame in frames])
    return planes.reshape(*rgb.shape[:2], *planes.shape[1:])


def make_store(
    folder: Path, classes: Sequence[str] = ACTIONS, each: int = 6, **mix: Any
) -> MixedStore:
    """Write a store of `each` clips a class; clip names are `<class>/<number>`.

    Its variants differ like clips: `clips(label, each * variants)` are the rows of a shard.
    """
    folder.mkdir(parents=True)
    settings, rows = mix_settings(**mix), []
    count = each * settings.variants
    for label, name in enumerate(classes):
        shard = shard_name(name, label, 0)
        rgb = clips(label, count)
        stored = rgb if settings.pixel_format == "rgb24" else as_planes(rgb)
        write_shard(folder / shard, stored, count, settings)
        rows += [
            IndexRow(
                clip=f"{name}/{number}",
                class_name=name,
                label=label,
                shard=shard,
                row=number * settings.variants,
                frames=150,
            )
            for number in range(each)
        ]
    write_index(folder, rows)
    return MixedStore(folder)


def split_of(store: MixedStore, val_each: int = 2) -> list[Clip]:
    """Put the first clips of each class on the val side."""
    return [
        Clip(video=row.clip, class_name=row.class_name, group="g01", subset=_side(row, val_each))
        for row in store.index
    ]


def driver_split(store: MixedStore, val_each: int = 2) -> list[Clip]:
    """Put the first clips of each state on the val side."""
    return [
        Clip(video=row.clip, class_name=row.class_name, group="01", subset=_side(row, val_each))
        for row in store.index
    ]


def examples_of(store: MixedStore, subset: Subset) -> list[Example]:
    return [Example(store, row, row.label) for row in store.index if _side(row, 2) == subset]


def finetune_data(folder: Path, states: Sequence[str] = STATES, **mix: Any) -> FinetuneData:
    ucf101 = make_store(folder / "ucf101", **mix)
    rldd = make_store(folder / "rldd", states, **mix)
    return FinetuneData(ucf101, split_of(ucf101), rldd, driver_split(rldd))


def vivit_config(classes: int = len(ACTIONS), **changes: Any) -> ViViTConfig:
    sizes = {key: value for key, value in VIVIT.items() if key != "init"} | changes
    return ViViTConfig(num_classes=classes, frames=SEGMENTS, image_size=(HEIGHT, WIDTH), **sizes)


def nonlocal_config(classes: int = len(ACTIONS)) -> NonLocalConfig:
    sizes = {key: value for key, value in NONLOCAL.items() if not key.startswith("weights")}
    return NonLocalConfig(num_classes=classes, **sizes)


def training_settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate(TRAINING | changes)


def train_into(run: Run, target: Path, machine: Machine) -> None:
    done = train(run, machine, live=target / HISTORY)
    for name in (*OUTPUTS, LAST_MODEL):
        link(done / name, target / name)


def machine(
    scratch: Path, devices: int = 1, resident: Resident = True, num_nodes: int = 1
) -> Machine:
    return Machine(
        device=torch.device("cpu"),
        devices=devices,
        num_nodes=num_nodes,
        workers=2,
        resident=resident,
        scratch=scratch,
    )


def _side(row: IndexRow, val_each: int) -> Subset:
    return "val" if int(row.clip.split("/")[1]) < val_each else "train"
