"""Checks that the models' constructors share."""

from collections.abc import Iterable

from framemix.errors import ModelError


def check_choice(key: str, value: object, allowed: Iterable[object]) -> None:
    """Raise ModelError unless `value`, given as `key`, is one of those allowed."""
    allowed = list(allowed)
    if value not in allowed:
        raise ModelError(f"{key} = {value!r}: allowed: {', '.join(map(repr, allowed))}")
