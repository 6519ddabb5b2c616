"""Builds a network from its configuration: one configuration type a model."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from torch import nn

from framemix.errors import ModelError
from framemix.models.checks import check_choice
from framemix.models.config import (
    FrameNetConfig,
    ModelConfig,
    NonLocalConfig,
    TransformersConfig,
    ViViTConfig,
)
from framemix.models.i3d import I3D
from framemix.models.nonlocal_net import NonLocalNet
from framemix.models.tsn import TSM, TSN
from framemix.models.video_transformer import VideoTransformer
from framemix.models.vivit import ViViT
from framemix.validation import describe_error

CONFIGS: dict[
    str,
    type[ViViTConfig] | type[NonLocalConfig] | type[FrameNetConfig] | type[TransformersConfig],
] = {
    "vivit": ViViTConfig,
    "nonlocal": NonLocalConfig,
    "tsn": FrameNetConfig,
    "tsm": FrameNetConfig,
    "i3d": FrameNetConfig,
    "transformers": TransformersConfig,
}
NETWORKS: dict[str, type[nn.Module]] = {
    "vivit": ViViT,
    "nonlocal": NonLocalNet,
    "tsn": TSN,
    "tsm": TSM,
    "i3d": I3D,
    "transformers": VideoTransformer,
}


def build_model(config: ModelConfig | Mapping[str, Any]) -> nn.Module:
    """A network with fresh weights, the same under the same `torch.manual_seed`.

    Raises ModelError, naming key, value and what is allowed, when `config` does not describe one.
    """
    if isinstance(config, Mapping):
        config = parse_config(config)
    return NETWORKS[config.architecture](**config.model_dump(exclude={"architecture"}))


def parse_config(config: Mapping[str, Any]) -> ModelConfig:
    """The configuration of the named `architecture`; raises ModelError like `build_model`."""
    architecture = config.get("architecture")
    check_choice("architecture", architecture, CONFIGS)
    kind = CONFIGS[str(architecture)]
    try:
        return kind.model_validate(dict(config))
    except ValidationError as error:
        raise ModelError(describe_error(error, kind)) from None
