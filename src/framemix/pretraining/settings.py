"""The settings of pretraining (params.yaml: pretrain).

This module does not import torch, so that stages that do not train can check params.yaml quickly.
"""

from pydantic import Field

from framemix.models.config import ModelSettings, NonLocalSettings, ViViTSettings
from framemix.training.settings import TrainingSettings
from framemix.validation import Settings


class PretrainModel(TrainingSettings):
    """Pretraining of any network."""

    model: ModelSettings


class PretrainViViT(PretrainModel):
    """Pretraining of ViViT."""

    model: ViViTSettings


class PretrainNonLocal(PretrainModel):
    """Pretraining of the Non-local network."""

    model: NonLocalSettings


class PretrainSettings(Settings):
    """Pretraining, with one section per network."""

    vivit: PretrainViViT
    nonlocal_: PretrainNonLocal = Field(alias="nonlocal")
