"""What the report shows (params.yaml: evaluate)."""

from pydantic import BaseModel, ConfigDict, Field


class EvaluateSettings(BaseModel):
    """How models are evaluated and pictured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(ge=1)
    views: int = Field(ge=1)
    pictured_clips: int = Field(ge=1)
