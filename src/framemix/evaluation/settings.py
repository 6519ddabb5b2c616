"""What the report shows (params.yaml: evaluate)."""

from pydantic import Field

from framemix.validation import Settings


class EvaluateSettings(Settings):
    """How models are evaluated and pictured."""

    batch_size: int = Field(ge=1)
    views: int = Field(ge=1)
    pictured_clips: int = Field(ge=1)
