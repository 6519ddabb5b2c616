"""TSN and TSM: a ResNet for single segments, whose logits are averaged.

Wang et al., "Temporal Segment Networks" (ECCV 2016), section 3.1; Lin et al., "TSM: Temporal Shift
Module for Efficient Video Understanding" (ICCV 2019).
"""

# B clips, S segments, C channels, H x W pixels

import torch
from einops import reduce
from torch import Tensor, nn

from framemix.models.config import Depth
from framemix.models.resnet import ResNet

# One share of the channels comes from the next segment, one from the segment before (TSM, 3.2).
SHIFTED_SHARE = 8
# With so many blocks in layer3, as a ResNet-101 has, every second block of each stage shifts. So it
# is in the authors' code (mit-han-lab/temporal-shift-module, ops/temporal_shift.py).
MANY_BLOCKS = 23


class TSN(ResNet):
    """Clips of any number and size of segments (B, 3, S, H, W) -> class logits (B, classes).

    The consensus is the mean of the segments' logits: in eval mode their order does not matter.
    """

    def __init__(
        self, *, depth: Depth = 50, num_classes: int, width: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__(depth=depth, width=width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.out_channels, num_classes)

    def features(self, clips: Tensor) -> Tensor:
        """A vector a segment (B, S, C), of normalised clips (B, 3, S, H, W)."""
        return reduce(self.maps(clips), "b c s h w -> b s c", "mean")

    def classify(self, features: Tensor) -> Tensor:
        """Logits (B, classes) of the segments' features (B, S, C)."""
        logits: Tensor = self.fc(self.dropout(features))  # (B, S, classes)
        return reduce(logits, "b s k -> b k", "mean")


class TSM(TSN):
    """A TSN whose residual branches see a quarter of their channels one segment off.

    The shortcuts stay as they are ("residual shift", section 3.2), parameters too. At depth 101
    every second block shifts.
    """

    def __init__(
        self, *, depth: Depth = 50, num_classes: int, width: int = 64, dropout: float = 0.0
    ) -> None:
        super().__init__(depth=depth, num_classes=num_classes, width=width, dropout=dropout)
        every = 2 if len(self.layer3) >= MANY_BLOCKS else 1
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in list(stage)[::every]:
                block.before_branch = TemporalShift()


class TemporalShift(nn.Module):
    """Shifts an eighth of the channels by one segment back, and the next eighth by one forward.

    Keeps (B, C, S, H, W); values from outside the clip are zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, H, W) -> (B, C, S, H, W)."""
        share = x.shape[1] // SHIFTED_SHARE
        later, earlier, rest = x.tensor_split([share, 2 * share], dim=1)
        later = torch.cat([later[:, :, 1:], torch.zeros_like(later[:, :, :1])], dim=2)
        earlier = torch.cat([torch.zeros_like(earlier[:, :, :1]), earlier[:, :, :-1]], dim=2)
        return torch.cat([later, earlier, rest], dim=1)  # (B, C, S, H, W)
