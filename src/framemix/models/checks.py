"""Checks that the models' constructors share."""

from collections.abc import Iterable

from torch import Tensor

from framemix.errors import ModelError
from framemix.validation import named


def check_choice(key: str, value: object, allowed: Iterable[object]) -> None:
    """Raise ModelError unless `value`, given as `key`, is one of those allowed."""
    allowed = list(allowed)
    if value not in allowed:
        raise ModelError(f"{key} = {value!r}: allowed: {', '.join(map(repr, allowed))}")


def check_fit(misfit: str | None) -> None:
    """Raise ModelError where arguments do not fit together (see `config.vivit_misfit`)."""
    if misfit:
        raise ModelError(named(misfit))


def check_outputs(outputs: Tensor) -> None:
    """Raise ModelError for outputs of a network, logits or probabilities, that are not finite."""
    if not outputs.isfinite().all():
        wrong = outputs[~outputs.isfinite()][0].item()
        raise ModelError(f"the network outputs {wrong}; allowed: weights whose outputs are finite")
