"""Classes that are each other's time reversal."""

from collections import Counter
from collections.abc import Sequence

from framemix.validation import misfit

Pairs = Sequence[tuple[str, str]]


def partners(pairs: Pairs) -> dict[str, str]:
    """Return the class of a class's videos played backward, for all classes of the pairs."""
    return dict(pairs) | {backward: forward for forward, backward in pairs}


def check_reversals(pairs: Pairs) -> None:
    """Raise a `misfit` of {reversed_classes} where a class stands twice in the pairs."""
    for forward, backward in pairs:
        if forward == backward:
            raise misfit(
                f"{{reversed_classes}} = [{forward}, {backward}]: allowed: pairs of two classes"
            )
    names = Counter(name for pair in pairs for name in pair)
    if again := [name for name, count in names.items() if count > 1]:
        raise misfit(
            f"{{reversed_classes}}: {again[0]} stands in several pairs; allowed: every class once"
        )
