"""What the networks are built from.

Free of torch, so that stages that do not train can check params.yaml at no cost.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

AttentionScheme = Literal["factorised_encoder"]
FinetuneMode = Literal["all", "spatial_temporal_fc", "temporal_fc", "fc"]
Depth = Literal[10, 50, 101]
Pairwise = Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]


class ViViTSettings(BaseModel):
    """What a user chooses of a `ViViT`; patch sizes in pixels and in frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_patch_size: PositiveInt
    frame_patch_size: PositiveInt
    dim: PositiveInt
    spatial_depth: PositiveInt
    temporal_depth: PositiveInt
    heads: PositiveInt
    dim_head: PositiveInt
    mlp_dim: PositiveInt
    dropout: DropoutRate


class ViViTConfig(ViViTSettings):
    """All of a `ViViT`: with what its data decide, `image_size` as (height, width)."""

    architecture: Literal["vivit"] = "vivit"
    image_size: tuple[PositiveInt, PositiveInt]
    frames: PositiveInt
    num_classes: PositiveInt
    attention: AttentionScheme = "factorised_encoder"


class NonLocalSettings(BaseModel):
    """What a user chooses of a `NonLocalNet`; `width` is the channels of its first stage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: Depth
    width: PositiveInt
    pairwise: Pairwise
    dropout: DropoutRate


class NonLocalConfig(NonLocalSettings):
    """All of a `NonLocalNet`: with what its data decide."""

    architecture: Literal["nonlocal"] = "nonlocal"
    num_classes: PositiveInt


ModelConfig = Annotated[ViViTConfig | NonLocalConfig, Field(discriminator="architecture")]
