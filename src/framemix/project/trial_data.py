"""Measures what the data stages take here: a few videos go through them, on all workers.

The disk and DVC's hash, which bound the large stores, are tried too.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from framemix.datasets.clips import Stretch
from framemix.datasets.cutting import cut_and_examine
from framemix.datasets.sample.actions import ActionVideo
from framemix.datasets.sample.faces import FaceVideo
from framemix.errors import VideoError
from framemix.jobs.cluster import Cluster, map_tasks
from framemix.jobs.isolation import isolated
from framemix.mixing.files import mix_variants
from framemix.project.params import Params
from framemix.video.reading import Reader, VideoInfo, describe, examine
from framemix.video.writing import video_writer

Result = TypeVar("Result")
BLOCK, BLOCKS = 2**22, 64  # bytes, and how many are written and read: 268 MB
NOISE_WIDTH, NOISE_HEIGHT, NOISE_FPS = 320, 240, 25  # UCF101's


@dataclass(frozen=True)
class Disk:
    """Bytes a second that are written to a disk, read from it, read again from memory, or hashed.

    `hashed` is the rate of one thread; DVC has several.
    """

    written: float
    read: float
    cached: float
    hashed: float


@dataclass(frozen=True)
class Trial:
    """A drawn video to write, and a dataset's video that goes through the stages.

    Without a `source`, that is the drawn one.
    """

    drawn: ActionVideo | FaceVideo
    source: tuple[Path, Stretch | None] | None
    folder: Path
    params: Params

    @property
    def file(self) -> Path:
        """The file of the drawn video."""
        return self.folder / f"drawn.{'avi' if isinstance(self.drawn, ActionVideo) else 'mp4'}"

    @property
    def clip(self) -> Path:
        """The file of the clip that is cut out of a driver's video."""
        return self.folder / "clip.mp4"


@dataclass(frozen=True)
class Tried:
    """Seconds that each stage's work took for a video or a clip, and the bytes of its file."""

    seconds: Mapping[str, float]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class DataTrial:
    """The tried videos of actions and of drivers, and the seconds that starting workers took."""

    actions: Sequence[Tried]
    drivers: Sequence[Tried]
    start: float

    def has(self, stage: str) -> bool:
        """Return whether any video went through a stage."""
        return any(stage in one.seconds for one in (*self.actions, *self.drivers))


def mean_of(values: Sequence[Mapping[str, float]], stage: str) -> float:
    """Return the mean of those that have one for the stage."""
    return fmean(one[stage] for one in values if stage in one)


def try_videos(trials: Sequence[Trial], workers: int) -> DataTrial:
    """Put the videos through the data stages, on as many processes as those would have."""
    began, cluster = time.monotonic(), Cluster(workers)
    drawn = [*map_tasks(_draw, trials, cluster=cluster, label="draw videos")]
    busy = sum(one.seconds["sample"] for one in drawn) / min(workers, len(trials))
    start = max(0.0, time.monotonic() - began - busy)
    # Not together with drawing, which keeps two processes of each worker busy.
    passed = [*map_tasks(_pass_through, trials, cluster=cluster, label="try videos")]
    tried = [
        Tried({**one.seconds, **other.seconds}, {**one.sizes, **other.sizes})
        for one, other in zip(drawn, passed, strict=True)
    ]
    actions = [isinstance(trial.drawn, ActionVideo) for trial in trials]
    return DataTrial(
        actions=[one for one, is_action in zip(tried, actions, strict=True) if is_action],
        drivers=[one for one, is_action in zip(tried, actions, strict=True) if not is_action],
        start=start,
    )


def try_disk(folder: Path, threads: int) -> Disk:
    """Write a file into `folder`, read it with so many threads, and delete it."""
    block, size = os.urandom(BLOCK), BLOCK * BLOCKS
    file = folder / "disk"
    with file.open("wb", buffering=0) as out:
        _, written = timed(partial(_fill, out, block))
    with file.open("rb") as stream, ThreadPoolExecutor(threads) as pool:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        _, read = timed(partial(_read, stream.fileno(), pool))
        _, cached = timed(partial(_read, stream.fileno(), pool))
    file.unlink()
    _, hashed = timed(partial(hashlib.md5, block))
    return Disk(size / written, size / read, size / cached, BLOCK / hashed)


def write_noise(path: Path, frames: int) -> Path:
    """Write a video of noise, of UCF101's size, where a dataset has no video to try."""
    generator = np.random.default_rng(0)
    how: dict[str, Any] = {"fps": NOISE_FPS, "codec": "xvid"}
    with video_writer(path, width=NOISE_WIDTH, height=NOISE_HEIGHT, **how) as write:
        for _ in range(frames):
            write(generator.integers(0, 256, (NOISE_HEIGHT, NOISE_WIDTH, 3), np.uint8))
    return path


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what `work` returns, and the seconds that it took."""
    began = time.monotonic()
    result = work()
    return result, time.monotonic() - began


def _fill(out: Any, block: bytes) -> None:
    for _ in range(BLOCKS):
        out.write(block)
    os.fsync(out.fileno())


def _read(file: int, pool: ThreadPoolExecutor) -> None:
    list(pool.map(lambda place: len(os.pread(file, BLOCK, place * BLOCK)), range(BLOCKS)))


def _draw(trial: Trial) -> Tried:
    trial.folder.mkdir()
    _, seconds = timed(partial(trial.drawn.write, trial.file))
    return Tried({"sample": seconds}, {"sample": trial.file.stat().st_size})


def _pass_through(trial: Trial) -> Tried:
    """Do each stage's work with one video; with one that a stage would reject, up to that stage."""
    source, stretch = trial.source or (trial.file, None)
    steps = _action_steps if isinstance(trial.drawn, ActionVideo) else _driver_steps
    seconds: dict[str, float] = {}
    with suppress(VideoError):
        info = isolated(_describe, source, trial.params.runtime.limits)
        seconds.update(steps(trial, source, stretch, info))
    return Tried(seconds, {"resize": trial.clip.stat().st_size} if trial.clip.is_file() else {})


def _describe(source: Path) -> VideoInfo:
    """Describe a video: being of this module, it loads the libraries of all steps.

    A worker's first file waits for them, and none of those that a stage has later does.
    """
    return describe(source)


def _action_steps(
    trial: Trial, source: Path, stretch: Stretch | None, info: VideoInfo
) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each stage's work with a video of an action."""
    limits = trial.params.runtime.limits
    video, seconds = timed(lambda: isolated(examine, source, limits))
    yield "filter", seconds
    frames = len(video.within(stretch)) if stretch else video.frames
    reader: Reader = "pyav" if stretch else video.reader
    yield "mix@ucf101", _mixing(trial, source, frames, reader, stretch)


def _driver_steps(
    trial: Trial, source: Path, stretch: Stretch | None, info: VideoInfo
) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each stage's work with a clip from the middle of a driver's video."""
    resize, limits = trial.params.resize, trial.params.runtime.limits
    first, end = stretch or (0.0, info.seconds)
    end = min(end, info.seconds)
    start = max(first, (first + end - resize.frames / resize.fps) / 2)
    cut = partial(cut_and_examine, target=trial.clip, info=info, start=start, settings=resize)
    clip, seconds = timed(lambda: isolated(cut, source, limits))
    yield "resize", seconds
    yield "mix@rldd", _mixing(trial, trial.clip, clip.frames, clip.reader, None)


def _mixing(
    trial: Trial, path: Path, frames: int, reader: Reader, stretch: Stretch | None
) -> float:
    mix = partial(
        mix_variants,
        frames=frames,
        settings=trial.params.mix,
        clip=path.name,
        reader=reader,
        stretch=stretch,
    )
    _, seconds = timed(lambda: isolated(mix, path, trial.params.runtime.limits))
    return seconds
