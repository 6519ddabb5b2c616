"""Mixes a video file frame by frame, in one pass and little memory."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange

from framemix.errors import MixingError, VideoError
from framemix.mixing.frames import (
    MixSettings,
    Pixels,
    drawn_windows,
    mix_ranges,
    mix_windows,
)
from framemix.video.decoding import Stretch
from framemix.video.planes import stream_planes
from framemix.video.reading import Reader, stream_frames


def mix_video(
    path: Path,
    frames: int,
    settings: MixSettings,
    *,
    reader: Reader,
    backward: bool = False,
    stretch: Stretch | None = None,
) -> Iterator[Pixels]:
    """Yield the mixed frames, uint8 `settings.frame_shape`, of a video of `frames` frames.

    They are those of the first variant, whose window is `settings.window`. `reader` reads RGB, as
    `examine` chose. With `backward`, the frames are mixed in reverse, and are all in memory. With a
    `stretch`, only its frames count. Raises VideoError when the video is too short; when it is too
    long, only where the window is the whole video, because others are not decoded to their end.
    """
    plain = settings.model_copy(update={"variants": 1})
    stream = _frames(path, settings, reader, stretch)
    for _, mixed in _mixed(path, frames, plain, stream, clip="", backward=backward):
        yield mixed


def mix_variants(
    path: Path,
    frames: int,
    settings: MixSettings,
    *,
    clip: str,
    reader: Reader,
    backward: bool = False,
    stretch: Stretch | None = None,
) -> Pixels:
    """Return all variants of a video's mixed clip, uint8 (variants, S, *settings.frame_shape).

    This takes one pass over the video. `backward`, `reader` and `stretch` are those of `mix_video`,
    and so are the errors. The name of the `clip` and a variant's number decide what the method
    `random` draws.
    """
    count = settings.variants * settings.segments
    clips = np.empty((count, *settings.frame_shape), np.uint8)
    stream = _frames(path, settings, reader, stretch)
    for place, mixed in _mixed(path, frames, settings, stream, clip=clip, backward=backward):
        clips[place] = mixed
    return rearrange(clips, "(k s) ... -> k s ...", k=settings.variants)


def _mixed(
    path: Path,
    frames: int,
    settings: MixSettings,
    stream: Iterator[Pixels],
    *,
    clip: str,
    backward: bool,
) -> Iterator[tuple[int, Pixels]]:
    """Yield the mixed frames of all variants as they are ready, each with its place among all."""
    try:
        starts, (_, length) = settings.starts(frames), settings.span(frames)
        first = min(starts)
        ranges = [
            range(start - first + window.start, start - first + window.stop)
            for variant, start in enumerate(starts)
            for window in _windows(length, settings, clip, variant)
        ]
        total = max(starts) - first + length
        stream = islice(stream, first, None)
        if backward:
            # The frames after the window follow, so that a video that is too long is noticed.
            stream = chain(list(islice(stream, total))[::-1], stream)
        yield from mix_ranges(stream, ranges, total=total, method=settings.method)
    except MixingError as error:
        raise VideoError(path, f"cannot be mixed: {error}") from None
    if settings.window == "all":
        seen = max(one.stop for one in ranges) + sum(1 for _ in stream)
        if seen != frames:
            raise VideoError(path, f"cannot be mixed: {seen} frames, not {frames} as its table")


def _windows(length: int, settings: MixSettings, clip: str, variant: int) -> list[range]:
    """Return which of a window's frames each segment of a variant mixes."""
    if settings.method == "random" and variant > 0:
        return drawn_windows(length, segments=settings.segments, key=f"{clip} {variant}")
    return mix_windows(
        length,
        segments=settings.segments,
        method=settings.method,
        frames_per_segment=settings.frames_per_segment,
    )


def _frames(
    path: Path, settings: MixSettings, reader: Reader, stretch: Stretch | None
) -> Iterator[Pixels]:
    how: dict[str, Any] = {"size": settings.size, "fit": settings.fit, "stretch": stretch}
    if settings.pixel_format == "yuv420p":
        return stream_planes(path, **how)
    return stream_frames(path, **how, reader=reader)
