"""The study's classes that are each other's time reversal."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from framemix.datasets.clips import Clip, clip_name
from framemix.errors import DatasetError
from framemix.store.sources import Source

# The suffix of a clip's name if it is its video played backward.
BACKWARD = " backward"
NAMED = 10  # classes that an error names; the others are counted


def require_pairs(pairs: Sequence[tuple[str, str]], classes: Collection[str], key: str) -> None:
    """Raise DatasetError where the videos of `key` have one class of a pair but not the other.

    Such a pair has a typo. A pair of which they have neither class is another dataset's.
    """
    for pair in pairs:
        missing = [name for name in pair if name not in classes]
        if len(missing) == 1:
            raise DatasetError(
                f"frame_mixup.reversed_classes = [{', '.join(pair)}]: {missing[0]} is no class of "
                f"{key}; allowed: {_like(missing[0], classes)}"
            )


def evaluated_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Return the kept clips of the evaluation: those of test, or of val if there are none."""
    kept = [clip for clip in clips if clip.kept]
    return [c for c in kept if c.subset == "test"] or [c for c in kept if c.subset == "val"]


def with_reversals(sources: Sequence[Source], partners: Mapping[str, str]) -> list[Source]:
    """Return the sources, followed by those of the evaluation played backward.

    `partners` has the class that videos of a class show when they are played backward; videos of
    other classes have no such clip. The name of the second clip is `<video>` with BACKWARD.
    """
    labels = {source.class_name: source.label for source in sources}
    asked = {clip_name(clip) for clip in evaluated_clips([source.clip for source in sources])}
    return [
        *sources,
        *(
            replace(
                source,
                name=f"{source.name}{BACKWARD}",
                class_name=partner,
                label=labels[partner],
                backward=True,
            )
            for source in sources
            if source.name in asked and (partner := partners.get(source.class_name, "")) in labels
        ),
    ]


def _like(name: str, classes: Collection[str]) -> str:
    """Return the classes, ordered by the similarity of their names to `name`."""
    ordered = sorted(classes, key=lambda one: (-SequenceMatcher(None, name, one).ratio(), one))
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{', '.join(ordered[:NAMED])}{more}"
