"""Lists a folder's videos as the stage filter does, and counts a video's frames."""

from contextlib import ExitStack
from functools import cache
from pathlib import Path

from framemix.datasets.clips import Clip
from framemix.datasets.intake import FilterSettings, list_clips
from framemix.datasets.layouts.layout import Layout, find_videos
from framemix.datasets.layouts.ucf101 import UCF101
from framemix.jobs.cluster import Cluster, _connected
from framemix.jobs.execution import Execution
from framemix.jobs.isolation import Limits
from framemix.video.reading import examine

LIMITS = Limits(seconds=60, memory_mb=1024)
# What is open until the tests of a file end.
_open = ExitStack()


def execution(scratch: Path, workers: int | None = None, limits: Limits = LIMITS) -> Execution:
    """What a stage's units are done by: so many new workers, or the two that a test file shares."""
    return Execution(scratch, Cluster(workers) if workers else shared_workers(), limits)


@cache
def shared_workers() -> Cluster:
    """Two workers that a test file starts once: most of what they cost is their start."""
    client = _open.enter_context(_connected(Cluster(2), 2))
    return Cluster(2, client.scheduler.address)


def end_workers() -> None:
    """End the shared workers."""
    shared_workers.cache_clear()
    _open.close()


def listed(
    root: Path,
    scratch: Path,
    *layouts: Layout,
    min_frames: int,
    workers: int | None = None,
    limits: Limits = LIMITS,
    clip_seconds: float | None = None,
) -> list[Clip]:
    """Rows of what the first of `layouts` that fits, else UCF101's, finds in `root`."""
    return list_clips(
        find_videos(layouts or (UCF101,), root, "data.ucf101"),
        root,
        FilterSettings(min_frames=min_frames),
        execution(scratch, workers, limits),
        keys=("data.ucf101", "filter"),
        label="list",
        clip_seconds=clip_seconds,
    )


def count_frames(path: Path) -> int:
    """How many frames ffmpeg shows."""
    return examine(path).frames
