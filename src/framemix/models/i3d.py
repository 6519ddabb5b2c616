"""I3D: a ResNet with some kernels inflated to several frames.

Carreira & Zisserman, "Quo Vadis, Action Recognition?" (CVPR 2017), section 2.4, as a ResNet: Wang
et al., "Non-local Neural Networks" (CVPR 2018), section 4, I3D with 3 x 1 x 1 kernels.
"""

# B clips, C channels, T frames, H x W pixels

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor, nn

from framemix.models.config import Depth
from framemix.models.resnet import Residual, ResNet, inflate

STEM_FRAMES, BLOCK_FRAMES = 5, 3


class I3D(ResNet):
    """Clips of any length and size (B, 3, T, H, W) -> class logits (B, classes).

    The stem's kernel has 5 frames, and the first kernel of every second residual block 3. There is
    no stride over time, because clips have few, mixed frames. Fresh weights are those of a 2D
    network, inflated: for a still video the output equals that of `TSN` with the same seed.
    """

    def __init__(
        self, *, depth: Depth = 50, num_classes: int, width: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__(depth=depth, width=width)
        self.conv1 = InflatedConv(self.conv1, STEM_FRAMES)
        blocks = [module for module in self.modules() if isinstance(module, Residual)]
        for block in blocks[::2]:
            block.conv1 = InflatedConv(block.conv1, BLOCK_FRAMES)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.out_channels, num_classes)

    def features(self, clips: Tensor) -> Tensor:
        """A vector a clip (B, C), of normalised clips (B, 3, T, H, W)."""
        return reduce(self.maps(clips), "b c t h w -> b c", "mean")

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, classes) of features (B, C)."""
        logits: Tensor = self.fc(self.dropout(features))
        return logits


class InflatedConv(nn.Module):
    """A (1, k, k) convolution inflated to `frames` frames, an odd number: keeps T.

    Clips are padded by repeating their first and last frames. With black frames, a still video
    would change for the network, and many of 8 segments are near an end.
    """

    def __init__(self, flat: nn.Module, frames: int) -> None:
        super().__init__()
        assert isinstance(flat, nn.Conv3d)
        self.weight = nn.Parameter(inflate(flat.weight.detach(), frames))
        self.stride, self.padding = flat.stride, flat.padding
        self.ends = frames // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, out, T, H/stride, W/stride)."""
        # Not F.pad, whose gradient on GPUs differs from run to run.
        x = torch.cat([x[:, :, :1]] * self.ends + [x] + [x[:, :, -1:]] * self.ends, dim=2)
        return F.conv3d(x, self.weight, stride=self.stride, padding=self.padding)
