"""How the video networks of Hugging Face's library differ: a row for each family.

VideoMAE: Tong et al. (NeurIPS 2022). ViViT: Arnab et al. (ICCV 2021), model 1. TimeSformer:
Bertasius et al. (ICML 2021). V-JEPA 2: Assran et al. (2025). VideoPrism: Zhao et al. (ICML 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from framemix.models.config import FamilyName

# What is made of the trunk's tokens before the last layers: their mean, the first, or all of them.
Pooling = Literal["mean", "first", "all"]


@dataclass(frozen=True)
class Table:
    """A learned table of positions: a row for each place along its axes, behind `others`.

    `axes` are of "t" (frame patches), "h" and "w" (patches of a frame).
    """

    axes: str
    others: int = 0

    def grid(self, patches: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return its places along time, height and width; 1 along those that it has not."""
        time, height, width = (
            count if axis in self.axes else 1 for axis, count in zip("thw", patches, strict=True)
        )
        return time, height, width

    def rows(self, patches: tuple[int, int, int]) -> int:
        """Return how many rows it has for so many patches along time, height and width."""
        return self.others + prod(self.grid(patches))


@dataclass(frozen=True)
class Family:
    """What the library calls things, where its network is cut, and how it prepares clips.

    `name` is how its authors write it, and `types` begins the names of its types. `trunk` is the
    path of the part that makes tokens (B, L, D) of clips, `order` what that does in turn where its
    parts stand in another order, and `head` are the parts behind it. `pixels` is the argument for
    clips; `frames` and `size` are the configuration's keys of the clips' sizes, where `one_side`
    stands for both, and `patch` those of a patch's. Positions are learned `tables`, or `waves` that
    are computed, or neither. `rescale`, `offset` and `normalises` hold where a preprocessor's file
    does not state it: pixels times `rescale`, less 1, less a mean and by a deviation.
    """

    name: str
    model_type: str
    types: str
    trunk: str
    pooling: Pooling
    head: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    pixels: str = "pixel_values"
    frames: str = "num_frames"
    size: str = "image_size"
    patch: tuple[str, ...] = ("tubelet_size", "patch_size")
    one_side: bool = False
    square: bool = False
    tables: Mapping[str, Table] = field(default_factory=dict)
    waves: bool = False
    rescale: float = 1 / 255
    offset: bool = False
    normalises: bool = True

    def tubelet(self, config: Any) -> tuple[int, int, int]:
        """Return frames, height and width of a patch, of the library's configuration."""
        sides = [] if "tubelet_size" in self.patch else [1]
        for key in self.patch:
            value = getattr(config, key)
            sides += [value] if isinstance(value, int) else value
        return sides[0], sides[1], sides[-1]

    def grid(self, config: Any, frames: int, image_size: tuple[int, int]) -> tuple[int, int, int]:
        """Return how many patches clips of those sizes have along time, height and width."""
        time, height, width = self.tubelet(config)
        return frames // time, image_size[0] // height, image_size[1] // width

    def misfit(self, config: Any, frames: int, image_size: tuple[int, int]) -> str | None:
        """Return why patches do not tile clips, each argument in braces; None: they do."""
        time, *sides = self.tubelet(config)
        if frames % time:
            return f"{{frames}} = {frames}: allowed: a multiple of {time}, the frames of a patch"
        if any(whole % part for whole, part in zip(image_size, sides, strict=True)):
            return (
                f"{{image_size}} = {list(image_size)}: allowed: multiples of {sides}, "
                f"the sides of a patch"
            )
        if self.square and image_size[0] != image_size[1]:
            return f"{{image_size}} = {list(image_size)}: allowed with {self.name}: equal sides"
        return None


FAMILIES: dict[FamilyName, Family] = {
    "videomae": Family(
        name="VideoMAE",
        model_type="videomae",
        types="VideoMAE",
        trunk="videomae",
        pooling="mean",
        head=("fc_norm",),
        waves=True,
    ),
    "vivit": Family(
        name="ViViT",
        model_type="vivit",
        types="Vivit",
        trunk="vivit",
        pooling="first",
        patch=("tubelet_size",),
        tables={"embeddings.position_embeddings": Table("thw", others=1)},
        rescale=1 / 127.5,
        offset=True,
    ),
    "timesformer": Family(
        name="TimeSformer",
        model_type="timesformer",
        types="Timesformer",
        trunk="timesformer",
        pooling="first",
        patch=("patch_size",),
        one_side=True,
        tables={
            "embeddings.position_embeddings": Table("hw", others=1),
            "embeddings.time_embeddings": Table("t"),
        },
    ),
    "vjepa2": Family(
        name="V-JEPA 2",
        model_type="vjepa2",
        types="VJEPA2",
        trunk="vjepa2.encoder",  # the rest predicts, which a classifier does not
        pooling="all",
        head=("pooler",),
        pixels="pixel_values_videos",
        frames="frames_per_clip",
        size="crop_size",
        one_side=True,
        square=True,
    ),
    "videoprism": Family(
        name="VideoPrism",
        model_type="videoprism_vision_model",
        types="VideoPrism",
        trunk="vision_model",
        pooling="all",
        head=("head", "head_layernorm"),
        order=(
            "spatial_embeddings",
            "spatial_layers",
            "layernorm1",
            "temporal_embeddings",
            "temporal_layers",
            "layernorm2",
        ),
        pixels="pixel_values_videos",
        patch=("tubelet_size",),
        tables={
            "spatial_embeddings.position_embeddings": Table("hw"),
            "temporal_embeddings.position_embeddings": Table("t"),
        },
        normalises=False,
    ),
}
