"""What was measured on labelled clips of new people, as a calibrated model's file keeps it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Calibration(BaseModel):
    """A temperature, and where the alarm for the class `alarm` starts.

    Logits are divided by `temperature` before the softmax. The alarm starts at the smoothed
    probability `on`. `usual` is the class's log odds, the median over people of each one's median,
    while they were not in that class's state.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float = Field(gt=0)
    alarm: str
    on: Share
    usual: float
