"""The study's classes that are each other's time reversal."""

from collections.abc import Sequence


def partners(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what videos of a class show when they are played backward, where that is a class."""
    return dict(pairs) | {backward: forward for forward, backward in pairs}
