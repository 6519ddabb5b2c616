"""How a network is trained: what pretraining, fine-tuning and the study all set.

Free of torch, so that stages that do not train can check params.yaml at no cost.
"""

from typing import Annotated, Literal

from pydantic import Field

from framemix.validation import Settings

Seed = Annotated[int, Field(ge=0, lt=2**64)]  # what torch takes
Sampling = Literal["uniform", "balanced"]
Precision = Literal["auto", "fp32", "bf16"]


class AugmentSettings(Settings):
    """Random changes to a training clip, drawn once a clip so that motion stays intact.

    `mixup` and `cutmix` blend pairs of clips; they are the alpha of Beta(alpha, alpha), 0 is off.
    """

    shift: float = Field(ge=0, le=0.5)
    flip: bool
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    mixup: float = Field(ge=0)
    cutmix: float = Field(ge=0)


class TrainingSettings(Settings):
    """One training run. A step is over `batch_size` clips, however they are spread and cut up."""

    epochs: int = Field(ge=1)
    patience: int | None = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    sampling: Sampling
    optimizer: Literal["adamw", "sgd"]
    learning_rate: float = Field(gt=0)
    layer_decay: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)
    schedule: Literal["cosine", "constant"]
    label_smoothing: float = Field(ge=0, lt=1)
    clip_norm: float | None = Field(gt=0)
    ema_decay: float | None = Field(gt=0, lt=1)
    precision: Precision
    augment: AugmentSettings
