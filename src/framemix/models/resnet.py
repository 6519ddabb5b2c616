"""ResNet over video: every kernel has one frame (C2D), unless a subclass inflates it.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), as a video network: Wang et
al., "Non-local Neural Networks" (CVPR 2018), section 4. Parameter names are torchvision's, so that
its image weights fit once each kernel has an axis of one frame.
"""

# B clips, C channels, T frames, H x W pixels

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from framemix.models.checks import check_choice
from framemix.models.config import Depth
from framemix.models.input import Normalisation

COLOURS = 3
# What stands behind the trunk.
LAST = ("dropout", "fc")


class ResNet(nn.Module, ABC):
    """Clips (B, 3, T, H, W) -> class logits (B, classes), through maps (B, C, T, H/32, W/32).

    The residual stages `layer1` to `layer4` are res2 to res5 in the papers; `out_channels` is the C
    that leaves `layer4`. What is made of the maps is a subclass's: its `features`, and of them its
    logits, by `dropout` and `fc`.
    """

    def __init__(self, *, depth: Depth, width: int = 64) -> None:
        super().__init__()
        check_choice("depth", depth, STAGES)
        block, (n1, n2, n3, n4) = STAGES[depth]
        self.conv1: nn.Module = conv(COLOURS, width, kernel=7, stride=2)
        self.bn1 = nn.BatchNorm3d(width)
        self.layer1 = _stage(block, n1, width, width, stride=1)
        self.layer2 = _stage(block, n2, width * block.expansion, 2 * width, stride=2)
        self.layer3 = _stage(block, n3, 2 * width * block.expansion, 4 * width, stride=2)
        self.layer4 = _stage(block, n4, 4 * width * block.expansion, 8 * width, stride=2)
        self.out_channels = 8 * width * block.expansion

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, classes) of normalised clips (B, 3, T, H, W)."""
        return self.classify(self.features(video))

    @abstractmethod
    def features(self, video: Tensor) -> Tensor:
        """What the last layer sees of normalised clips (B, 3, T, H, W): (B, ..., C)."""

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, classes) of features (B, ..., C)."""

    def steps(
        self, normalisation: Normalisation
    ) -> list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]:
        """What is done to stored clips in turn, each with the parts whose weights it takes."""
        trunk = tuple(name for name, _ in self.named_children() if name not in LAST)
        return [
            (trunk, lambda clips: self.features(normalisation(clips))),
            (LAST, self.classify),
        ]

    def maps(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, C, T, H/32, W/32)."""
        x = max_pool(self.stem(video), (1, 3, 3))
        y: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return y

    def stem(self, video: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, width, T, H/2, W/2), before any pooling."""
        # Channels last, with which small networks train several times as fast on the CPU.
        video = video.contiguous(memory_format=torch.channels_last_3d)
        return F.relu(self.bn1(self.conv1(video)), inplace=True)


class Residual(nn.Module, ABC):
    """The common part of both kinds of block: a shortcut beside the convolutions of `branch`.

    `before_branch` changes the input of the convolutions, but not that of the shortcut.
    """

    expansion: ClassVar[int]
    conv1: nn.Module

    def __init__(self, channels: int, inner: int, *, stride: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = channels, inner * self.expansion
        self.before_branch: nn.Module = nn.Identity()
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != self.out_channels:
            self.downsample = nn.Sequential(
                conv(channels, self.out_channels, kernel=1, stride=stride),
                nn.BatchNorm3d(self.out_channels),
            )

    @abstractmethod
    def branch(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, expansion * inner, T, H/stride, W/stride)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, expansion * inner, T, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.branch(self.before_branch(x)) + shortcut, inplace=True)


class BasicBlock(Residual):
    """Two 3x3 convolutions, as in ResNet-18."""

    expansion = 1

    def __init__(self, channels: int, inner: int, *, stride: int) -> None:
        super().__init__(channels, inner, stride=stride)
        self.conv1 = conv(channels, inner, kernel=3, stride=stride)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = conv(inner, inner, kernel=3)
        self.bn2 = nn.BatchNorm3d(inner)

    def branch(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, inner, T, H/stride, W/stride)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y: Tensor = self.bn2(self.conv2(x))
        return y


class Bottleneck(Residual):
    """1x1, 3x3 and 1x1 convolutions, as in ResNet-50."""

    expansion = 4

    def __init__(self, channels: int, inner: int, *, stride: int) -> None:
        super().__init__(channels, inner, stride=stride)
        self.conv1 = conv(channels, inner, kernel=1)
        self.bn1 = nn.BatchNorm3d(inner)
        # The stride is here and not in conv1, as in the training of torchvision's weights.
        self.conv2 = conv(inner, inner, kernel=3, stride=stride)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = conv(inner, inner * self.expansion, kernel=1)
        self.bn3 = nn.BatchNorm3d(inner * self.expansion)

    def branch(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, 4 * inner, T, H/stride, W/stride)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        y: Tensor = self.bn3(self.conv3(x))
        return y


# Depth -> the kind of block, and the number in each stage. 10 is not in the paper: it is ResNet-18
# with one block per stage, for CPUs.
STAGES: dict[Depth, tuple[type[Residual], tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}


def conv(channels: int, out: int, *, kernel: int, stride: int = 1) -> nn.Conv3d:
    """A (1, k, k) convolution without bias, He-initialised, that strides over pixels only."""
    layer = nn.Conv3d(
        channels,
        out,
        kernel_size=(1, kernel, kernel),
        stride=(1, stride, stride),
        padding=(0, kernel // 2, kernel // 2),
        bias=False,
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def inflate(kernel: Tensor, frames: int) -> Tensor:
    """An image kernel (out, in, 1, k, k) repeated over time: (out, in, frames, k, k), of equal sum.

    A still video then has the output of its image (Carreira & Zisserman, section 2.2).
    """
    # Divided last: einops may return repeats that share memory, which no optimiser can write to.
    return repeat(kernel, "o i 1 h w -> o i t h w", t=frames) / frames


def max_pool(x: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    """Stride 2 and padding 1 along each axis that the kernel, of ones and threes, spans.

    Halves these axes of (B, C, T, H, W), rounded up. Space and time are pooled in turn, each by a
    pooling of images: on a GPU, the gradient of `max_pool3d` sums in a random order.
    """
    time, height, width = kernel
    batch, rows = x.shape[0], x.shape[3]
    if (height, width) != (1, 1):
        images = rearrange(x, "b c t h w -> (b t) c h w")
        images = F.max_pool2d(images, (height, width), stride=2, padding=1)
        x = rearrange(images, "(b t) c h w -> b c t h w", b=batch)
        rows = x.shape[3]
    if time != 1:
        images = rearrange(x, "b c t h w -> b c t (h w)")
        images = F.max_pool2d(images, (time, 1), stride=(2, 1), padding=(1, 0))
        x = rearrange(images, "b c t (h w) -> b c t h w", h=rows)
    return x


def _stage(
    block: type[Residual], blocks: int, channels: int, inner: int, *, stride: int
) -> nn.Sequential:
    first = block(channels, inner, stride=stride)
    rest = [block(inner * block.expansion, inner, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
