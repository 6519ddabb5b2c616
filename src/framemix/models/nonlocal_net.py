"""The Non-local network: a C2D ResNet with one non-local block or five.

Wang et al., "Non-local Neural Networks" (CVPR 2018), sections 3 and 4.
"""

# B clips, C channels, T frames, H x W pixels
# N = T * H * W queries, M keys (N, or N / 4 when subsampled)
# I = C / 2 inner channels

from typing import get_args

import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from framemix.models.checks import check_choice, check_fit
from framemix.models.config import Depth, NonLocalBlocks, Pairwise, Pool, nonlocal_misfit
from framemix.models.resnet import Residual, ResNet, max_pool

# As in the authors' code; larger weights saturate a softmax that is not scaled.
INIT_STD = 0.01
# The paper's networks stride over time from 32 frames on; shorter clips keep every frame.
STRIDED_FRAMES = 32
# Residual stage -> its number of the five non-local blocks, at even distances (section 4).
FIVE = {"layer2": 2, "layer3": 3}


class NonLocalNet(ResNet):
    """Video (B, 3, T, H, W) of any size -> class logits (B, classes), section 4.

    One non-local block is in res4 before its last residual block; of five, two are in res3 and
    three in res4. `subsample`, `pool` and `scaled` are theirs. From 32 frames on, conv1, pool1 and
    a pool after res2 stride over time by 2 each (table 1).
    """

    def __init__(
        self,
        *,
        depth: Depth = 50,
        num_classes: int,
        width: int = 64,
        pairwise: Pairwise = "embedded_gaussian",
        nonlocal_blocks: NonLocalBlocks = 1,
        subsample: bool = False,
        pool: Pool = "after",
        scaled: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(depth=depth, width=width)
        check_choice("nonlocal_blocks", nonlocal_blocks, get_args(NonLocalBlocks))
        check_fit(
            nonlocal_misfit(
                depth=depth, nonlocal_blocks=nonlocal_blocks, pairwise=pairwise, scaled=scaled
            )
        )
        if nonlocal_blocks == 1:
            places = [("layer3", len(self.layer3) - 1)]
        else:
            places = [place for stage in FIVE for place in self._spread(stage, FIVE[stage])]
        # Keys are <stage>_<the residual block that it comes before>.
        self.nonlocal_blocks = nn.ModuleDict(
            {
                f"{stage}_{index}": NonLocalBlock(
                    self._channels(stage, index), pairwise, subsample, pool=pool, scaled=scaled
                )
                for stage, index in places
            }
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.out_channels, num_classes)

    def features(self, video: Tensor) -> Tensor:
        """A vector a clip (B, C), of normalised clips (B, 3, T, H, W)."""
        x: Tensor = self.layer4(self.stage("layer3", self.stage("layer2", self.res2(video))))
        return reduce(x, "b c t h w -> b c", "mean")

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, classes) of features (B, C)."""
        logits: Tensor = self.fc(self.dropout(features))
        return logits

    def res2(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C, T', H/4, W/4), where T' is T or, from 32 frames on, T / 8."""
        if video.shape[2] < STRIDED_FRAMES:
            x: Tensor = self.layer1(max_pool(self.stem(video), (1, 3, 3)))
            return x
        # conv1 has one frame, so a stride over time means leaving out every other frame.
        x = max_pool(self.stem(video[:, :, ::2]), (3, 3, 3))
        return max_pool(self.layer1(x), (3, 1, 1))

    def stage(self, name: str, x: Tensor) -> Tensor:
        """The residual stage of that name with its non-local blocks, (B, C, T, H, W)."""
        blocks = [*getattr(self, name), nn.Identity()]  # one may come after the last
        for index, block in enumerate(blocks):
            if f"{name}_{index}" in self.nonlocal_blocks:
                x = self.nonlocal_blocks[f"{name}_{index}"](x)
            x = block(x)
        return x

    def _spread(self, stage: str, count: int) -> list[tuple[str, int]]:
        # As in the authors' code: after every second residual block of ResNet-50, and after every
        # seventh of ResNet-101's long res4.
        residual = len(getattr(self, stage))
        return [(stage, residual // count * (i + 1)) for i in range(count)]

    def _channels(self, stage: str, index: int) -> int:
        block = getattr(self, stage)[max(index, 1) - 1]
        assert isinstance(block, Residual)
        return block.in_channels if index == 0 else block.out_channels


class NonLocalBlock(nn.Module):
    """Adds to each position what it gathers from all of them: keeps (B, C, T, H, W), section 3.3.

    `subsample` pools what is looked at by 2 x 2 pixels: a quarter of the work. It does so after the
    convolutions phi and g, as the paper says, or before them; with `scaled` the products of the
    embedded Gaussian are divided by sqrt(I). The authors' code pools before and scales
    (facebookresearch/video-nonlocal-net, lib/models/nonlocal_helper.py). An identity at first, so
    that it can be put into a trained network.
    """

    def __init__(
        self,
        channels: int,
        pairwise: Pairwise = "embedded_gaussian",
        subsample: bool = False,
        *,
        pool: Pool = "after",
        scaled: bool = False,
    ) -> None:
        super().__init__()
        check_choice("pairwise", pairwise, get_args(Pairwise))
        check_choice("pool", pool, get_args(Pool))
        inner = channels // 2
        self.pairwise, self.subsample, self.pool = pairwise, subsample, pool
        self.scale = inner**-0.5 if scaled else 1.0
        self.g = _pointwise(channels, inner)
        if pairwise != "gaussian":
            self.theta = _pointwise(channels, inner)
            self.phi = _pointwise(channels, inner)
        if pairwise == "concatenation":
            self.affinity = nn.Linear(2 * inner, 1)
        self.out = _pointwise(inner, channels)
        self.out_norm = nn.BatchNorm3d(channels)
        nn.init.zeros_(self.out_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """z = W_z(y) + x, equation 6."""
        theta, phi = self.embedded(x)
        y = self._gather(theta, phi, self._seen(self.g, x))  # (B, N, I)
        t, h, w = x.shape[2:]
        y = rearrange(y, "b (t h w) i -> b i t h w", t=t, h=h, w=w)  # (B, I, T, H, W)
        z: Tensor = self.out_norm(self.out(y)) + x
        return z

    def embedded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs of f: theta (B, N, I) and phi (B, M, I); x itself (C channels) of gaussian."""
        if self.pairwise == "gaussian":
            return _positions(x), self.looked_at(x)
        return _positions(self.theta(x)), self._seen(self.phi, x)

    def looked_at(self, x: Tensor) -> Tensor:
        """The keys' positions, (B, C, T, H, W) -> (B, M, C)."""
        return _positions(self._pooled(x))

    def _pooled(self, x: Tensor) -> Tensor:
        # To the ceiling: an odd row or column is looked at too, and a single one is left.
        return F.max_pool3d(x, (1, 2, 2), ceil_mode=True) if self.subsample else x

    def _seen(self, layer: nn.Conv3d, x: Tensor) -> Tensor:
        """What a convolution makes of the positions that are looked at: (B, M, I)."""
        if self.pool == "before":
            return _positions(layer(self._pooled(x)))
        return self.looked_at(layer(x))

    def concatenated(self, theta: Tensor, phi: Tensor) -> Tensor:
        """f = ReLU(w [theta, phi] + b) of concatenation, section 3.2: (B, N, M)."""
        from_theta, from_phi = rearrange(self.affinity.weight, "1 (two i) -> two i", two=2)
        scores = rearrange(theta @ from_theta, "b n -> b n 1")  # (B, N, 1)
        scores = scores + rearrange(phi @ from_phi, "b m -> b 1 m")  # (B, N, M)
        return F.relu(scores + self.affinity.bias)

    def _gather(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """y_i = sum_j f(x_i, x_j) g(x_j) / C(x), equation 1, with f of section 3.2: (B, N, I)."""
        if self.pairwise == "dot_product":
            # Without a softmax, the right product can be computed first: there is no N x M matrix.
            return theta @ (rearrange(phi, "b m i -> b i m") @ g) / phi.shape[1]
        if self.pairwise == "concatenation":
            return self.concatenated(theta, phi) @ g / phi.shape[1]
        # Both softmax forms. One head, because fused kernels need the axis.
        q, k, v = (rearrange(t, "b n i -> b 1 n i") for t in (theta, phi, g))
        y = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # (B, 1, N, I)
        return rearrange(y, "b 1 n i -> b n i")  # (B, N, I)


def _positions(x: Tensor) -> Tensor:
    return rearrange(x, "b c t h w -> b (t h w) c")  # (B, N, C)


def _pointwise(channels: int, out: int) -> nn.Conv3d:
    layer = nn.Conv3d(channels, out, kernel_size=1)
    nn.init.normal_(layer.weight, std=INIT_STD)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
