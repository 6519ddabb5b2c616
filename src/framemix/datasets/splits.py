"""Divides clips into train and val: at random, by group or subject, or by the datasets' lists.

The clips of the chosen fold validate, and all others train.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import Field, model_validator

from framemix.datasets.clips import Clip, Subset
from framemix.datasets.groups import Scope, clusters_of, leak_share
from framemix.errors import DatasetError
from framemix.validation import Settings, misfit

Key = TypeVar("Key", bound=Hashable)

# The drivers' states that each fine-tuning task (finetune.task) learns.
TASK_STATES = {
    "drowsy_class": ("drowsy",),
    "alert_drowsy": ("alert", "drowsy"),
    "three_state": ("alert", "low_vigilant", "drowsy"),
}
FOLDS = tuple(f"fold{number}" for number in range(1, 6))  # UTA-RLDD's own folds
# UCF101's lists <name>NN.txt, and the subset that they name.
OFFICIAL_LISTS: dict[str, Subset] = {"trainlist": "train", "testlist": "val"}


class SplitSettings(Settings):
    """How clips are divided (params.yaml: split)."""

    strategy: Literal["random", "group", "official1", "official2", "official3"] = Field(
        description="how UCF101's clips are divided"
    )
    group_scope: Scope = Field(description="in which a gNN is one group")
    folds: int = Field(ge=2, description="parts that take turns in validating")
    fold: int = Field(ge=0, description="the part that validates, from 0")
    seed: int = Field(ge=0, description="of what is drawn into the parts")
    rldd: Literal["subject", "random", "fold1", "fold2", "fold3", "fold4", "fold5"] = Field(
        description="how UTA-RLDD's clips are divided"
    )

    @model_validator(mode="after")
    def _fold_exists(self) -> "SplitSettings":
        if self.fold >= self.folds:
            raise misfit(f"{{fold}} = {self.fold}: allowed: 0 to {{folds}} - 1 = {self.folds - 1}")
        return self


def split_videos(
    videos: Sequence[Clip], settings: SplitSettings, lists: Path
) -> tuple[list[Clip], dict[str, Any]]:
    """Return every kept video with its side by `split.strategy`, and statistics of the split.

    The statistics are the clips on each side, the share of val clips with a sibling of the same
    group (by `group_scope`) in train (None if videos have no groups), and the classes that one side
    lacks. Raises DatasetError when a side is empty.
    """
    kept = [video for video in videos if video.kept]
    classes = [video.class_name for video in kept]
    subsets = _video_subsets(kept, settings, lists)
    if len(set(subsets)) < 2:
        raise DatasetError(
            f"split.strategy = {settings.strategy}: all {len(kept)} clips are in {subsets[0]}; "
            f"allowed: {_two_sided(kept, settings) or 'several clips of a class'}"
        )
    clusters = clusters_of(kept, settings.group_scope)
    statistics = {
        "train_clips": subsets.count("train"),
        "val_clips": subsets.count("val"),
        "leak_share": leak_share(clusters, subsets) if all(v.group for v in kept) else None,
        "classes_without_train": ", ".join(classes_without("train", classes, subsets)),
        "classes_without_val": ", ".join(classes_without("val", classes, subsets)),
    }
    return divided(kept, subsets), statistics


def split_drivers(clips: Sequence[Clip], settings: SplitSettings, task: str) -> list[Clip]:
    """Return every kept clip with its side: by subject, at random, or by the dataset's fold.

    Raises DatasetError where one side lacks a state that fine-tuning for `task` needs there.
    """
    rows = _divided_drivers(clips, settings)
    if lacking := states_lacking(rows, task):
        raise DatasetError(
            f"{_chosen(settings)}: no {lacking[0]}, which finetune.task = {task} needs; "
            f"allowed: {_other_folds(clips, settings, task)}"
        )
    return rows


def states_lacking(rows: Iterable[Clip], task: str) -> list[str]:
    """Return the clips of drivers that fine-tuning for `task` needs and lacks: "alert val clip".

    It needs every state of the task on both sides. drowsy_class is validated by actions too, and
    needs no drowsy val clip: see `without_drowsy_val`.
    """
    sides = ("train",) if task == "drowsy_class" else ("train", "val")
    there = {(row.class_name, row.subset) for row in rows}
    states = TASK_STATES[task]
    wanted = [(state, side) for side in sides for state in states]
    return [f"{state} {side} clip" for state, side in wanted if (state, side) not in there]


def without_drowsy_val(clips: Sequence[Clip], settings: SplitSettings) -> str | None:
    """Return the consequence of a split without drowsy val clips, and which folds have some."""
    if _validates_drowsy(_divided_drivers(clips, settings)):
        return None
    return (
        f"{_chosen(settings)}: no drowsy val clip: drowsy_accuracy will be null; "
        f"allowed: {_other_folds(clips, settings, 'drowsy_class')}"
    )


def split_the_rest(clips: Sequence[Clip], folds: int) -> list[Clip]:
    """Return all clips; kept ones without a subset go to train or val, at random in each class.

    One of `folds` parts validates.
    """
    free = [place for place, clip in enumerate(clips) if clip.kept and not clip.subset]
    classes = [clips[place].class_name for place in free]
    subsets = dict(zip(free, random_split(classes, folds=folds, fold=0, seed=0), strict=True))
    given = [subsets.get(place, clip.subset) for place, clip in enumerate(clips)]
    return divided(clips, given)


def require_sides(clips: Sequence[Clip], what: str) -> None:
    """Raise DatasetError where train or val has no kept clip; `what` is the key and its value.

    For videos that their dataset or `split_the_rest` has divided.
    """
    sides = [clip.subset for clip in clips if clip.kept]
    for side in ("train", "val"):
        if side not in sides:
            raise DatasetError(
                f"{what}: none of {len(sides)} kept videos is in {side}; allowed: videos that its "
                f"folders or lists put into both train and val, or into neither, several of a class"
            )


def divided(clips: Sequence[Clip], subsets: Sequence[str]) -> list[Clip]:
    """Return each clip with its subset."""
    return [
        clip.model_copy(update={"subset": subset})
        for clip, subset in zip(clips, subsets, strict=True)
    ]


def random_split(classes: Sequence[str], *, folds: int, fold: int, seed: int) -> list[Subset]:
    """Split clips at random within each class; `classes` names the class of each clip.

    A class of one clip trains; a class of fewer clips than folds has one that validates.
    """
    generator = np.random.default_rng(seed)
    subsets: list[Subset] = ["train"] * len(classes)
    for offset, name in enumerate(sorted(set(classes))):
        members = generator.permutation([i for i, c in enumerate(classes) if c == name])
        size = len(members)
        # With an offset, the clips that do not divide evenly are spread over the folds.
        for place, member in enumerate(members):
            turn = (place + offset) % folds if size >= folds else place
            if size > 1 and turn == (fold if size >= folds else fold % size):
                subsets[member] = "val"
    return subsets


def group_split(
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    scope: Scope,
    folds: int,
    fold: int,
    seed: int,
) -> list[Subset]:
    """Split clips so that no group is on both sides.

    With `scope` class, each class has its own groups (UCF101 numbers them in each class), and every
    class of two groups or more has val clips. With `scope` dataset, a name is the same person in
    all classes.
    """
    generator = np.random.default_rng(seed)
    scopes = list(classes) if scope == "class" else [""] * len(classes)
    validating: set[tuple[str, str]] = set()
    for offset, name in enumerate(sorted(set(scopes))):
        sizes = Counter(group for s, group in zip(scopes, groups, strict=True) if s == name)
        chosen = _balanced_fold(sizes, folds, fold, offset, generator)
        validating |= {(name, group) for group in chosen}
    return ["val" if key in validating else "train" for key in zip(scopes, groups, strict=True)]


def classes_without(subset: str, classes: Sequence[str], subsets: Sequence[str]) -> list[str]:
    """Return the classes that have no clip in `subset`."""
    present = {c for c, s in zip(classes, subsets, strict=True) if s == subset}
    return sorted(set(classes) - present)


def read_official_split(lists: Path, number: int) -> dict[str, Subset]:
    """Return the subset of each video of UCF101's split, by lower-case path.

    The lists and the files differ in the case of HandstandPushups. Raises DatasetError where a list
    is missing or cannot be read.
    """
    subsets: dict[str, Subset] = {}
    for name, subset in OFFICIAL_LISTS.items():
        path = lists / f"{name}{number:02}.txt"
        if not path.is_file():
            raise DatasetError(
                f"data.ucf101_lists = {lists}: no {path.name} in it; allowed: the folder "
                f"ucfTrainTestlist of UCF101's recognition task, or another split.strategy"
            )
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise DatasetError(f"{path}: not in UTF-8; allowed: UCF101's list as it is") from None
        subsets |= {line.split()[0].lower(): subset for line in lines if line.strip()}
    return subsets


def _video_subsets(videos: Sequence[Clip], settings: SplitSettings, lists: Path) -> list[Subset]:
    classes, groups = [v.class_name for v in videos], [v.group or v.video for v in videos]
    chosen = {"folds": settings.folds, "fold": settings.fold, "seed": settings.seed}
    if settings.strategy == "random":
        return random_split(classes, **chosen)
    if settings.strategy == "group":
        if not any(video.group for video in videos):
            raise DatasetError(
                f"split.strategy = group: none of {len(videos)} videos comes with a group; "
                f"allowed: random, or a list with a column group"
            )
        there = len(set(groups))
        if settings.group_scope == "dataset" and settings.folds > there:
            raise DatasetError(
                f"split.folds = {settings.folds}: {there} groups; allowed: at most one fold a group"
            )
        return group_split(classes, groups, scope=settings.group_scope, **chosen)
    official = read_official_split(lists, int(settings.strategy.removeprefix("official")))
    unlisted = [video.video for video in videos if video.video.lower() not in official]
    if unlisted:
        raise DatasetError(
            f"split.strategy = {settings.strategy}: {len(unlisted)} of {len(videos)} videos are in "
            f"no list, {unlisted[0]} first; allowed: random or group where videos are not UCF101's"
        )
    return [official[video.video.lower()] for video in videos]


def _two_sided(videos: Sequence[Clip], settings: SplitSettings) -> str:
    """Return the strategies without lists that leave clips on both sides."""
    strategies: tuple[Literal["random", "group"], ...] = ("random", "group")
    fits = []
    for strategy in strategies:
        other = settings.model_copy(update={"strategy": strategy})
        try:
            sides = set(_video_subsets(videos, other, Path()))
        except DatasetError:  # more folds than groups
            continue
        fits += [strategy] * (len(sides) == 2)
    return " or ".join(fits)


def _divided_drivers(clips: Sequence[Clip], settings: SplitSettings) -> list[Clip]:
    kept = [clip for clip in clips if clip.kept]
    return divided(kept, _driver_subsets(kept, settings))


def _chosen(settings: SplitSettings) -> str:
    """Return the keys and values of the drivers' split."""
    fold = "" if settings.rldd in FOLDS else f", split.fold = {settings.fold}"
    return f"split.rldd = {settings.rldd}{fold}"


def _other_folds(clips: Sequence[Clip], settings: SplitSettings, task: str) -> str:
    """Return the folds in which the task has all states and drowsy clips validate."""
    by_folder = settings.rldd in FOLDS
    key, values = ("rldd", FOLDS) if by_folder else ("fold", list(range(settings.folds)))
    fits = []
    for value in values:
        rows = _divided_drivers(clips, settings.model_copy(update={key: value}))
        fits += [str(value)] * (not states_lacking(rows, task) and _validates_drowsy(rows))
    return f"split.{key} = {' or '.join(fits)}" if fits else "another split.rldd, or more drivers"


def _validates_drowsy(rows: Iterable[Clip]) -> bool:
    return any((row.class_name, row.subset) == ("drowsy", "val") for row in rows)


def _driver_subsets(clips: Sequence[Clip], settings: SplitSettings) -> list[Subset]:
    folds, fold, seed = settings.folds, settings.fold, settings.seed
    states, subjects = [clip.class_name for clip in clips], [clip.group for clip in clips]
    if settings.rldd == "random":
        return random_split(states, folds=folds, fold=fold, seed=seed)
    if settings.rldd == "subject":
        return group_split(states, subjects, scope="dataset", folds=folds, fold=fold, seed=seed)
    if clips and not any(clip.subset in FOLDS for clip in clips):
        raise DatasetError(
            f"split.rldd = {settings.rldd}: none of {len(clips)} clips is of one of UTA-RLDD's "
            f"folds; allowed: subject or random"
        )
    return ["val" if clip.subset == settings.rldd else "train" for clip in clips]


def _balanced_fold(
    sizes: Counter[Key], folds: int, fold: int, offset: int, generator: np.random.Generator
) -> list[Key]:
    """Return the groups of part `fold` of `folds`, which have about the same number of clips.

    With fewer groups than folds, each part is one group, which a later fold uses again; a single
    group is in no part.
    """
    order = sorted(sizes, key=str)
    order = [order[i] for i in generator.permutation(len(order))]
    if len(order) < folds:
        return [order[fold % len(order)]] if len(order) > 1 else []
    parts: dict[int, list[Key]] = defaultdict(list)
    clips = [0] * folds
    # The largest group goes into the smallest part; ties go in turn, each class from another part.
    for group in sorted(order, key=lambda g: -sizes[g]):
        part = min(range(folds), key=lambda p: (clips[p], len(parts[p]), (p + offset) % folds))
        parts[part].append(group)
        clips[part] += sizes[group]
    return parts[fold]
