"""The settings of fine-tuning (params.yaml: finetune)."""

from typing import Literal

from pydantic import Field, model_validator

from framemix.finetuning.task import Task
from framemix.models.config import FinetuneMode, HeadStart, Positions, TemporalStart
from framemix.training.settings import TrainingSettings
from framemix.validation import Folder, misfit


class FinetuneSettings(TrainingSettings):
    """Fine-tuning on UTA-RLDD: the first weights, the parts that are trained, and the classes."""

    start: Folder = Field(description="a model.safetensors, or a folder of a published checkpoint")
    positions: Positions = Field(description="for clips of other sizes than a checkpoint's")
    needs: Literal["ucf101", "rldd"] = Field(description="whose clips must be there, for DVC")
    mode: FinetuneMode = Field(description="the parts that are trained")
    task: Task = Field(description="the classes that are learnt")
    head: HeadStart = Field(description="what the last layer starts from")
    temporal: TemporalStart = Field(description="what the temporal layers start from")
    split: Literal["shared", "redrawn"] = Field(description="UCF101's, as in pretraining or not")

    @model_validator(mode="after")
    def _fits_together(self) -> "FinetuneSettings":
        if self.task != "drowsy_class":
            for key, value in (("head", "extend"), ("split", "redrawn")):
                if getattr(self, key) == value:
                    raise misfit(
                        f"{{{key}}} = {value}: needs {{task}} = drowsy_class, which has "
                        f"the pretrained classes, not {self.task}"
                    )
        elif self.needs == "rldd":
            raise misfit("{needs} = rldd: allowed with {task} = drowsy_class: ucf101")
        if self.temporal == "reinit" and self.mode == "fc":
            raise misfit("{temporal} = reinit: needs a {mode} that trains these layers, not fc")
        return self
