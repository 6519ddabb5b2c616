"""A trained model as one function from mixed clips to probabilities, whatever computes it."""

# B clips, S segments, H x W pixels, K classes

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from framemix.errors import ModelError
from framemix.mixing import MixSettings, Pixels
from framemix.models.calibration import Calibration
from framemix.models.trained_on import TrainedOn
from framemix.validation import describe_error

Probabilities = NDArray[np.float32]
ROUNDED = 1e-3  # rounding may move a probability this far out of [0, 1]


@dataclass(frozen=True)
class Classifier:
    """The parts of a model that prediction needs; errors name it by `name`.

    `compute` maps stored clips uint8 (B, S, *mix.frame_shape) to float32 (B, K), the unchecked
    output, in which a calibration's temperature is included. `trained_on` is None for a model
    without a record, `calibration` for one that was not calibrated.
    """

    name: Path | str
    classes: list[str]
    mix: MixSettings
    compute: Callable[[Pixels], Probabilities]
    trained_on: TrainedOn | None = None
    calibration: Calibration | None = None

    def probabilities(self, clips: Pixels) -> Probabilities:
        """Stored clips uint8 (B, S, *mix.frame_shape) -> float32 (B, K), all from 0 to 1.

        Raises ModelError for outputs of another shape or range, and for values that are not finite.
        """
        outputs = self.compute(clips)
        if outputs.shape != (len(clips), len(self.classes)):
            raise ModelError(
                f"{self.name}: outputs of shape {outputs.shape}; "
                f"allowed: {(len(clips), len(self.classes))}, one for each clip and class"
            )
        right = (outputs >= -ROUNDED) & (outputs <= 1 + ROUNDED)  # false for nan
        if not right.all():
            raise ModelError(
                f"{self.name}: outputs {outputs[~right][0]}; allowed: probabilities, from 0 to 1"
            )
        return outputs


def mix_of(settings: dict[str, Any], name: Path | str) -> MixSettings:
    """Return the checked mix settings of the model `name`. Raises ModelError."""
    try:
        return MixSettings.model_validate(settings)
    except ValidationError as error:
        raise ModelError(f"{name}: mix settings: {describe_error(error, MixSettings)}") from None
