"""What the report shows (params.yaml: evaluate)."""

from pydantic import Field

from framemix.validation import Settings


class EvaluateSettings(Settings):
    """How models are evaluated and pictured."""

    batch_size: int = Field(ge=1, description="clips at a time")
    views: int = Field(ge=1, description="variants of a val clip whose probabilities are averaged")
    pictured_clips: int = Field(ge=1, description="clips of each dataset that are pictured")
