"""How ViViT is fine-tuned (params.yaml: finetune). Its own file: pretraining does not need it."""

from typing import Literal

from framemix.models.config import FinetuneMode
from framemix.training.settings import TrainingSettings

Task = Literal["drowsy_class", "alert_drowsy", "three_state"]


class FinetuneSettings(TrainingSettings):
    """Fine-tuning of ViViT on UTA-RLDD: which part is trained, on which classes."""

    mode: FinetuneMode
    task: Task
