"""Bytes of clips to normalised tubelets in one pass over a GPU's memory: a Triton kernel.

Triton comes with torch's CUDA builds, and compiles with the machine's C compiler. Where either is
missing, ViViT makes the same in several passes.
"""

# M tubelets of K values: P x P pixels of F frames in 3 colours

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048  # values at a time, eight for each of a program's threads
WARPS = 8


def normed_tubelets(
    pixels: Tensor,
    affine: tuple[Sequence[float], Sequence[float]],
    gain: Tensor | None,
    shift: Tensor | None,
    *,
    patch: int,
    frame_patch: int,
    every: int,
    eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """LayerNorm of the tubelets of clips uint8 (B, T, H, W, 3), on their device: (B, T', N, K).

    `affine` has the scales and the shifts that make normalised colours of bytes. A tubelet has the
    `frame_patch` frames that are the middle ones of `every`; its values are in the order of row,
    column, frame and colour. No gain and shift: 1 and 0.
    """
    batch, frames, height, width, _ = pixels.shape
    steps, across = frames // (every * frame_patch), width // patch
    patches = height // patch * across
    pixels = pixels.contiguous()[:, every // 2 :]
    shape = (batch, steps, patches, patch * patch * frame_patch * 3)
    out = torch.empty(shape, dtype=dtype, device=pixels.device)
    with torch.cuda.device(pixels.device):
        _kernel[(batch * steps * patches,)](
            pixels,
            gain,
            shift,
            out,
            *affine[0],
            *affine[1],
            eps,
            every * frame_patch * height * width * 3,
            every * height * width * 3,
            width * 3,
            across=across,
            patches=patches,
            patch=patch,
            frames=frame_patch,
            block=BLOCK,
            first=min(BLOCK, shape[-1]),
            num_warps=WARPS,
        )
    return out


@triton.jit
def _colours(pixels, place, k, end, s0, s1, s2, t0, t1, t2):  # type: ignore[no-untyped-def]
    """Normalised values of the bytes at `place`, whose colours go round with k."""
    value = tl.load(pixels + place, k < end, 0).to(tl.float32)
    scale = tl.where(k % 3 == 0, s0, tl.where(k % 3 == 1, s1, s2))
    shift = tl.where(k % 3 == 0, t0, tl.where(k % 3 == 1, t1, t2))
    return value * scale + shift


@triton.jit  # type: ignore[untyped-decorator]
def _place(k, patch: tl.constexpr, frame_stride, row_stride):  # type: ignore[no-untyped-def]
    """Where the tubelet's values are, one after the other by frame, row, column and colour."""
    row = k // (3 * patch)
    return row // patch * frame_stride + row % patch * row_stride + k % (3 * patch)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    pixels,
    gain,
    shift,
    out,
    s0,
    s1,
    s2,
    t0,
    t1,
    t2,
    eps,
    frame_patch_stride,
    frame_stride,
    row_stride,
    across: tl.constexpr,
    patches: tl.constexpr,
    patch: tl.constexpr,
    frames: tl.constexpr,
    block: tl.constexpr,
    first: tl.constexpr,
):
    """One tubelet a program; it reads the bytes from memory once, and then from its cache."""
    values: tl.constexpr = patch * patch * frames * 3
    tubelet = tl.program_id(0)
    place_of_patch = tubelet % patches
    pixels += (tubelet // patches).to(tl.int64) * frame_patch_stride
    pixels += place_of_patch // across * patch * row_stride + place_of_patch % across * patch * 3
    out += tubelet.to(tl.int64) * values

    # Mean and variance in one round, around the mean of the first block: around 0, the variance
    # would be a small difference of large numbers.
    k = tl.arange(0, block)
    place = _place(k, patch, frame_stride, row_stride)
    x = _colours(pixels, place, k, values, s0, s1, s2, t0, t1, t2)
    middle = tl.sum(tl.where(k < values, x, 0.0)) / first
    total, squares = tl.zeros([block], tl.float32), tl.zeros([block], tl.float32)
    for start in range(0, values, block):
        k = start + tl.arange(0, block)
        place = _place(k, patch, frame_stride, row_stride)
        x = _colours(pixels, place, k, values, s0, s1, s2, t0, t1, t2) - middle
        x = tl.where(k < values, x, 0.0)
        total += x
        squares += x * x
    off = tl.sum(total) / values
    mean, rate = middle + off, 1 / tl.sqrt(tl.sum(squares) / values - off * off + eps)

    for start in range(0, values, block):  # in the order of the tubelet: row, column, frame, colour
        k = start + tl.arange(0, block)
        place = k // 3 % frames * frame_stride + k // (3 * frames * patch) * row_stride
        place += k // (3 * frames) % patch * 3 + k % 3
        y = (_colours(pixels, place, k, values, s0, s1, s2, t0, t1, t2) - mean) * rate
        if gain is not None:
            y = y * tl.load(gain + k, k < values, 0) + tl.load(shift + k, k < values, 0)
        tl.store(out + k, y.to(out.dtype.element_ty), k < values)
