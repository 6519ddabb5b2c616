"""From a folder of videos to suitable settings: `framemix use`."""

import tempfile
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from framemix.datasets.clips import class_labels
from framemix.datasets.intake import list_clips
from framemix.datasets.layouts.layout import Found, find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.named_groups import looks_like_parts, with_groups
from framemix.datasets.origin import origin_of
from framemix.errors import DatasetError
from framemix.jobs.execution import Execution
from framemix.jobs.terminal import print_text
from framemix.project.params import PARAMS, Params, RuntimeSettings
from framemix.project.pipelines import activate
from framemix.project.profiles import apply_values
from framemix.your_videos.settings import YourVideos
from framemix.your_videos.survey import Survey, described, survey

PIPELINE = "your_videos"
TRIED = 4  # clips of each class that go through all stages


def look(path: Path, params: Params, *, decode: bool) -> Survey:
    """Examine all videos of a folder or list, and print a summary.

    Raises DatasetError where fewer than two classes have a video that can be opened, and where
    your_videos.group_pattern, if it was set for these videos, finds no group for one of them.
    """
    found = find_videos(LABELLED, path, "framemix use")
    notices, yours = list(found.notices), _chosen_for(path, params.your_videos)
    if yours.group_pattern is not None:
        found[:] = with_groups(found, yours.group_pattern, "your_videos.group_pattern")
    elif parts := looks_like_parts(found):
        notices.append(
            f"{' and '.join(parts)} look like parts of one recording, which should be on one side "
            f"of a split: name groups, in a list or with your_videos.group_pattern."
        )
    seen = survey(path, found, notices, yours, decode=decode, limits=params.runtime.limits)
    classes = Counter(one.found.label for one in seen.usable)
    if len(classes) < 2:
        there = ", ".join(classes) or "none"
        raise DatasetError(
            f"{path}: videos that can be opened are of {len(classes)} classes ({there}); "
            f"allowed: two classes or more"
        )
    mix = yours.mix.model_copy(update={"segments": seen.segments})
    print_text(described(seen, mix, decode=decode))
    return seen


def write_settings(found: Survey) -> list[str]:
    """Write the suitable settings, activate the pipeline, and return the changes as lines."""
    changes = apply_values({PIPELINE: found.settings()}, PARAMS, Path("framemix use"))
    activate(PIPELINE)
    return [f"{PARAMS}: {line}" for line in changes] or [f"{PARAMS} has these settings already"]


def try_out(found: Survey, params: Params) -> str:
    """Run a few clips of each class through every stage, one epoch, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="framemix-") as name:
        clips = _run_through(found, params.your_videos, params.runtime, Path(name))
    return f"every stage ran through with {clips} clips"


def _chosen_for(path: Path, yours: YourVideos) -> YourVideos:
    """Return the settings, without those that someone has chosen for other videos."""
    if yours.data.resolve() == path.resolve():
        return yours
    return yours.model_copy(update={"group_pattern": None, "clip_seconds": None})


def _run_through(found: Survey, yours: YourVideos, runtime: RuntimeSettings, folder: Path) -> int:
    """Do the work of all stages in `folder`; return the number of clips."""
    # Imported here, because it takes seconds.
    import torch

    from framemix.store import MixedStore
    from framemix.store.build import build_store
    from framemix.store.sources import sources_of
    from framemix.training.run import Machine
    from framemix.your_videos.report import write_report
    from framemix.your_videos.split import split_clips
    from framemix.your_videos.train import train

    execution = partial(Execution, cluster=runtime.cluster, limits=runtime.limits)
    clips = list_clips(
        _few(found),
        found.root,
        yours.videos,
        execution(folder / "list"),
        keys=("your_videos.data", "your_videos.videos"),
        label="list a few videos",
        clip_seconds=found.clip_seconds,
    )
    split, _ = split_clips(clips, yours.split.model_copy(update={"by": "random", "fold": 0}))
    sources = sources_of(clips, found.root, class_labels(clips))
    build_store(sources, folder / "mixed", yours.mix, execution(folder / "mix"))
    store, cpu = MixedStore(folder / "mixed"), torch.device("cpu")
    train(
        store,
        split,
        yours.train.model_copy(update={"epochs": 1, "warmup_epochs": 0.0, "seeds": (0,)}),
        origin=origin_of(found.root),
        target=folder / "model",
        machine=Machine(cpu, 1, 1, 0, False, folder / "train"),
        views=yours.evaluate.views,
    )
    report: dict[str, Any] = {"target": folder / "report", "metrics": folder / "metrics.json"}
    write_report(folder / "model", store, split, yours.evaluate, device=cpu, **report)
    return len(split)


def _few(found: Survey) -> list[Found]:
    """Return the first usable videos of each class."""
    classes: dict[str, list[Found]] = defaultdict(list)
    for one in found.usable:
        if one.frames >= found.segments:
            classes[one.found.label].append(one.found)
    return [one for videos in classes.values() for one in videos[:TRIED]]
