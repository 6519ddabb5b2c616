"""The training settings that pretraining, fine-tuning and the study share.

This module does not import torch, so that stages that do not train can check params.yaml quickly.
"""

from typing import Annotated, Literal

from pydantic import Field

from framemix.models.trained_on import Select
from framemix.validation import Settings

Seed = Annotated[int, Field(ge=0, lt=2**64)]  # what torch takes
Sampling = Literal["uniform", "balanced"]
Precision = Literal["auto", "fp32", "bf16"]
LoggerName = Literal["csv", "tensorboard", "dvclive", "mlflow", "wandb"]


class AugmentSettings(Settings):
    """Random changes to a training clip, the same for all its frames so that motion stays intact.

    `mixup` and `cutmix` blend pairs of clips; they are the alpha of Beta(alpha, alpha), 0 is off.
    """

    shift: float = Field(ge=0, le=0.5, description="most that a clip moves, share of its sides")
    flip: bool = Field(description="whether half of the clips are mirrored")
    brightness: float = Field(ge=0, le=1, description="most change, deviations of ImageNet")
    contrast: float = Field(ge=0, le=1, description="most change, as a share")
    mixup: float = Field(ge=0, description="alpha of two clips' shares; 0: off")
    cutmix: float = Field(ge=0, description="alpha of the area cut from another clip; 0: off")


class TrainingSettings(Settings):
    """One training run. A step has `batch_size` clips, on however many devices and in any parts."""

    epochs: int = Field(ge=1, description="passes over the training clips")
    patience: int | None = Field(ge=1, description="epochs without a better one; null: any")
    select: Select = Field(description="the epoch that is kept, and which clips choose it")
    batch_size: int = Field(ge=1, description="clips per step, on all devices together")
    accumulate: int = Field(ge=1, description="parts of a step that are computed in turn")
    sampling: Sampling = Field(description="whether clips or classes are equally likely")
    optimizer: Literal["adamw", "sgd"] = Field(description="AdamW, or SGD of momentum 0.9")
    learning_rate: float = Field(gt=0, description="the highest, after the warm-up")
    layer_decay: float = Field(gt=0, le=1, description="a depth's rate divided by the next; 1: off")
    weight_decay: float = Field(ge=0, description="of matrices and kernels")
    warmup_epochs: float = Field(ge=0, description="epochs in which the rate rises; 0: none")
    schedule: Literal["cosine", "constant"] = Field(description="after the warm-up")
    label_smoothing: float = Field(ge=0, lt=1, description="share of a label for all classes")
    clip_norm: float | None = Field(gt=0, description="highest norm of the gradient; null: any")
    ema_decay: float | None = Field(gt=0, lt=1, description="decay of averaged weights; null: none")
    precision: Precision = Field(description="auto: bf16 where the device has it")
    augment: AugmentSettings

    @property
    def recipe(self) -> "TrainingSettings":
        """The same without what a stage sets beside it."""
        return TrainingSettings(**{name: getattr(self, name) for name in TRAINING_KEYS})


TRAINING_KEYS = tuple(TrainingSettings.model_fields)
