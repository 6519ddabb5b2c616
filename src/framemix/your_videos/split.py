"""Divides users' own clips into train, val and test."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from framemix.datasets.clips import Clip
from framemix.datasets.groups import leak_share
from framemix.datasets.splits import classes_without, divided, group_split, random_split
from framemix.errors import DatasetError
from framemix.validation import Settings, misfit


class YourSplit(Settings):
    """Which clips train and which validate. A test subset that is given stays one."""

    by: Literal["given", "group", "random"] = Field(description="what clips are divided by")
    folds: int = Field(ge=2, description="parts that take turns in validating")
    fold: int = Field(ge=0, description="the part that validates, from 0")
    seed: int = Field(ge=0, description="of what is drawn into the parts")

    @model_validator(mode="after")
    def _fold_exists(self) -> "YourSplit":
        if self.fold >= self.folds:
            raise misfit(f"{{fold}} = {self.fold}: allowed: 0 to {{folds}} - 1 = {self.folds - 1}")
        return self


def split_clips(clips: Sequence[Clip], settings: YourSplit) -> tuple[list[Clip], dict[str, Any]]:
    """Return every kept clip with its subset, and statistics of the split.

    Clips that the dataset calls test stay in test, which chooses nothing. Where subsets are given
    without val, a part of train validates, by group. A clip without a group is a group of its own;
    where no clip has a group, clips are divided at random within each class. Raises DatasetError
    where a side would be empty.
    """
    kept = [clip for clip in clips if clip.kept]
    free = [place for place, clip in enumerate(kept) if _is_free(clip, kept, settings)]
    sides = _sides([kept[place] for place in free], settings)
    subsets = [clip.subset for clip in kept]
    for place, side in zip(free, sides, strict=True):
        subsets[place] = side
    for side in ("train", "val"):
        if side not in subsets:
            raise DatasetError(
                f"your_videos.split.by = {settings.by}: no {side} clip among {len(kept)}; "
                f"allowed: {_better(kept, settings)}"
            )
    return divided(kept, subsets), _described(kept, subsets)


def _is_free(clip: Clip, kept: Sequence[Clip], settings: YourSplit) -> bool:
    """Return whether the settings choose a clip's side, and not the dataset."""
    if clip.subset == "test":
        return False
    has_val = any(other.subset == "val" for other in kept)
    return settings.by != "given" or (clip.subset == "train" and not has_val)


def _sides(clips: Sequence[Clip], settings: YourSplit) -> Sequence[str]:
    chosen = {"folds": settings.folds, "fold": settings.fold, "seed": settings.seed}
    classes = [clip.class_name for clip in clips]
    if settings.by == "random" or not any(clip.group for clip in clips):
        return random_split(classes, **chosen)
    groups = [clip.group or clip.video for clip in clips]
    if clips and settings.folds > (there := len(set(groups))):
        raise DatasetError(
            f"your_videos.split.folds = {settings.folds}: {there} groups; "
            f"allowed: at most one fold for each group, or your_videos.split.by = random"
        )
    return group_split(classes, groups, scope="dataset", **chosen)


def _better(kept: Sequence[Clip], settings: YourSplit) -> str:
    if settings.by != "given":
        return "more clips, or another your_videos.split.fold"
    without = sum(not clip.subset for clip in kept)
    return f"group or random, as {without} clips come without a subset"


def _described(clips: Sequence[Clip], subsets: Sequence[str]) -> dict[str, Any]:
    classes = [clip.class_name for clip in clips]
    grouped = all(clip.group for clip in clips)
    held_out = "test" if "test" in subsets else "val"
    sides = ["val" if side == held_out else side for side in subsets]
    leak = leak_share([clip.group for clip in clips], sides) if grouped else None
    return {
        **{f"{side}_clips": subsets.count(side) for side in ("train", "val", "test")},
        "leak_share": leak,
        "classes_without_train": classes_without("train", classes, subsets),
        "classes_without_val": classes_without("val", classes, subsets),
    }
