"""Whose clips are: what is on both sides of a split leaks."""

from collections.abc import Hashable, Sequence
from typing import Literal

from framemix.datasets.clips import Clip, clip_name

Scope = Literal["class", "dataset"]


def clusters_of(clips: Sequence[Clip], scope: Scope) -> list[str]:
    """Return whose each clip is: its group, one of its class (`scope` class) or of all classes."""
    if scope == "dataset":
        return [clip.group for clip in clips]
    return [f"{clip.class_name}/{clip.group}" for clip in clips]


def clusters_by_name(clips: Sequence[Clip], scope: Scope) -> dict[str, str]:
    """Return `clusters_of`, by the clip's name."""
    return dict(zip(map(clip_name, clips), clusters_of(clips, scope), strict=True))


def leak_share(clusters: Sequence[Hashable], subsets: Sequence[str]) -> float | None:
    """Return the share of val clips whose cluster, a group or a subject, is in train too."""
    pairs = list(zip(clusters, subsets, strict=True))
    trained = {cluster for cluster, subset in pairs if subset == "train"}
    leaks = [cluster in trained for cluster, subset in pairs if subset == "val"]
    return sum(leaks) / len(leaks) if leaks else None
