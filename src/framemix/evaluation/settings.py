"""What the report shows (params.yaml: evaluate)."""

from pydantic import Field, model_validator

from framemix.datasets.reversals import check_reversals
from framemix.validation import Settings


class EvaluateSettings(Settings):
    """How models are evaluated and pictured."""

    batch_size: int = Field(ge=1, description="clips at a time")
    views: int = Field(ge=1, description="variants of a val clip whose probabilities are averaged")
    pictured_clips: int = Field(ge=1, description="clips of each dataset that are pictured")
    reversed_classes: list[tuple[str, str]] = Field(
        description="pairs of classes that are each other's time reversal"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "EvaluateSettings":
        check_reversals(self.reversed_classes)
        return self
