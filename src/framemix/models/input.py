"""From stored clips to what the networks see."""

# B clips, T frames, H x W pixels

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor

Colour = tuple[float, float, float]
# ImageNet's, for RGB in [0, 1]: what torchvision's weights were trained with.
IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)

# What yuv420p stores are encoded in: BT.601, Y in 16..235, U and V in 16..240.
RGB_OF_Y = 255 / 219
RGB_OF_U = (0.0, -0.344136 * 255 / 224, 1.772 * 255 / 224)
RGB_OF_V = (1.402 * 255 / 224, -0.714136 * 255 / 224, 0.0)


@dataclass(frozen=True)
class Normalisation:
    """How stored clips become what networks see: by mean and deviation of RGB in [0, 1]."""

    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips as a store holds them, uint8 -> float32 (B, 3, T, H, W); see `normalise`."""
        return normalise(clips, self.mean, self.std)

    @property
    def affine(self) -> tuple[list[float], list[float]]:
        """The scale and the shift of each channel that do it to uint8 values."""
        return affine(self.mean, self.std)


IMAGENET = Normalisation()


def normalise(
    clips: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Clips as a store holds them -> RGB (value / 255 - mean) / std, (B, 3, T, H, W).

    On their device. yuv420p comes here in one step, without the rounding of `to_rgb`: within
    half a value of 255 of it.
    """
    return _affine(clips, *affine(mean, std), dtype)


def affine(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """The scale and the shift of each channel that `normalise` uint8 values."""
    return [1 / (255 * s) for s in std], [-m / s for m, s in zip(mean, std, strict=True)]


def to_rgb(clips: Tensor) -> Tensor:
    """Clips as a store holds them, uint8 -> uint8 RGB (B, T, H, W, 3), on their device.

    yuv420p is (B, T, 3H/2, W), and so never taken for rgb24, (B, T, H, W, 3).
    """
    if clips.ndim == 5:
        return clips
    batch, frames, rows, width = clips.shape
    rgb = clips.new_empty(batch, frames, rows * 2 // 3, width, 3)
    for clip, target in zip(clips, rgb, strict=True):  # floats take 4 times the memory
        values = _affine(clip[None], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), torch.float32).round_()
        target.copy_(rearrange(values, "1 c t h w -> t h w c"))
    return rgb


def _affine(
    clips: Tensor, scales: Sequence[float], shifts: Sequence[float], dtype: torch.dtype
) -> Tensor:
    """RGB * scale + shift, a pair of them a channel, of clips in either format, (B, 3, T, H, W)."""
    if clips.ndim == 4:
        return _affine_of_planes(clips, scales, shifts, dtype)
    batch, frames, height, width, _ = clips.shape
    x = torch.empty(batch, 3, frames, height, width, dtype=dtype, device=clips.device)
    for channel, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
        # At least fp32 until the end: a mean rounded to bf16 would shift every pixel.
        term = torch.full((), shift, dtype=_exact(dtype), device=clips.device)
        torch.add(term, clips[..., channel], alpha=scale, out=x[:, channel])
    return x


def _affine_of_planes(
    clips: Tensor, scales: Sequence[float], shifts: Sequence[float], dtype: torch.dtype
) -> Tensor:
    """yuv420p (B, T, 3H/2, W) -> (B, 3, T, H, W): one affine map a channel, cut to RGB's range.

    Channel by channel, since memory is what takes the time.
    """
    batch, frames, rows, width = clips.shape
    pixels, pairs = rows * 2 // 3 * width, rows // 3  # of rows: two share their colour
    y, u, v = clips.flatten(2).to(_exact(dtype)).tensor_split([pixels, pixels * 5 // 4], dim=2)
    y = rearrange(y, "b t (h two w) -> b t h two w", two=2, w=width)
    u, v = (rearrange(x - 128, "b t (h w) -> b t h w", w=width // 2) for x in (u, v))
    x = torch.empty(batch, 3, frames, pairs, 2, width, dtype=dtype, device=clips.device)
    for channel, (scale, shift) in enumerate(zip(scales, shifts, strict=True)):
        colour = (u * (scale * RGB_OF_U[channel])).add_(v, alpha=scale * RGB_OF_V[channel])
        colour.add_(shift - 16 * scale * RGB_OF_Y)
        # Each colour twice across and down, as ffmpeg does it: smoothing moves away from its RGB.
        colour = repeat(colour, "b t h w -> b t h 1 (w two)", two=2)
        torch.add(colour, y, alpha=scale * RGB_OF_Y, out=x[:, channel])
        x[:, channel].clamp_(shift, shift + 255 * scale)
    return rearrange(x, "b c t h two w -> b c t (h two) w")


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
