"""The study's classes that are each other's time reversal."""

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher

from framemix.errors import DatasetError

NAMED = 10  # of many classes; the others are counted


def partners(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return what videos of a class show when they are played backward, where that is a class."""
    return dict(pairs) | {backward: forward for forward, backward in pairs}


def require_pairs(pairs: Sequence[tuple[str, str]], classes: Collection[str], key: str) -> None:
    """Raise DatasetError where the videos of `key` have one class of a pair and not the other.

    Such a pair is a typo. Of which they have neither is another dataset's.
    """
    for pair in pairs:
        missing = [name for name in pair if name not in classes]
        if len(missing) == 1:
            raise DatasetError(
                f"frame_mixup.reversed_classes = [{', '.join(pair)}]: {missing[0]} is no class of "
                f"{key}; allowed: {_like(missing[0], classes)}"
            )


def _like(name: str, classes: Collection[str]) -> str:
    """Return the classes, those first that are written the most like `name`."""
    ordered = sorted(classes, key=lambda one: (-SequenceMatcher(None, name, one).ratio(), one))
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{', '.join(ordered[:NAMED])}{more}"
