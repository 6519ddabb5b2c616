"""Clips to tokens: tubelets are cut, normed and projected, with little memory and few passes.

Arnab et al., "ViViT: A Video Vision Transformer" (ICCV 2021), section 3.2.
"""

# B clips, C = 3 colours, T frames, H x W pixels
# T' = T / frame patch, N = (H / patch) * (W / patch) tokens, D = dim
# K = patch * patch * frame patch * C values of a tubelet, M = B * T' * N tubelets

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from framemix.errors import ModelError, one_line
from framemix.models.config import Tokeniser
from framemix.models.input import IMAGENET, Normalisation

COLOURS = 3
Affine = tuple[list[float], list[float]]  # scale and shift of each colour
# Values computed at a time: as many as fit a CPU's cache, or as keep all of a GPU busy.
PIECE = {"cpu": 2**21, "cuda": 2**28}


class TubeletEmbedding(nn.Module):
    """Cuts clips into tubelets and projects each: (B, C, T, H, W) -> (B, T', N, D).

    With `uniform_frames`, a token has only the middle frame of its frame patch, as in an image ViT:
    T' frames are sampled uniformly.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        image_patch_size: int,
        frames: int,
        frame_patch_size: int,
        dim: int,
        tokeniser: Tokeniser,
    ) -> None:
        super().__init__()
        height, width = image_size
        self.input_shape = (COLOURS, frames, height, width)
        tubelet = tokeniser == "tubelet"
        self.patch = image_patch_size
        self.every, self.frame_patch = (1, frame_patch_size) if tubelet else (frame_patch_size, 1)
        pixels = image_patch_size**2 * self.frame_patch * COLOURS
        patches = (height // image_patch_size) * (width // image_patch_size)
        self.pixel_norm = nn.LayerNorm(pixels)
        self.projection = nn.Linear(pixels, dim)
        self.token_norm = nn.LayerNorm(dim)
        # Unit variance, like the normalised patches: beside them, ViT's 0.02 would be negligible,
        # and training from scratch would stay at chance for many epochs.
        self.positions = nn.Parameter(torch.randn(1, frames // frame_patch_size, patches, dim))
        self.kernel_works: dict[tuple[torch.device, torch.dtype], bool] = {}

    def forward(self, video: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
        """Tokens (B, T', N, D) with learned positions added; uint8 clips are normalised first."""
        if video.dtype == torch.uint8 and video.ndim == 4:  # yuv420p
            video = normalisation(video)
        stored = video.dtype == torch.uint8
        pixels = video if stored else rearrange(video, "b c t h w -> b t h w c")
        self._check(pixels)
        if stored:
            projected = self._project_bytes(pixels, normalisation.affine)
        else:
            projected = self.projection(self.pixel_norm(self._cut(pixels)))
        tokens: Tensor = self.token_norm(projected)
        return tokens + self.positions

    def _check(self, pixels: Tensor) -> None:
        frames, height, width, colours = pixels.shape[1:]
        if (colours, frames, height, width) != self.input_shape:
            raise ModelError(
                f"clips of shape {(colours, frames, height, width)} (C, T, H, W): "
                f"this ViViT takes {self.input_shape}"
            )

    def _project_bytes(self, pixels: Tensor, affine: Affine) -> Tensor:
        """Pixels uint8 (B, T, H, W, C), normalised, through the norm and the projection."""
        norm, linear = self.pixel_norm, self.projection
        parameters = (norm.weight, norm.bias, linear.weight, linear.bias)
        dtype = _product_dtype(linear.weight)
        if self._has_kernel(pixels, affine, dtype):
            tubelets, order = self._normed_by_kernel(pixels, affine, dtype), self._by_row
        elif torch.is_grad_enabled() and any(p.requires_grad for p in parameters):
            tubelets, order = self._normed(pixels, affine, None, None, dtype), None
        else:
            normed = self._normed(pixels, affine, norm.weight, norm.bias, dtype)
            return F.linear(normed, linear.weight, linear.bias)
        projected: Tensor = NormedProjection.apply(tubelets, order, *parameters)
        return projected

    def _has_kernel(self, pixels: Tensor, affine: Affine, dtype: torch.dtype) -> bool:
        whole = self.projection.weight.dtype == torch.float32
        if not (pixels.is_cuda and whole and find_spec("triton")):
            return False
        place = (pixels.device, dtype)
        if place not in self.kernel_works:
            self.kernel_works[place] = self._try_kernel(pixels, affine, dtype)
        return self.kernel_works[place]

    def _try_kernel(self, pixels: Tensor, affine: Affine, dtype: torch.dtype) -> bool:
        """Whether the kernel can be compiled and run here, with the same values as the passes.

        Triton needs a C compiler, Python's headers, and a driver and a GPU that it supports. A
        warning has its error.
        """
        few = pixels[:1, : 2 * self.every * self.frame_patch]  # two steps in time, where there are
        expected = self._by_row(self._normed(few, affine, None, None, dtype)).flatten(3)
        try:
            made = self._normed_by_kernel(few, affine, dtype)
            why = "its values are wrong"
            works = torch.allclose(made, expected, rtol=0.02, atol=0.05)  # some roundings of bf16
        except Exception as error:  # errors of compiler, linker and driver have no common base
            works, why = False, one_line(error)
        if not works:
            warnings.warn(
                f"tubelets are made without Triton's kernel, which is slower: {why}", stacklevel=2
            )
        return works

    def _cut(self, pixels: Tensor) -> Tensor:
        """Frames (B, T, H, W, C), a whole number of frame patches -> tubelets (B, T', N, K)."""
        return rearrange(
            pixels[:, self.every // 2 :: self.every],
            "b (t pf) (h p1) (w p2) c -> b t (h w) (p1 p2 pf c)",
            pf=self.frame_patch,
            p1=self.patch,
            p2=self.patch,
        )  # (B, T', N, patch * patch * frame patch * C)

    def _by_row(self, values: Tensor) -> Tensor:
        """View a tubelet's values (..., K) in the order that the kernel writes them in."""
        return rearrange(
            values,
            "... (p1 p2 pf c) -> ... p1 pf p2 c",
            p1=self.patch,
            p2=self.patch,
            pf=self.frame_patch,
        )

    def _normed_by_kernel(self, pixels: Tensor, affine: Affine, dtype: torch.dtype) -> Tensor:
        """Tubelets (B, T', N, K) normalised and normed, each in the order of `_by_row`."""
        # Imported here, because not all machines have Triton.
        from framemix.models.tubelet_kernel import normed_tubelets

        return normed_tubelets(
            pixels,
            affine,
            patch=self.patch,
            frame_patch=self.frame_patch,
            every=self.every,
            eps=self.pixel_norm.eps,
            dtype=dtype,
        )

    def _normed(
        self,
        pixels: Tensor,
        affine: Affine,
        gain: Tensor | None,
        shift: Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """Tubelets (B, T', N, K) normalised, normed, and times a gain plus a shift if there is one.

        Piece by piece, cut while they are bytes: what is between bytes and result stays in the
        processor's cache, where memory is what takes the time.
        """
        norm, frame_patch = self.pixel_norm, self.every * self.frame_patch
        scales, shifts = (
            torch.tensor(values, dtype=norm.weight.dtype, device=pixels.device).repeat(
                norm.weight.numel() // COLOURS
            )
            for values in affine
        )
        frame_patches = rearrange(pixels, "b (t f) h w c -> (b t) f h w c", f=frame_patch)
        size = max(1, PIECE[pixels.device.type] // frame_patches[0].numel())
        normed = torch.empty(
            len(frame_patches),
            self.positions.shape[2],
            norm.weight.numel(),
            dtype=dtype,
            device=pixels.device,
        )
        for start in range(0, len(normed), size):
            x = self._cut(frame_patches[start : start + size])[:, 0].to(scales.dtype)  # (., N, K)
            torch.addcmul(shifts, x, scales, out=x)
            normed[start : start + size] = F.layer_norm(
                x, norm.normalized_shape, gain, shift, norm.eps
            )
        return rearrange(normed, "(b t) n k -> b t n k", b=len(pixels))


def _product_dtype(weight: Tensor) -> torch.dtype:
    """The type of a product with a weight: autocast's if it is on."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


class NormedProjection(torch.autograd.Function):
    """Gain and shift of a norm, and a projection: (..., K) -> (..., D), without u's gradient.

    For the input u, gain g and shift s are applied to the weight: Y = u (W * g)^T + (b + W s). So
    no pass over u applies them, and the backward pass has one product of matrices, where
    LayerNorm's own takes a second one for all of u: with P = dY^T u, dW = P * g + db s^T,
    dg = sum over rows of P * W, ds = W^T db.

    `order` returns a view of the weight's or the gain's values (..., K) in the order of u's, if the
    two orders differ.
    """

    @staticmethod
    def forward(
        ctx: Any,
        tubelets: Tensor,
        order: Callable[[Tensor], Tensor] | None,
        gain: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> Tensor:
        """Product in the tubelets' type."""
        ctx.order = order
        ctx.save_for_backward(tubelets, gain, shift, weight)
        ordered, by = (order(x) if order else x for x in (weight, gain))
        scaled = torch.empty(ordered.shape, dtype=tubelets.dtype, device=weight.device)
        for rows in _pieces(weight):
            torch.mul(ordered[rows], by, out=scaled[rows])
        with torch.autocast(weight.device.type, enabled=False):
            whole = (bias + weight @ shift).to(tubelets.dtype)
            return F.linear(tubelets, scaled.flatten(1), whole)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, Tensor, Tensor, Tensor, Tensor]:
        """Gradients of gain, shift, weight and bias."""
        tubelets, gain, shift, weight = ctx.saved_tensors
        flat = grad.flatten(0, -2)  # (M, D)
        d_weight = flat.T @ tubelets.flatten(0, -2)
        if ctx.order:
            ordered, d_weight = d_weight, torch.empty_like(weight)
            ctx.order(d_weight).copy_(ordered.view(ctx.order(d_weight).shape))
        d_weight = d_weight.to(weight.dtype)
        d_bias = flat.sum(0, dtype=weight.dtype)
        d_gain = torch.zeros_like(gain)
        for rows in _pieces(weight):
            d_gain += (d_weight[rows] * weight[rows]).sum(0)
            d_weight[rows].mul_(gain).addr_(d_bias[rows], shift)
        return None, None, d_gain, d_bias @ weight, d_weight, d_bias


def _pieces(weight: Tensor) -> list[slice]:
    size = max(1, PIECE[weight.device.type] // weight.shape[1])
    return [slice(start, start + size) for start in range(0, len(weight), size)]
