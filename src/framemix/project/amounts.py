"""How much data the pipeline will work on: counts of its videos and clips, before it runs."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from framemix.datasets.clips import STATE_NUMBERS, STATES, Clip, class_labels
from framemix.datasets.layouts import rldd
from framemix.datasets.layouts.actions import find_actions
from framemix.datasets.layouts.drivers import find_drivers
from framemix.datasets.layouts.layout import Found, FoundVideos
from framemix.datasets.sample import action_tasks
from framemix.datasets.sample.actions import ACTIONS
from framemix.datasets.splits import TASK_STATES
from framemix.errors import DatasetError
from framemix.mixing import MixSettings
from framemix.project.params import Params
from framemix.tables import read_table

Find = Callable[[Path, str], FoundVideos]
UCF101_VIDEOS, UCF101_KEPT = 13320, {150: 7688}  # all, and those of at least so many frames
UCF101_CLASSES = 101
RLDD_SECONDS = 600  # of each video


@dataclass(frozen=True)
class Count:
    """The number of clips that will be mixed of a dataset, and a line about its source.

    `videos` are the files that the stage before reads, and `classes` those of the clips.
    """

    clips: int
    videos: int
    classes: int
    line: str


@dataclass(frozen=True)
class Sides:
    """The train and val clips of a training, and those that evaluate its models at its end."""

    train: int
    val: int
    evaluated: int

    @classmethod
    def of(cls, clips: int, folds: int) -> "Sides":
        """Return the sides of so many clips, of which one fold validates."""
        val = round(clips / folds)
        return cls(clips - val, val, val)


@dataclass(frozen=True)
class Places:
    """The paths, in a checkout, of the sample, the tables, the store, the cache and scratch."""

    sample: Path
    videos: Path
    clips: Path
    store: Path
    cache: Path
    scratch: Path


def count_videos(params: Params, places: Places) -> Count:
    """Return the number of videos of data.ucf101 to mix: from the filter's table, or a bound."""
    root, least, what = params.data.ucf101, params.filter.min_frames, "to mix of data.ucf101"
    videos = found_in(find_actions, root, "data.ucf101")
    if rows := listed(places.videos, videos):
        kept, classes = sum(row.kept for row in rows), len(class_labels(rows))
        line = f"{what}: {kept} videos, those kept in {places.videos}"
        return Count(kept, len(rows), classes, line)
    if root.is_relative_to(places.sample):
        classes = len(ACTIONS) - 1  # the videos of one action are all too short
        rendered = classes * params.sample.groups * params.sample.clips_per_group
        line = f"{what}: about {rendered} videos, from the section sample"
        return Count(rendered, len([*action_tasks(root, params.sample)]), classes, line)
    usable = [video for video in videos if not video.reason]
    found = len(usable) or UCF101_VIDEOS
    classes = len({video.label for video in usable}) or UCF101_CLASSES
    if found == UCF101_VIDEOS and least in UCF101_KEPT:
        kept = UCF101_KEPT[least]
        line = f"{what}: {kept} videos, UCF101's of {least} frames or more"
        return Count(kept, found, classes, line)
    line = f"{what}: at most {found} videos, all there are; filter has yet to run"
    return Count(found, found, classes, line)


def count_clips(params: Params, places: Places) -> Count:
    """Return the number of clips of data.rldd to mix: from the table of clips, or an estimate.

    The estimate assumes that each video is as long as UTA-RLDD's, or the sample's.
    """
    root, resize, what = params.data.rldd, params.resize, "to mix of data.rldd"
    found, states = found_in(find_drivers, root, "data.rldd"), len(resize.states)
    if rows := listed(places.clips, found):
        kept, files = sum(row.kept for row in rows), len({row.video for row in rows})
        return Count(kept, files, states, f"{what}: {kept} clips, those kept in {places.clips}")
    videos = Counter(STATE_NUMBERS[one.label] for one in found if not one.reason)
    if sample := root.is_relative_to(places.sample):
        videos = Counter(dict.fromkeys(STATES, params.sample.subjects))
    elif not videos:
        videos = Counter(dict.fromkeys(STATES, rldd.SUBJECTS))
    seconds = params.sample.seconds if sample else RLDD_SECONDS
    each = int(seconds * resize.fps // resize.frames)
    most = resize.clips or each * max(videos.values())
    clips = sum(min(each * videos[state], most) for state in resize.states)
    used = sum(videos[state] for state in resize.states)
    line = f"{what}: about {clips} clips, of {used} videos of {seconds:g} s"
    if resize.clips is not None:
        line += f", resize.clips = {resize.clips} a state at most"
    return Count(clips, used, states, line)


def training_clips(params: Params, actions: Count, drivers: Count) -> dict[str, Sides]:
    """Return the clips of each training stage, by the split's rule that one fold validates.

    The states of drivers are taken to have as many clips each.
    """
    task, states = params.finetune.task, params.resize.states
    learnt = round(drivers.clips * len(TASK_STATES[task]) / len(states))
    learnt += actions.clips if task == "drowsy_class" else 0
    folds = params.split.folds
    pretraining = Sides.of(actions.clips, folds)
    finetuning, held_out = Sides.of(learnt, folds), Sides.of(drivers.clips, folds).val
    return {
        "pretrain@vivit": pretraining,
        "pretrain@nonlocal": pretraining,
        "finetune": replace(finetuning, evaluated=finetuning.val + held_out),
    }


def found_in(find: Find, root: Path, key: str) -> list[Found]:
    """Return what is in the dataset `root`, the value of `key`; nothing where it is none."""
    try:
        return find(root, key)
    except DatasetError:
        return []


def listed(table: Path, found: Iterable[Found]) -> list[Clip]:
    """Return the rows of a table if it lists exactly the videos found now, else none."""
    rows = read_table(table, Clip) if table.is_file() else []
    return rows if {row.video for row in rows} == {one.video for one in found} else []


def stored_bytes(mix: MixSettings) -> int:
    """Return the bytes that the store holds of each clip, all its variants together."""
    return mix.variants * mix.segments * prod(mix.frame_shape)


def readable_size(size: float) -> str:
    """Return a number of bytes as "12 MB" or "3.4 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
