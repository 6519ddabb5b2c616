"""Mixes the videos of a dataset into its store."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from framemix.cluster import Cluster
from framemix.codetree import code_fingerprint
from framemix.datasets.records import (
    BACKWARD,
    STATES,
    Clip,
    LabelledVideo,
    Video,
    class_labels,
    judged,
)
from framemix.errors import MixingError, VideoError
from framemix.isolation import Limits, isolated
from framemix.mixing import MixSettings, Pixels, mix_ranges, mix_windows
from framemix.scratch import Unit, finished, link
from framemix.store import IndexRow, shard_name, write_shard
from framemix.tables import write_table
from framemix.video.planes import stream_planes
from framemix.video.reading import stream_frames, video_files

# A class of UCF101 at paper A's 150 frames then makes files of about 1 GB.
CLIPS_PER_SHARD = 32
# In the scratch folder, where it must not change with a label: another class may come or go.
SHARD = "shard.h5"
READERS = {"rgb24": stream_frames, "yuv420p": stream_planes}


@dataclass(frozen=True)
class Source:
    """A video to mix: its clip name, path, class, label, and how many frames it has.

    A `backward` one is mixed from its last frame to its first.
    """

    clip: str
    path: Path
    class_name: str
    label: int
    frames: int
    backward: bool = False


def video_sources(videos: Iterable[Video], root: Path) -> list[Source]:
    """Return the kept videos below `root` as sources of mixed clips."""
    kept = [video for video in videos if video.kept]
    labels = class_labels(kept)
    return [
        Source(v.video, root.absolute() / v.video, v.class_name, labels[v.class_name], v.frames)
        for v in kept
    ]


def labelled_sources(
    videos: Sequence[LabelledVideo], root: Path, partners: Mapping[str, str]
) -> list[Source]:
    """Return the kept videos in `root` as sources of mixed clips, the judged ones backward too.

    `partners` names the class that videos of a class show when they are played backward. Where
    there is one, a second clip of that class is called `<video>` and BACKWARD.
    """
    kept = [video for video in videos if video.kept]
    labels = class_labels(kept)

    def source(video: LabelledVideo, class_name: str, *, backward: bool) -> Source:
        return Source(
            clip=video.video + BACKWARD * backward,
            path=root.absolute() / video.video,
            class_name=class_name,
            label=labels[class_name],
            frames=video.frames,
            backward=backward,
        )

    return [
        *(source(video, video.class_name, backward=False) for video in kept),
        *(
            source(video, partners[video.class_name], backward=True)
            for video in judged(kept)
            if partners.get(video.class_name) in labels
        ),
    ]


def clip_sources(clips: Sequence[Clip], folder: Path) -> list[Source]:
    """Return the kept clips, files of `folder`, as sources of mixed clips."""
    labels = {state: label for label, state in enumerate(STATES.values())}
    return [
        Source(
            clip.clip,
            folder.absolute() / f"{clip.clip}.mp4",
            clip.state,
            labels[clip.state],
            clip.frames,
        )
        for clip in clips
        if clip.kept
    ]


def build_store(
    sources: Sequence[Source],
    folder: Path,
    settings: MixSettings,
    *,
    scratch: Path,
    cluster: Cluster,
    limits: Limits,
) -> None:
    """Mix every source into a new store at `folder`, its shards side by side.

    Raises VideoError when a video does not have the frames that the source promises.
    """
    shards = _shards(sources)
    units = [
        Unit(
            folder=scratch,
            make=partial(_mix_shard, members, settings, limits),
            settings={"clips": [(m.clip, m.frames) for m in members], **settings.model_dump()},
            files=[file for member in members for file in video_files(member.path)],
            code=code_fingerprint(__file__),
        )
        for members in shards.values()
    ]
    with finished(scratch, units, cluster=cluster, label="mix shards") as done:
        for name, unit in zip(shards, done, strict=True):
            link(unit / SHARD, folder / name)
    rows = [
        IndexRow(
            clip=m.clip,
            class_name=m.class_name,
            label=m.label,
            shard=name,
            row=i * settings.variants,
            frames=m.frames,
        )
        for name, members in shards.items()
        for i, m in enumerate(members)
    ]
    write_table(folder / "index.csv", IndexRow, rows)


def mix_video(
    path: Path, frames: int, settings: MixSettings, *, backward: bool = False
) -> Iterator[Pixels]:
    """Yield the mixed frames, uint8 `settings.frame_shape`, of a video of `frames` frames.

    Of `settings.window` itself, the first variant; with `backward`, of its frames in reverse, which
    are then all in memory. Raises VideoError when the video is too short; when it is too long, only
    where the window is all of it, because finding out takes decoding it to its end.
    """
    plain = settings.model_copy(update={"variants": 1})
    for _, mixed in _mixed(path, frames, plain, backward=backward):
        yield mixed


def mix_variants(
    path: Path, frames: int, settings: MixSettings, *, backward: bool = False
) -> Pixels:
    """Return all variants of a video's mixed clip, uint8 (variants, S, *settings.frame_shape).

    In one pass over the video; `backward` as in `mix_video`. Raises VideoError as that does.
    """
    count = settings.variants * settings.segments
    clips = np.empty((count, *settings.frame_shape), np.uint8)
    for place, mixed in _mixed(path, frames, settings, backward=backward):
        clips[place] = mixed
    return rearrange(clips, "(k s) ... -> k s ...", k=settings.variants)


def _mixed(
    path: Path, frames: int, settings: MixSettings, *, backward: bool
) -> Iterator[tuple[int, Pixels]]:
    """Yield the mixed frames of all variants as they come, each with its place among all."""
    how: dict[str, Any] = settings.model_dump(include={"segments", "method", "frames_per_segment"})
    try:
        starts, (_, length) = settings.starts(frames), settings.span(frames)
        first = min(starts)
        ranges = [
            range(start - first + window.start, start - first + window.stop)
            for start in starts
            for window in mix_windows(length, **how)
        ]
        read = READERS[settings.pixel_format]
        total = max(starts) - first + length
        stream: Iterator[Pixels] = islice(
            read(path, size=settings.size, fit=settings.fit), first, None
        )
        if backward:
            # With what is behind them, which tells a video that is too long.
            stream = chain(list(islice(stream, total))[::-1], stream)
        yield from mix_ranges(stream, ranges, total=total, method=settings.method)
    except MixingError as error:
        raise VideoError(f"{path}: cannot be mixed: {error}") from None
    if settings.window == "all":
        seen = ranges[-1].stop + sum(1 for _ in stream)
        if seen != frames:
            raise VideoError(f"{path}: cannot be mixed: {seen} frames, not {frames} as its table")


def _shards(sources: Sequence[Source]) -> dict[str, list[Source]]:
    """Return the sources of each shard by its name, in the order of labels and clips."""
    shards: dict[str, list[Source]] = {}
    ordered = sorted(sources, key=lambda source: (source.label, source.clip))
    for _, members in groupby(ordered, key=lambda source: source.label):
        clips = list(members)
        for start in range(0, len(clips), CLIPS_PER_SHARD):
            first, number = clips[start], start // CLIPS_PER_SHARD
            name = shard_name(first.class_name, first.label, number)
            shards[name] = clips[start : start + CLIPS_PER_SHARD]
    return shards


def _mix_shard(
    sources: Sequence[Source], settings: MixSettings, limits: Limits, folder: Path
) -> None:
    variants = (
        isolated(
            partial(mix_variants, frames=s.frames, settings=settings, backward=s.backward),
            s.path,
            limits,
        )
        for s in sources
    )
    count = len(sources) * settings.variants
    write_shard(folder / SHARD, chain.from_iterable(variants), count, settings)
