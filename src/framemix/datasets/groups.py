"""Groups of clips, and the share of a split's val clips whose group is in train too."""

from collections.abc import Hashable, Sequence
from typing import Literal

from framemix.datasets.clips import Clip, clip_name

Scope = Literal["class", "dataset"]


def clusters_of(clips: Sequence[Clip], scope: Scope) -> list[str]:
    """Return the group of each clip; with `scope` class, it is one of the clip's class only.

    A clip without a group is a group of its own.
    """
    groups = [clip.group or clip.video for clip in clips]
    if scope == "dataset":
        return groups
    return [f"{clip.class_name}/{group}" for clip, group in zip(clips, groups, strict=True)]


def clusters_by_name(clips: Sequence[Clip], scope: Scope) -> dict[str, str]:
    """Return the group of each clip (see `clusters_of`) by the clip's name."""
    return dict(zip(map(clip_name, clips), clusters_of(clips, scope), strict=True))


def leak_share(clusters: Sequence[Hashable], subsets: Sequence[str]) -> float | None:
    """Return the share of val clips whose cluster, a group or a subject, is also in train."""
    pairs = list(zip(clusters, subsets, strict=True))
    trained = {cluster for cluster, subset in pairs if subset == "train"}
    leaks = [cluster in trained for cluster, subset in pairs if subset == "val"]
    return sum(leaks) / len(leaks) if leaks else None
