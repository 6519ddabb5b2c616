"""Random changes to clips on the device, one per clip: all its frames change in the same way."""

import torch
from einops import rearrange
from torch import Tensor

from framemix.models.input import IMAGENET, Normalisation
from framemix.training.settings import AugmentSettings

# Shapes: B clips, T frames, H height, W width.


def shift_and_flip(clips: Tensor, settings: AugmentSettings) -> Tensor:
    """Shift clips uint8 (B, T, H, W, 3), and flip them where allowed; borders are repeated."""
    if not (settings.shift or settings.flip):
        return clips
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


def jitter_colour(
    clips: Tensor, settings: AugmentSettings, normalisation: Normalisation = IMAGENET
) -> Tensor:
    """Change contrast and brightness of normalised clips (B, 3, T, H, W).

    Both are as ImageNet's mean and deviations measure them, however the clips were normalised.
    """
    if not (settings.contrast or settings.brightness):
        return clips
    spread = torch.empty(2, clips.shape[0], 1, 1, 1, 1, device=clips.device).uniform_(-1, 1)
    contrast, brightness = spread[0] * settings.contrast, spread[1] * settings.brightness
    mean, std, middle, unit = (
        rearrange(torch.tensor(colour, device=clips.device), "c -> c 1 1 1")
        for each in (normalisation, IMAGENET)
        for colour in (each.mean, each.std)
    )
    # Contrast leaves alone what is ImageNet's mean: of clips normalised by it, what is 0.
    shift = contrast * ((mean - middle) / std) + brightness * (unit / std)
    return clips * (1 + contrast) + shift


def mixup_cutmix(clips: Tensor, settings: AugmentSettings) -> tuple[Tensor, Tensor, float]:
    """Blend each clip (B, 3, T, H, W) with another of its batch.

    Returns the clips, the place of each clip's partner (B,), and the share of the clip's own label;
    the rest is its partner's. A batch has one share. mixup (Zhang et al., "mixup: Beyond Empirical
    Risk Minimization", 2018, section 2) averages the two clips, cutmix (Yun et al., "CutMix", 2019,
    section 3.1) pastes a box of the partner into all frames; if both are on, a batch draws one.
    """
    cut = settings.cutmix > 0 and (settings.mixup == 0 or bool(torch.rand(()) < 0.5))
    alpha = settings.cutmix if cut else settings.mixup
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    partners = torch.randperm(len(clips), device=clips.device)
    if not cut:
        return torch.lerp(clips[partners], clips, share), partners, share
    height, width = clips.shape[3:]
    rows, columns = _box(height, width, 1 - share)
    blended = clips.clone()
    blended[..., rows, columns] = clips[partners][..., rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return blended, partners, 1 - area / (height * width)


def _box(height: int, width: int, share: float) -> tuple[slice, slice]:
    """Return rows and columns of a box with that share of the area, cut at the borders."""
    sides = []
    for length in (height, width):
        centre, half = int(torch.randint(length, ())), int(length * share**0.5) // 2
        sides.append(slice(max(centre - half, 0), min(centre + half, length)))
    return sides[0], sides[1]


def _shifted(size: int, length: int, share: float, device: torch.device) -> Tensor:
    """Return positions 0..length-1 shifted by up to `share` of the length, int64 (size, length)."""
    most = int(share * length)
    shift = torch.randint(-most, most + 1, (size, 1), device=device)
    return (torch.arange(length, device=device) + shift).clamp(0, length - 1)
