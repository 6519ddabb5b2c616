"""Findings about trained models: the stage report_pretraining writes them, evaluate reads them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from framemix.evaluation.evaluator import Evaluation
from framemix.evaluation.tables import ClassRow, MetricRow, class_rows
from framemix.metrics.intervals import Estimate
from framemix.models.trained_on import caveat, kept_epoch, recipe_of


class Findings(BaseModel):
    """What tables and pages show of one model.

    `caveat` is a warning if it was trained on drawings, `kept` how its epoch was chosen,
    `training` how it was trained, by the names of params.yaml.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: list[MetricRow]
    classes: list[ClassRow]
    caveat: str | None
    kept: str
    training: dict[str, Any]

    @classmethod
    def of(cls, name: str, evaluation: Evaluation) -> "Findings":
        """Sum up the evaluation of the model that is called `name`."""
        model = evaluation.model
        return cls(
            metrics=evaluation.metrics(name),
            classes=class_rows(name, evaluation.confusion, model.classes),
            caveat=caveat(model.trained_on),
            kept=kept_epoch(model.trained_on),
            training=recipe_of(model.trained_on),
        )


class Pretraining(BaseModel):
    """What was found of the pretrained networks, ViViT and the Non-local one, by their names.

    `lead` is how much higher ViViT's top-1 is, None where that is not defined.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    networks: dict[str, Findings]
    lead: Estimate | None
