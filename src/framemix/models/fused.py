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
    line = patch * frame_patch * 3
    block = triton.next_power_of_2(line)
    out = torch.empty((batch, steps, patches, patch * line), dtype=dtype, device=pixels.device)
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
            block=block,
            num_warps=min(max(block // 256, 1), 8),
        )
    return out


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
):
    """One tubelet a program, line by line: a row of pixels in all of its frames.

    The bytes come from memory once, and then from the processor's cache.
    """
    row: tl.constexpr = patch * 3
    line: tl.constexpr = frames * row
    values: tl.constexpr = patch * line
    tubelet = tl.program_id(0)
    place = tubelet % patches
    pixels += (tubelet // patches).to(tl.int64) * frame_patch_stride
    pixels += place // across * patch * row_stride + place % across * row
    out += tubelet.to(tl.int64) * values

    k = tl.arange(0, block)
    here = k < line
    byte = k // row * frame_stride + k % row  # in the order of memory: frame, column, colour
    scale = tl.where(k % 3 == 0, s0, tl.where(k % 3 == 1, s1, s2))
    offset = tl.where(k % 3 == 0, t0, tl.where(k % 3 == 1, t1, t2))

    mean, rate = _statistics(
        pixels + byte, here, scale, offset, eps, row_stride, patch, line, block
    )

    # A tubelet's order is column, frame, colour.
    taken = tl.where(here, k // 3 % frames * row + k // (3 * frames) * 3 + k % 3, 0)
    for i in range(patch):
        x = tl.load(pixels + i * row_stride + byte, here, 0).to(tl.float32) * scale + offset
        y = tl.gather((x - mean) * rate, taken, 0)
        if gain is not None:
            y = y * tl.load(gain + i * line + k, here, 0) + tl.load(shift + i * line + k, here, 0)
        tl.store(out + i * line + k, y.to(out.dtype.element_ty), here)


@triton.jit  # type: ignore[untyped-decorator]
def _statistics(  # type: ignore[no-untyped-def]
    places,
    here,
    scale,
    offset,
    eps,
    row_stride,
    patch: tl.constexpr,
    line: tl.constexpr,
    block: tl.constexpr,
):
    """Mean and 1 / deviation of a tubelet's values, in one round, around its first line's mean.

    Around 0, the variance would be a small difference of large numbers.
    """
    x = tl.load(places, here, 0).to(tl.float32) * scale + offset
    middle = tl.sum(tl.where(here, x, 0.0)) / line
    total, squares = tl.zeros([block], tl.float32), tl.zeros([block], tl.float32)
    for i in range(patch):
        x = tl.load(places + i * row_stride, here, 0).to(tl.float32) * scale + offset
        x = tl.where(here, x - middle, 0.0)
        total += x
        squares += x * x
    values: tl.constexpr = patch * line
    off = tl.sum(total) / values
    return middle + off, 1 / tl.sqrt(tl.sum(squares) / values - off * off + eps)
