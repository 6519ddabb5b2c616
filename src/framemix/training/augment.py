"""Random changes to clips on the device, one draw a clip: all its frames change alike."""

import torch
from einops import rearrange
from torch import Tensor

from framemix.training.settings import AugmentSettings

# Shapes: B clips, T frames, H height, W width.


def move(clips: Tensor, settings: AugmentSettings) -> Tensor:
    """Shift, and flip where allowed, clips uint8 (B, T, H, W, 3); borders are repeated."""
    size, height, width = clips.shape[0], clips.shape[2], clips.shape[3]
    rows = _shifted(size, height, settings.shift, clips.device)
    columns = _shifted(size, width, settings.shift, clips.device)
    if settings.flip:
        flipped = torch.rand(size, 1, device=clips.device) < 0.5
        columns = torch.where(flipped, width - 1 - columns, columns)
    batch = torch.arange(size, device=clips.device)
    moved = clips[
        rearrange(batch, "b -> b 1 1"),
        :,
        rearrange(rows, "b h -> b h 1"),
        rearrange(columns, "b w -> b 1 w"),
    ]
    return rearrange(moved, "b h w t c -> b t h w c")  # (B, T, H, W, 3)


def recolour(clips: Tensor, settings: AugmentSettings) -> Tensor:
    """Change contrast and brightness of normalised clips (B, 3, T, H, W)."""
    spread = torch.empty(2, clips.shape[0], 1, 1, 1, 1, device=clips.device).uniform_(-1, 1)
    contrast, brightness = spread[0] * settings.contrast, spread[1] * settings.brightness
    return clips * (1 + contrast) + brightness


def _shifted(size: int, length: int, share: float, device: torch.device) -> Tensor:
    """Return positions 0..length-1 moved by up to `share` of them, int64 (size, length)."""
    most = int(share * length)
    shift = torch.randint(-most, most + 1, (size, 1), device=device)
    return (torch.arange(length, device=device) + shift).clamp(0, length - 1)
