"""From stored clips to what the networks see."""

# B clips, T frames, H x W pixels

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor

# Of ImageNet's RGB in [0, 1]: what torchvision's weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(
    clips: Tensor, mean: Sequence[float], std: Sequence[float], dtype: torch.dtype = torch.float32
) -> Tensor:
    """uint8 RGB (B, T, H, W, 3) -> (value / 255 - mean) / std, (B, 3, T, H, W), on its device."""
    # At least fp32: a mean rounded to bf16 would shift every pixel.
    exact = torch.promote_types(dtype, torch.float32)
    mean_, std_ = (torch.tensor(x, dtype=exact, device=clips.device) for x in (mean, std))
    scaled = torch.addcmul(-mean_ / std_, clips.to(exact), 1 / (255 * std_))  # (B, T, H, W, 3)
    return rearrange(scaled.to(dtype), "b t h w c -> b c t h w").contiguous()  # (B, 3, T, H, W)
