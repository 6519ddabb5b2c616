"""What the networks are built from.

Free of torch, so that stages that do not train can check params.yaml at no cost. Settings are what
a user chooses. A config is what a network is built from: with what its data decide, and without its
first weights, which a trained network no longer needs.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, field_validator

from framemix.validation import Integer, Settings, misfit

AttentionScheme = Literal[
    "spatio_temporal",
    "factorised_encoder",
    "factorised_self_attention",
    "factorised_dot_product",
]
Tokeniser = Literal["tubelet", "uniform_frames"]
Init = Literal["xavier", "torch"]
PaperMode = Literal["all", "spatial_temporal_fc", "temporal_fc", "fc"]
FinetuneMode = PaperMode | Annotated[str, Field(pattern=r"^last_[1-9][0-9]{0,2}$")]
HeadStart = Literal["replace", "extend"]
TemporalStart = Literal["keep", "reinit"]
Positions = Literal["exact", "interpolate"]
Depth = Literal[10, 50, 101]
Pairwise = Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"]
NonLocalBlocks = Literal[1, 5]
Pool = Literal["after", "before"]
# torchvision's names end in the first eight hexadecimal digits of the file's SHA-256.
NAMED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")
# How the hub of Hugging Face names a model.
HUB_NAME = re.compile(r"[\w.-]+/([\w.-]+)")
# Sizes have bounds, since a model file may contain anything: far above what is used, but a network
# is described in seconds, and no tensor's size overflows 64 bits.
Side = Annotated[int, Field(gt=0, le=2**13)]  # pixels
Frames = Annotated[int, Field(gt=0, le=10**5)]
Width = Annotated[int, Field(gt=0, le=2**14)]  # values of a token, or channels
Hidden = Annotated[int, Field(gt=0, le=2**18)]
Heads = Annotated[int, Field(gt=0, le=2**10)]
MOST_BLOCKS = 256
Blocks = Annotated[int, Field(gt=0, le=MOST_BLOCKS)]
Classes = Annotated[int, Field(gt=0, le=10**6, description="that the network distinguishes")]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]


class _ViViTSizes(Settings):
    architecture: Literal["vivit"] = Field("vivit", description="which network it is")
    attention: AttentionScheme = Field(description="which tokens attend to which")
    tokeniser: Tokeniser = Field(description="how frames become tokens")
    image_patch_size: Side = Field(description="side of a patch, pixels")
    frame_patch_size: Frames = Field(description="length of a patch, frames of the mixed clip")
    dim: Width = Field(description="values of a token")
    spatial_depth: Blocks = Field(description="blocks within a frame patch")
    temporal_depth: Blocks = Field(description="blocks over frame patches")
    heads: Heads = Field(description="of each attention")
    dim_head: Width = Field(description="values of a head")
    mlp_dim: Hidden = Field(description="hidden units of a block's MLP")
    dropout: DropoutRate = Field(description="share of activations that training leaves out")


class DrawnWeights(Settings):
    """How first weights are drawn, where no file has them."""

    init: Init = Field(description="how linear layers are drawn: Glorot's, or torch's way")


class ViViTSettings(DrawnWeights, _ViViTSizes):
    """What a user chooses of a `ViViT`; patch sizes in pixels and in frames."""


class ViViTConfig(_ViViTSizes):
    """All of a `ViViT`: with what its data decide, `image_size` as (height, width)."""

    image_size: tuple[Side, Side] = Field(description="height and width of a frame, pixels")
    frames: Frames = Field(description="of a mixed clip")
    num_classes: Classes


class ImageWeights(Settings):
    """A torchvision ResNet's state dict to start from; null: random weights.

    A file or a URL. Its SHA-256 may be given whole here or, as torchvision does, by its first eight
    digits in the file's name; a URL needs one of the two.
    """

    weights: str | None = Field(description="a file or a URL; null: random weights")
    weights_sha256: str | None = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="whole, in hexadecimal digits; null: those in its name",
    )

    @property
    def misfit(self) -> str | None:
        """What is wrong with them, each argument in braces; None: nothing that can be seen here."""
        if self.weights == "":
            return "{weights} = '': allowed: null, a file or a URL"
        if self.is_url and not self.digest:
            return (
                f"{{weights}} = {self.weights}: a URL without checksum; "
                f"allowed: with {{weights_sha256}}, or a name-<digest>.pth"
            )
        return None

    @property
    def is_url(self) -> bool:
        """Whether the weights are to be downloaded."""
        return (self.weights or "").startswith(("http://", "https://"))

    @property
    def digest(self) -> str | None:
        """First digits, or all, of the SHA-256 that the file must have; None: none was given."""
        named = NAMED_DIGEST.search(self.weights or "")
        return self.weights_sha256 or (named[1] if named else None)


class _ResNetSizes(Settings):
    depth: Annotated[Depth, Integer] = Field(description="layers")
    width: Width = Field(description="channels of the first stage")
    dropout: DropoutRate = Field(description="share that training leaves out before the last layer")


class _NonLocalSizes(_ResNetSizes):
    architecture: Literal["nonlocal"] = Field("nonlocal", description="which network it is")
    pairwise: Pairwise = Field(description="how alike two positions are")
    nonlocal_blocks: Annotated[NonLocalBlocks, Integer] = Field(description="how many there are")
    subsample: bool = Field(description="whether blocks look at a quarter of the positions")
    # Files of earlier versions have neither of these two.
    pool: Pool = Field("after", description="which side of their convolutions blocks pool on")
    scaled: bool = Field(False, description="whether products are divided by the channels' root")


class NonLocalSettings(ImageWeights, _NonLocalSizes):
    """What a user chooses of a `NonLocalNet`; `width` is the channels of its first stage."""


class NonLocalConfig(_NonLocalSizes):
    """All of a `NonLocalNet`: with what its data decide."""

    num_classes: Classes


class _FrameNetSizes(_ResNetSizes):
    architecture: Literal["tsn", "tsm", "i3d"] = Field(description="which network it is")


class FrameNetSettings(ImageWeights, _FrameNetSizes):
    """What a user chooses of a `TSN`, a `TSM` or an `I3D`, which take the same."""


class FrameNetConfig(_FrameNetSizes):
    """All of a `TSN`, a `TSM` or an `I3D`: with what its data decide."""

    num_classes: Classes


FamilyName = Literal["videomae", "vivit", "timesformer", "vjepa2", "videoprism"]
Count = Annotated[int, Field(ge=0, le=2**18)]
Name = Annotated[str, Field(max_length=64)]
Sizes = Mapping[Name, bool | Count | FiniteFloat | Name | tuple[Count, ...] | None]


class TransformersConfig(Settings):
    """All of a network of Hugging Face's library: its own configuration, and what its data decide.

    `sizes` are what the library's configuration of the family has, but for the clips' sizes.
    """

    architecture: Literal["transformers"] = Field("transformers", description="which network it is")
    family: FamilyName = Field(description="which of the library's video networks")
    sizes: Sizes = Field(description="as the library's configuration names them")
    image_size: tuple[Side, Side] = Field(description="height and width of a frame, pixels")
    frames: Frames = Field(description="of a mixed clip")
    num_classes: Classes

    @field_validator("sizes")
    @classmethod
    def _has_blocks_within_reason(cls, sizes: Sizes) -> Sizes:
        for key, value in sizes.items():
            if key.endswith("_layers") and not (isinstance(value, int) and value <= MOST_BLOCKS):
                raise misfit(f"{{{key}}} = {value}: allowed: at most {MOST_BLOCKS}")
        return sizes


ModelSettings = Annotated[
    ViViTSettings | NonLocalSettings | FrameNetSettings, Field(discriminator="architecture")
]
ModelConfig = Annotated[
    ViViTConfig | NonLocalConfig | FrameNetConfig | TransformersConfig,
    Field(discriminator="architecture"),
]


def vivit_misfit(
    *,
    image_size: Sequence[int],
    image_patch_size: int,
    frames: int,
    frame_patch_size: int,
    attention: AttentionScheme,
    spatial_depth: int,
    temporal_depth: int,
    heads: int,
) -> str | None:
    """Return what of a `ViViT` does not fit together, each argument in braces; None: nothing.

    Patches tile the clip. Where every block sees space and time, their depths are one; where heads
    are divided between them, their number is even.
    """
    if frames % frame_patch_size:
        return (
            f"{{frames}} = {frames}: allowed: a multiple of {{frame_patch_size}} = "
            f"{frame_patch_size}"
        )
    if any(side % image_patch_size for side in image_size):
        return (
            f"{{image_size}} = {list(image_size)}: allowed: multiples of {{image_patch_size}} = "
            f"{image_patch_size}"
        )
    if attention == "factorised_dot_product" and heads % 2:
        return f"{{heads}} = {heads}: allowed with {{attention}} = {attention}: even numbers"
    if attention == "factorised_self_attention" and spatial_depth != temporal_depth:
        return (
            f"{{temporal_depth}} = {temporal_depth}: allowed with {{attention}} = {attention}: "
            f"{{spatial_depth}} = {spatial_depth}"
        )
    return None


def nonlocal_misfit(
    *, depth: Depth, nonlocal_blocks: NonLocalBlocks, pairwise: Pairwise, scaled: bool
) -> str | None:
    """Return what of a `NonLocalNet` does not fit together, like `vivit_misfit`.

    The small network has no place for five blocks; only the embedded Gaussian has a scale.
    """
    if scaled and pairwise != "embedded_gaussian":
        return f"{{scaled}} = true: allowed with {{pairwise}} = {pairwise}: false"
    if nonlocal_blocks > 1 and depth < 50:
        return f"{{nonlocal_blocks}} = {nonlocal_blocks}: allowed with {{depth}} = {depth}: 1"
    return None


def hub_misfit(start: Path) -> str | None:
    """Return what to do where `start` is a model's name on Hugging Face's hub, and no such path."""
    name = HUB_NAME.fullmatch(str(start))
    if name is None or start.parent.exists():
        return None
    return (
        f"no such file or folder; a model of Hugging Face's hub is downloaded first, with "
        f"hf download {start} --local-dir data/pretrained/{name[1]}, and is then "
        f"data/pretrained/{name[1]}"
    )
