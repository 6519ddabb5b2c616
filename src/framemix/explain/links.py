"""The strongest links of a non-local block, as in figure 3 of Wang et al. (CVPR 2018)."""

# T' frames of h x w positions, N = T' * h * w of them, M keys

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor

from framemix.models.nonlocal_net import NonLocalBlock

MOST_LINKS = 20  # as in the paper's figure

Place = tuple[int, int, int]


@dataclass(frozen=True)
class Links:
    """The strongest links of a position: places (frame, row, column) in a grid (T', h, w)."""

    grid: Place
    start: Place
    ends: list[tuple[Place, float]]  # strongest first, with their weights


def affinity(block: NonLocalBlock, x: Tensor) -> Tensor:
    """The weights f(x_i, x_j) / C(x) of a block's input x (B, C, T', h, w): (B, N, M), eq. 1."""
    theta, phi = block.embedded(x)
    if block.pairwise == "concatenation":
        return block.concatenated(theta, phi) / phi.shape[1]
    scores = theta @ rearrange(phi, "b m i -> b i m")
    if block.pairwise == "dot_product":
        return scores / phi.shape[1]
    return (scores * block.scale).softmax(dim=-1)


@torch.inference_mode()
def strongest_links(block: NonLocalBlock, x: Tensor) -> Links:
    """The links of the position that the block changes most in its input x (1, C, T', h, w)."""
    t, h, w = x.shape[2:]
    change = reduce((block(x) - x) ** 2, "1 c t h w -> (t h w)", "sum")
    start = int(change.argmax())
    weights = affinity(block, x)[0, start]  # (M,)
    # Pooling the numbers of the positions gives the position that stands for each pool.
    numbers = torch.arange(t * h * w, dtype=torch.float64)
    numbers = rearrange(numbers, "(t h w) -> 1 1 t h w", t=t, h=h, w=w)
    looked_at = block.looked_at(numbers)[0, :, 0].long()
    strongest = weights.topk(min(MOST_LINKS, len(weights)))
    ends = [
        (_place(int(looked_at[place]), (t, h, w)), value)
        for value, place in zip(strongest.values.tolist(), strongest.indices.tolist(), strict=True)
    ]
    return Links((t, h, w), _place(start, (t, h, w)), ends)


def _place(position: int, grid: Place) -> Place:
    frame, rest = divmod(position, grid[1] * grid[2])
    return frame, *divmod(rest, grid[2])
