"""What preparing and reading mixed clips costs, against the least that it could.

Times of one machine at one hour say little: each figure is a ratio of two ways that take
turns, so that whatever else the machine does falls on both.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from framemix.datasets.mix import mix_video
from framemix.datasets.sample.actions import ActionVideo
from framemix.errors import VideoError
from framemix.mixing import MixSettings
from framemix.store import IndexRow, MixedStore, write_shard
from framemix.tables import write_table
from framemix.video.reading import count_frames, describe, stream_frames

TURNS = 7
SEGMENTS = 8  # as paper B
CLIPS = 32  # 59 MB: more than a processor's cache holds
RENDERED = ("SlideLeft", "SpinClockwise", "Grow", "Hop")


@dataclass(frozen=True)
class Ratio:
    """How long `what` takes in the time of `against`, median over the turns: wall and CPU."""

    what: str
    against: str
    wall: float
    cpu: float


@dataclass(frozen=True)
class Cost:
    """Seconds that a turn took."""

    wall: float
    cpu: float


def bench_data(videos: Sequence[Path], turns: int = TURNS) -> list[Ratio]:
    """Mix `videos`, or some that it renders, and read a store; return what they cost.

    Raises VideoError for a video that cannot be mixed.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = _random_store(Path(folder))
        costs = take_turns(
            {
                **_mixing(videos or _rendered(Path(folder))),
                "reading a store": partial(store.read, store.index),
                "reading a memory-mapped file": partial(_read_plain, _plain_copy(store)),
            },
            turns,
        )
    return [
        _ratio(costs, "mixing as rgb24", "decoding with decord"),
        _ratio(costs, "mixing as yuv420p", "mixing as rgb24"),
        _ratio(costs, "reading a store", "reading a memory-mapped file"),
    ]


def take_turns(tasks: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[Cost]]:
    """Run all tasks once unmeasured, then `turns` times one after another; return their costs."""
    costs: dict[str, list[Cost]] = {name: [] for name in tasks}
    for turn in range(turns + 1):
        for name, task in tasks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
            if turn:
                costs[name].append(cost)
    return costs


def table(ratios: Sequence[Ratio]) -> str:
    """Return the ratios as a Markdown table."""
    width = max(len(f"{ratio.what} / {ratio.against}") for ratio in ratios)
    rows = [f"| {'ratio':{width}} | wall | CPU  |", f"| {'-' * width} | ---: | ---: |"]
    for ratio in ratios:
        name = f"{ratio.what} / {ratio.against}"
        rows.append(f"| {name:{width}} | {ratio.wall:4.2f} | {ratio.cpu:4.2f} |")
    return "\n".join(rows)


def _ratio(costs: Mapping[str, Sequence[Cost]], what: str, against: str) -> Ratio:
    # Of the two that ran next to each other: a slow minute is in both.
    pairs = list(zip(costs[what], costs[against], strict=True))
    wall = median(one.wall / other.wall for one, other in pairs)
    return Ratio(what, against, wall, median(one.cpu / other.cpu for one, other in pairs))


def _mixing(videos: Sequence[Path]) -> dict[str, Callable[[], object]]:
    """Return the tasks that decode and mix all of `videos`."""
    frames = {video: count_frames(video) for video in videos}
    for video, count in frames.items():
        if count < SEGMENTS:
            raise VideoError(f"{video}: {count} frames; allowed: at least {SEGMENTS}")
    sizes = {video: _even_size(video) for video in videos}

    def decode() -> None:
        for video in videos:
            for _ in stream_frames(video, size=sizes[video], fit="squeeze"):
                pass

    def mix(pixel_format: str) -> None:
        for video in videos:
            for _ in mix_video(video, frames[video], _settings(sizes[video], pixel_format)):
                pass

    return {
        "decoding with decord": decode,
        "mixing as rgb24": partial(mix, "rgb24"),
        "mixing as yuv420p": partial(mix, "yuv420p"),
    }


def _even_size(video: Path) -> tuple[int, int]:
    info = describe(video)
    return 2 * max(1, info.height // 2), 2 * max(1, info.width // 2)


def _settings(size: tuple[int, int], pixel_format: str) -> MixSettings:
    return MixSettings.model_validate(
        {
            "method": "linear",
            "segments": SEGMENTS,
            "frames_per_segment": "all",
            "window": "all",
            "size": size,
            "fit": "squeeze",
            "pixel_format": pixel_format,
        }
    )


def _rendered(folder: Path) -> list[Path]:
    """Render a few of the sample's videos, as large as UCF101's."""
    videos = []
    for action in RENDERED:
        videos.append(folder / f"{action}.avi")
        ActionVideo(seed=0, action=action, group=1, clip=1, shortest=150).write(videos[-1])
    return videos


def _random_store(folder: Path) -> MixedStore:
    """Write a store of random clips of UCF101's size."""
    settings = _settings((240, 320), "rgb24")
    shape = (CLIPS, settings.segments, *settings.frame_shape)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_shard(folder / "a.h5", clips, CLIPS, settings)
    rows = [
        IndexRow(clip=str(i), class_name="a", label=0, shard="a.h5", row=i, frames=150)
        for i in range(CLIPS)
    ]
    write_table(folder / "index.csv", IndexRow, rows)
    return MixedStore(folder)


def _plain_copy(store: MixedStore) -> Path:
    """Write the bytes of a store, and nothing else, beside it."""
    path = store.folder / "plain.npy"
    np.save(path, store.read(store.index))
    return path


def _read_plain(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Read clip by clip, as a store does."""
    mapped = np.load(path, mmap_mode="r")
    batch = np.empty(mapped.shape, np.uint8)
    for place, clip in enumerate(mapped):
        batch[place] = clip
    return batch
