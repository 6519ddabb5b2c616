"""The speed of preparing and reading mixed clips, beside other ways of doing it."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import ffmpeg
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from framemix.benchmarks.synthetic import store_of, whole_video
from framemix.benchmarks.timing import Comparison, Speed, Task, compare
from framemix.datasets.sample.actions import ActionVideo
from framemix.errors import FramemixError, VideoError
from framemix.mixing import MixSettings, mix_windows
from framemix.mixing.files import mix_video
from framemix.store import MixedStore
from framemix.training.data import ClipDataset, Example, ordered_loader
from framemix.video.reading import ExaminedVideo, describe, examine
from framemix.video.writing import FFMPEG, cut_clip

try:
    import decord
except ImportError:  # it has no wheel for ARM
    decord = None

TURNS = 8
LONG_TURNS = 1  # of what takes minutes
SEGMENTS = 8  # as paper B
SIZE = (240, 320)  # of UCF101
CLIPS = 32  # 59 MB: more than a processor's cache holds
RENDERED = ("SlideLeft", "SpinClockwise", "Grow", "Hop")
WORKERS = (0, 1, 2)
# A video of UTA-RLDD: ten minutes of 1280x720, of which a few clips of 5 s are kept.
MINUTES, CUT_CLIPS, CLIP_FRAMES, FPS = 10, 4, 150, 30

MIXING = (
    Comparison("mixing as rgb24", "decoding with decord", cpu=0.8),
    Comparison("mixing as yuv420p", "mixing as rgb24", wall=2.5, cpu=2.5),
    Comparison("mixing as yuv420p, 2 workers", "mixing as yuv420p, 1 worker", wall=1.8),
)
READING = (
    Comparison("reading a store", "reading a memory-mapped file", wall=0.8, cpu=0.8),
    *(
        Comparison(f"loading, {workers} workers", f"decoding again, {workers} workers", wall=50)
        for workers in WORKERS
    ),
)
CUTTING = (
    # Clips are a thirtieth of the video; half of each cut goes to the frames before it.
    Comparison("cutting clips", "transcoding the video", wall=15, cpu=15),
    Comparison("cutting clips", "cutting clips of a minute", wall=0.8, cpu=0.8),
)


def bench_data(
    videos: Sequence[Path], turns: int = TURNS, long_turns: int = LONG_TURNS
) -> list[Speed]:
    """Mix `videos`, or some that it renders, read a store, cut clips; return how fast that is.

    Raises VideoError for a video that cannot be mixed, FramemixError where there is no decord.
    """
    if decord is None:
        raise FramemixError("bench data: compares with decord, which is not installed here")
    with tempfile.TemporaryDirectory() as name, ExitStack() as pools:
        folder = Path(name)
        chosen = videos or _rendered(folder)
        mixing = _mixing(_examined(chosen), pools)
        return [
            *compare(mixing, MIXING, turns),
            *compare(_reading(folder, chosen), READING, turns),
            *compare(_cutting(folder), CUTTING, long_turns),
        ]


def _mixing(videos: Mapping[Path, ExaminedVideo], pools: ExitStack) -> dict[str, Task]:
    """Return the tasks that decode and mix all videos."""

    def decode() -> None:
        for path in videos:
            _decode(path)

    def mix(pixel_format: str) -> None:
        for path, video in videos.items():
            _mix(path, video, pixel_format)

    return {
        "decoding with decord": Task(decode),
        "mixing as rgb24": Task(partial(mix, "rgb24")),
        "mixing as yuv420p": Task(partial(mix, "yuv420p")),
        "mixing as yuv420p, 1 worker": _mixing_in_pool(videos, 1, pools),
        "mixing as yuv420p, 2 workers": _mixing_in_pool(videos, 2, pools),
    }


def _mixing_in_pool(videos: Mapping[Path, ExaminedVideo], workers: int, pools: ExitStack) -> Task:
    # Often enough that the last video, which one worker has to itself, counts for little.
    paths, examined = [*videos] * 8, [*videos.values()] * 8
    pool = pools.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
    formats = ["yuv420p"] * len(paths)
    return Task(lambda: list(pool.map(_mix, paths, examined, formats)), cores=workers)


def _decode(video: Path) -> None:
    """Decode as users of decord do, frame by frame."""
    height, width = _even_size(video)
    reader = decord.VideoReader(str(video), width=width, height=height, num_threads=1)
    for _ in range(len(reader)):
        reader.next().asnumpy()


def _mix(path: Path, video: ExaminedVideo, pixel_format: str) -> None:
    settings = _settings(_even_size(path), pixel_format)
    for _ in mix_video(path, video.frames, settings, reader=video.reader):
        pass


def _reading(folder: Path, videos: Sequence[Path]) -> dict[str, Task]:
    """Return the tasks that read a store, and those that do without one."""
    store = _random_store(folder)
    tasks = {
        "reading a store": Task(lambda: store.read(store.index)),
        "reading a memory-mapped file": Task(partial(_read_plain, _plain_copy(store))),
    }
    stored = ClipDataset([Example(store, row, 0) for row in store.index] * 4)
    again = _Decoded(videos)
    for workers in WORKERS:
        loader = ordered_loader(stored, 16, workers)
        decoding = DataLoader(again, 16, num_workers=workers, persistent_workers=workers > 0)
        tasks[f"loading, {workers} workers"] = Task(partial(_run, loader), len(stored), 2)
        tasks[f"decoding again, {workers} workers"] = Task(partial(_run, decoding), len(videos), 2)
    return tasks


class _Decoded(Dataset[torch.Tensor]):
    """A frame from the middle of each segment, decoded when asked for.

    What those do who sample frames while they train, as mmaction2 and VideoMAE.
    """

    def __init__(self, videos: Sequence[Path]) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, place: int) -> torch.Tensor:
        height, width = SIZE
        reader = decord.VideoReader(
            str(self.videos[place]), width=width, height=height, num_threads=1
        )
        windows = mix_windows(
            len(reader), segments=SEGMENTS, method="none", frames_per_segment="all"
        )
        frames = reader.get_batch([window.start for window in windows])
        return torch.from_numpy(frames.asnumpy())


def _run(loader: Iterable[object]) -> None:
    for _ in loader:
        pass


def _cutting(folder: Path) -> dict[str, Task]:
    """Return the tasks that cut clips out of long videos, and one that transcodes all."""
    video, minute = folder / "long.mp4", folder / "minute.mp4"
    _write_long(video, MINUTES)
    _write_long(minute, 1)
    cut = partial(cut_clip, stream=0, fps=FPS, width=SIZE[1], height=SIZE[0])

    def clips(source: Path, minutes: int) -> None:
        for number in range(CUT_CLIPS):
            start = 60 * minutes * (2 * number + 1) / (2 * CUT_CLIPS)
            cut(source, folder / "clip.mp4", start=start, frames=CLIP_FRAMES)

    return {
        "cutting clips": Task(partial(clips, video, MINUTES)),
        "cutting clips of a minute": Task(partial(clips, minute, 1)),
        "transcoding the video": Task(
            partial(cut, video, folder / "all.mp4", start=0, frames=60 * FPS * MINUTES)
        ),
    }


def _write_long(path: Path, minutes: int) -> None:
    """Write `minutes` of HD: 10 s that are rendered, again and again."""
    master = path.with_suffix(".master.mp4")
    picture = ffmpeg.input(f"testsrc2=size=1280x720:rate={FPS}:duration=10", f="lavfi")
    encode = picture.output(str(master), vcodec="libx264", preset="veryfast", pix_fmt="yuv420p")
    encode.run(cmd=FFMPEG, overwrite_output=True)
    copy = ffmpeg.input(str(master), stream_loop=6 * minutes - 1).output(str(path), c="copy")
    copy.run(cmd=FFMPEG, overwrite_output=True)


def _examined(paths: Sequence[Path]) -> dict[Path, ExaminedVideo]:
    videos = {path: examine(path) for path in paths}
    for path, video in videos.items():
        if video.frames < SEGMENTS:
            raise VideoError(path, f"{video.frames} frames; allowed: at least {SEGMENTS}")
    return videos


def _even_size(video: Path) -> tuple[int, int]:
    info = describe(video)
    return 2 * max(1, info.height // 2), 2 * max(1, info.width // 2)


def _settings(size: tuple[int, int], pixel_format: str) -> MixSettings:
    return whole_video(size, segments=SEGMENTS, method="linear", pixel_format=pixel_format)


def _rendered(folder: Path) -> list[Path]:
    """Render a few of the sample's videos, as large as UCF101's."""
    videos = []
    for action in RENDERED:
        videos.append(folder / f"{action}.avi")
        ActionVideo(seed=0, action=action, group=1, clip=1, shortest=150).write(videos[-1])
    return videos


def _random_store(folder: Path) -> MixedStore:
    """Write a store of random clips of UCF101's size."""
    settings = _settings(SIZE, "rgb24")
    shape = (CLIPS, settings.segments, *settings.frame_shape)
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return store_of(folder, clips, CLIPS, settings)


def _plain_copy(store: MixedStore) -> Path:
    """Write the bytes of a store, and nothing else, beside it."""
    path = store.folder / "plain.npy"
    np.save(path, store.read(store.index))
    return path


def _read_plain(path: Path) -> NDArray[np.uint8]:
    """Read clip by clip, as a store does."""
    mapped = np.load(path, mmap_mode="r")
    batch = np.empty(mapped.shape, np.uint8)
    for place, clip in enumerate(mapped):
        batch[place] = clip
    return batch
