"""From stored clips to what the networks see."""

# B clips, T frames, H x W pixels

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# Of ImageNet's RGB in [0, 1]: what torchvision's weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


# What yuv420p stores are encoded in: BT.601, Y in 16..235, U and V in 16..240.
RGB_OF_Y = 255 / 219
RGB_OF_U = (0.0, -0.344136 * 255 / 224, 1.772 * 255 / 224)
RGB_OF_V = (1.402 * 255 / 224, -0.714136 * 255 / 224, 0.0)


def to_rgb(clips: Tensor) -> Tensor:
    """Clips as a store holds them, uint8 -> uint8 RGB (B, T, H, W, 3), on their device.

    yuv420p is (B, T, 3H/2, W), and so never taken for rgb24, (B, T, H, W, 3).
    """
    if clips.ndim == 5:
        return clips
    batch, frames, rows, width = clips.shape
    rgb = clips.new_empty(batch, frames, rows * 2 // 3, width, 3)
    for clip, target in zip(clips, rgb, strict=True):  # one by one: floats take 4 times the memory
        target.copy_(_planes_to_rgb(clip))
    return rgb


def _planes_to_rgb(clip: Tensor) -> Tensor:
    """yuv420p uint8 (T, 3H/2, W) -> RGB float32 (T, H, W, 3), whole numbers in [0, 255]."""
    rows, width = clip.shape[1:]
    pixels = rows * 2 // 3 * width
    y, u, v = clip.flatten(1).float().tensor_split([pixels, pixels * 5 // 4], dim=1)
    y = rearrange(y, "t (h w) -> t 1 h w", w=width)
    u, v = (rearrange(x - 128, "t (h w) -> t 1 h w", w=width // 2) for x in (u, v))
    of_u, of_v = (torch.tensor(x, device=clip.device).view(3, 1, 1) for x in (RGB_OF_U, RGB_OF_V))
    colour = torch.addcmul(u * of_u - 16 * RGB_OF_Y, v, of_v)  # (T, 3, H/2, W/2)
    # Each colour twice across and down, as ffmpeg does it: smoothing moves away from its RGB.
    rgb = F.interpolate(colour, scale_factor=2, mode="nearest")  # (T, 3, H, W)
    rgb = rgb.add_(y, alpha=RGB_OF_Y).round_().clamp_(0, 255)
    return rearrange(rgb, "t c h w -> t h w c")  # (T, H, W, 3)


def normalise(
    clips: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Clips as a store holds them -> RGB (value / 255 - mean) / std, (B, 3, T, H, W).

    On their device.
    """
    # At least fp32: a mean rounded to bf16 would shift every pixel.
    exact = torch.promote_types(dtype, torch.float32)
    mean_, std_ = (torch.tensor(x, dtype=exact, device=clips.device) for x in (mean, std))
    rgb = to_rgb(clips).to(exact)  # (B, T, H, W, 3)
    scaled = torch.addcmul(-mean_ / std_, rgb, 1 / (255 * std_))
    return rearrange(scaled.to(dtype), "b t h w c -> b c t h w").contiguous()  # (B, 3, T, H, W)
