"""Published checkpoints of a few kilobytes: a random network of each family of the library."""

import json
from pathlib import Path
from typing import Any

import torch

from framemix.models.config import FamilyName
from framemix.models.families import FAMILIES
from framemix.models.video_transformer import library

FRAMES, SIDE = 4, 16
# What is tiny; the rest is as the library has it.
BLOCKS: dict[str, Any] = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}
PATCHES: dict[str, Any] = {"patch_size": 8, "image_size": SIDE, "num_frames": FRAMES}
TUBELETS: dict[str, Any] = {**PATCHES, "tubelet_size": [2, 8, 8]}
SIZES: dict[FamilyName, dict[str, Any]] = {
    "videomae": {**BLOCKS, **PATCHES, "tubelet_size": 2, "intermediate_size": 32},
    "vivit": {**BLOCKS, **TUBELETS, "intermediate_size": 32},
    "timesformer": {**BLOCKS, **PATCHES, "intermediate_size": 32},
    "vjepa2": {
        **BLOCKS,
        "patch_size": 8,
        "crop_size": SIDE,
        "frames_per_clip": FRAMES,
        "mlp_ratio": 2.0,
        "num_pooler_layers": 1,
        "pred_hidden_size": 12,
        "pred_num_attention_heads": 2,
        "pred_num_hidden_layers": 1,
    },
    "videoprism": {
        "hidden_size": 24,
        "num_attention_heads": 2,
        "num_spatial_layers": 2,
        "num_temporal_layers": 2,
        "intermediate_size": 32,
        "image_size": SIDE,
        "num_frames": FRAMES,
        "tubelet_size": [1, 8, 8],
    },
}
# As the families publish them: old files say nothing of rescaling.
PREPARATIONS: dict[FamilyName, tuple[str, dict[str, Any]]] = {
    "videomae": (
        "preprocessor_config.json",
        {
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "size": 224,
        },
    ),
    "vivit": (
        "preprocessor_config.json",
        {
            "do_rescale": True,
            "rescale_factor": 0.00784313725490196,
            "offset": True,
            "do_normalize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    ),
    "timesformer": (
        "preprocessor_config.json",
        {
            "do_rescale": True,
            "rescale_factor": 0.00392156862745098,
            "do_normalize": True,
            "image_mean": [0.45, 0.45, 0.45],
            "image_std": [0.225, 0.225, 0.225],
        },
    ),
    "vjepa2": (
        "video_preprocessor_config.json",
        {
            "rescale_factor": 0.00392156862745098,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    ),
    "videoprism": (
        "preprocessor_config.json",
        {"do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": False},
    ),
}


def write_checkpoint(folder: Path, family: FamilyName, **changes: Any) -> Any:
    """Write a network with random weights as the library does; return it, in eval mode."""
    types = FAMILIES[family].types
    kind = getattr(library(types), f"{types}ForVideoClassification")
    torch.manual_seed(0)
    network = kind(kind.config_class(num_labels=3, **{**SIZES[family], **changes})).eval()
    for weight in network.parameters():  # as drawn they are so small that all answers are alike
        torch.nn.init.normal_(weight, std=0.3)
    network.save_pretrained(folder)
    file, content = PREPARATIONS[family]
    (folder / file).write_text(json.dumps(content))
    return network
