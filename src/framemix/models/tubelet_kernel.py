"""Bytes of clips to normalised tubelets in one pass over a GPU's memory: a Triton kernel.

Triton comes with torch's CUDA builds, and compiles with the machine's C compiler and Python's
headers. Where it cannot, ViViT computes the same in several passes.
"""

# M tubelets of K values: P x P pixels of F frames in 3 colours. A run is a row of one frame: P
# pixels that follow each other in memory.

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

# Values that a program computes at a time, and those of each of its threads.
TILE, EACH = 8192, 32


def normed_tubelets(
    pixels: Tensor,
    affine: tuple[Sequence[float], Sequence[float]],
    *,
    patch: int,
    frame_patch: int,
    every: int,
    eps: float,
    dtype: torch.dtype,
) -> Tensor:
    """LayerNorm of the tubelets of clips uint8 (B, T, H, W, 3), on their device: (B, T', N, K).

    `affine` has the scales and shifts from bytes to normalised colours. A tubelet has the middle
    `frame_patch` frames of every `every`; its values are in the order of row, frame, column and
    colour. In memory, the order is frame, row, column and colour.
    """
    batch, frames, height, width, _ = pixels.shape
    steps, across = frames // (every * frame_patch), width // patch
    patches, values = height // patch * across, patch * patch * frame_patch * 3
    pixels = pixels.contiguous()[:, every // 2 :]
    columns = triton.next_power_of_2(patch * 3)
    runs = min(triton.next_power_of_2(patch * frame_patch), max(TILE // columns, 1))
    out = torch.empty((batch, steps, patches, values), dtype=dtype, device=pixels.device)
    with torch.cuda.device_of(pixels):  # type: ignore[no-untyped-call]
        _kernel[(batch * steps * patches,)](
            pixels,
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
            runs=runs,
            columns=columns,
            num_warps=min(max(runs * columns // (32 * EACH), 1), 8),
            enable_fp_fusion=True,  # its default differs between versions of Triton
        )
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    pixels,
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
    runs: tl.constexpr,
    columns: tl.constexpr,
):
    """One tubelet per program, some runs at a time: first for mean and deviation, then to write.

    The second time, its bytes come from the processor's cache. Mean and deviation are computed
    around the first runs' mean: around 0, the variance would be a difference of large numbers.
    """
    width: tl.constexpr = patch * 3
    count: tl.constexpr = patch * frames
    tubelet = tl.program_id(0)
    place = tubelet % patches
    pixels += (tubelet // patches).to(tl.int64) * frame_patch_stride
    pixels += place // across * patch * row_stride + place % across * width
    out += tubelet.to(tl.int64) * count * width

    byte = tl.arange(0, columns)[None, :]
    scale = tl.where(byte % 3 == 0, s0, tl.where(byte % 3 == 1, s1, s2))
    offset = tl.where(byte % 3 == 0, t0, tl.where(byte % 3 == 1, t1, t2))

    run = tl.arange(0, runs)[:, None]
    x, here = _read(pixels, run, byte, frame_stride, row_stride, frames, count, width)
    x = tl.where(here, x * scale + offset, 0.0)
    middle = tl.sum(x) / (tl.minimum(runs, count) * width)

    offset -= middle
    total = tl.zeros([runs, columns], tl.float32)
    squares = tl.zeros([runs, columns], tl.float32)
    for first in range(0, count, runs):
        x, here = _read(pixels, first + run, byte, frame_stride, row_stride, frames, count, width)
        x = tl.where(here, x * scale + offset, 0.0)
        total += x
        squares += x * x
    mean = tl.sum(total) / (count * width)
    rate = 1 / tl.sqrt(tl.sum(squares) / (count * width) - mean * mean + eps)

    scale, offset = scale * rate, (offset - mean) * rate
    for first in range(0, count, runs):
        x, here = _read(pixels, first + run, byte, frame_stride, row_stride, frames, count, width)
        y = (x * scale + offset).to(out.dtype.element_ty)
        tl.store(out + (first + run) * width + byte, y, here)


@triton.jit  # type: ignore[untyped-decorator]
def _read(  # type: ignore[no-untyped-def]
    pixels,
    run,
    byte,
    frame_stride,
    row_stride,
    frames: tl.constexpr,
    count: tl.constexpr,
    width: tl.constexpr,
):
    """Bytes of runs as floats, and a mask of those that exist: `count` runs of `width` bytes."""
    here = (run < count) & (byte < width)
    places = pixels + run // frames * row_stride + run % frames * frame_stride + byte
    return tl.load(places, here, 0).to(tl.float32), here
