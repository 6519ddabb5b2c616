"""The speed of a training step of a published network here, beside the plain way to run it.

Both start from the same clips as a store holds them, and have the same random weights of
VideoMAE-base's shape. The plain way converts a batch with PyTorch on the device, as one would write
it by hand; the library's own preparation of images, frame by frame, would take far longer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import sched_getaffinity
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from framemix.benchmarks.timing import Comparison, Task, compare, table
from framemix.models import build_model
from framemix.models.clips import logits_of
from framemix.models.families import FAMILIES
from framemix.models.input import IMAGENET
from framemix.models.video_transformer import library, own_keys

# Shapes: B clips, T frames, H height, W width.

OURS, PLAIN = "a training step", "the plain way"
LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Sizes:
    """What is measured on; `changes` are to the library's configuration of VideoMAE-base."""

    batch: int
    turns: int
    classes: int = 101
    changes: Mapping[str, Any] = field(default_factory=dict)


def base_sizes(device: torch.device) -> Sizes:
    """VideoMAE-base, and as many clips as keep the device busy."""
    return Sizes(batch=16, turns=8) if device.type == "cuda" else Sizes(batch=1, turns=4)


def bench_published(device: torch.device, sizes: Sizes) -> str:
    """Return how many times as fast our step is as the plain one; raises ModelError, no library."""
    family, transformers = FAMILIES["videomae"], library("bench published")
    config = transformers.VideoMAEConfig(num_labels=sizes.classes, **sizes.changes)
    torch.manual_seed(0)
    theirs = transformers.VideoMAEForVideoClassification(config).to(device).train()
    network = build_model(
        {
            "architecture": "transformers",
            "family": "videomae",
            "sizes": {key: getattr(config, key) for key in own_keys(family)},
            "frames": config.num_frames,
            "image_size": [config.image_size, config.image_size],
            "num_classes": sizes.classes,
        }
    )
    ours = network.to(device).train()
    shape = (sizes.batch, config.num_frames, config.image_size, config.image_size, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    mean, std = (torch.tensor(each, device=device) for each in (IMAGENET.mean, IMAGENET.std))

    def plain(clips: Tensor) -> Tensor:
        pixels = (clips.float() / 255 - mean) / std
        logits: Tensor = theirs(rearrange(pixels, "b t h w c -> b t c h w")).logits
        return logits

    tasks = {
        OURS: _step(ours, lambda clips: logits_of(ours, clips, IMAGENET), clips),
        PLAIN: _step(theirs, plain, clips),
    }
    return table(compare(tasks, [Comparison(OURS, PLAIN, wall=1.0, cpu=1.0)], sizes.turns))


def _step(network: torch.nn.Module, logits: Callable[[Tensor], Tensor], clips: Tensor) -> Task:
    """Return a step of AdamW on a batch, in bf16 on a GPU."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    cuda = clips.device.type == "cuda"

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=cuda):
            found = logits(clips)
        loss = F.cross_entropy(found.float(), torch.zeros_like(found[:, 0], dtype=torch.int64))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if cuda:
            torch.cuda.synchronize(clips.device)

    return Task(step, len(clips), len(sched_getaffinity(0)))
