"""How networks are pretrained (params.yaml: pretrain).

Free of torch, so that stages that do not train can check params.yaml at no cost.
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
    """Pretraining, a section a network."""

    vivit: PretrainViViT
    nonlocal_: PretrainNonLocal = Field(alias="nonlocal")
