"""From a video file to the input of a network: mixed as a whole, or window by window.

This module does not import torch, because the subprocess that decodes should start fast.
"""

# S segments

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from framemix.errors import MixingError, VideoError
from framemix.jobs.isolation import Limits, isolated_items
from framemix.jobs.progress import track
from framemix.mixing import MixSettings, Pixels
from framemix.mixing.files import mix_video
from framemix.mixing.rolling import RollingMix
from framemix.video.clock import steady
from framemix.video.fitting import Fit
from framemix.video.live import opened_live
from framemix.video.reading import ExaminedVideo, VideoInfo, describe, examine, stream_frames

# For any file: enough for hours of video.
USUAL_LIMITS = Limits(seconds=600, memory_mb=4096, names=(None, None))
# Clips that the subprocess sends, and the network takes, at a time.
BATCH = 16
SLACK = 1.5
# Frames of full size that the subprocess sends at a time.
FRAMES = 8


@dataclass(frozen=True)
class Sliding:
    """A window that slides over a video: its length and its step, in seconds.

    A `usual` window was not requested, and is as long as the model's clips: a video of up to SLACK
    times that length is still one clip, and the window has at least one frame per segment.
    """

    window: float
    step: float
    usual: bool = False

    def frames(self, fps: float, segments: int) -> int:
        """Return the number of frames of a window. Raises MixingError where it is too small."""
        frames = round(self.window * fps)
        if frames >= segments or self.usual:
            return max(frames, segments)
        raise MixingError(
            f"window = {self.window:g} s: {frames} frames at {fps:g} frames a second; "
            f"allowed: at least the model's {segments} segments"
        )

    def is_one_clip(self, length: int, fps: float) -> bool:
        """Return whether a video of `length` frames is one clip."""
        return length <= round((SLACK if self.usual else 1) * self.window * fps)


@dataclass(frozen=True)
class MixedClip:
    """A network's input from `start` to `end` seconds of a video, mixed (S, *frame_shape).

    A `whole` video is mixed as in training, whose mix settings may take a part of it only.
    """

    start: float
    end: float
    mixed: Pixels
    whole: bool = False


def clips_of(
    path: Path, mix: MixSettings, sliding: Sliding | None
) -> tuple[int, Iterator[MixedClip]]:
    """Return the number of a video's clips, and the clips: one per window, or the whole video.

    A video that is hardly longer than the window is one clip, mixed from its frames as in the
    pipeline. The length of a window is in seconds, so it slides over frames at a constant rate. The
    number of windows is computed from the header, so that a long video is decoded only once.
    Raises VideoError, and MixingError for a window of fewer frames than segments.
    """
    if sliding is None:
        return 1, _whole(path, mix, examine(path))
    info = describe(path)
    fps = frame_rate(info, path)
    length = round(info.seconds * fps)
    if sliding.is_one_clip(length, fps):
        return 1, _short(path, mix, sliding)
    rolling = rolling_mix(mix, sliding, fps)
    return 1 + max(0, length - rolling.frames) // rolling.step, _long(path, mix, sliding)


def isolated_clips(
    path: Path, mix: MixSettings, sliding: Sliding | None, limits: Limits, *, bar: bool = True
) -> Iterator[MixedClip]:
    """Yield the clips of `clips_of`, decoded in a subprocess, which a bad file may crash.

    `limits` apply to each batch of clips; with `bar`, the progress over many clips is shown.
    """

    begin = partial(_counted_clips, mix=mix, sliding=sliding)
    counted = isolated_items(begin, path, limits, batch=BATCH)
    total, first = next(counted)
    clips = chain([first], (clip for _, clip in counted))
    # No bar for a single batch: it is complete already, and its rate would mean nothing.
    label = f"windows of {path.name}"
    yield from track(clips, total=total, label=label) if bar and total > BATCH else clips


def _counted_clips(
    path: Path, *, mix: MixSettings, sliding: Sliding | None
) -> Iterator[tuple[int, MixedClip]]:
    total, clips = clips_of(path, mix, sliding)
    return ((total, clip) for clip in clips)


def shown_frames(
    path: Path, *, video: ExaminedVideo, size: tuple[int, int], fit: Fit
) -> Iterator[tuple[int, Pixels]]:
    """Yield number and picture, uint8 (H, W, 3), of the frame to show every 1 / fps seconds."""
    frames = enumerate(stream_frames(path, size=size, fit=fit, reader=video.reader))
    return steady(frames, video.times, frame_rate(video.info, path), path)


def _whole(path: Path, mix: MixSettings, video: ExaminedVideo) -> Iterator[MixedClip]:
    mixed = np.stack(list(mix_video(path, video.frames, mix, reader=video.reader)))
    first, length = mix.span(video.frames)
    ends = (*video.times[1:], video.info.seconds)
    yield MixedClip(video.times[first], ends[first + length - 1], mixed, whole=True)


def _long(path: Path, mix: MixSettings, sliding: Sliding) -> Iterator[MixedClip]:
    """Yield the windows of a video; one that ends before the first window is full is one clip."""
    windows = (clip for clip, _ in windows_of(str(path), mix, sliding, paced=False))
    first = next(windows, None)
    yield from _whole(path, mix, examine(path)) if first is None else chain([first], windows)


def _short(path: Path, mix: MixSettings, sliding: Sliding) -> Iterator[MixedClip]:
    """Yield a video as one clip, or its windows where it is longer than its header states."""
    video = examine(path)
    fps = frame_rate(video.info, path)
    length = sum(1 for _ in steady(video.times, video.times, fps, path))
    is_short = sliding.is_one_clip(length, fps)
    yield from _whole(path, mix, video) if is_short else _long(path, mix, sliding)


def windows_of(
    source: str, mix: MixSettings, sliding: Sliding, *, paced: bool
) -> Iterator[tuple[MixedClip, float]]:
    """Yield each window of a camera, a stream or a file, and when its last frame arrived.

    Files are not read by decord, which would decode a long video ahead. `paced` is that of
    `opened_live`. Raises VideoError and MixingError.
    """
    how = mix.model_dump(include={"size", "fit", "pixel_format"})
    with opened_live(source, **how, paced=paced) as live:
        rolling = rolling_mix(mix, sliding, live.fps)
        for seen, frame in enumerate(live.frames, 1):
            mixed = rolling.push(frame.pixels)
            if mixed is not None:
                clip = MixedClip((seen - rolling.frames) / live.fps, seen / live.fps, mixed)
                yield clip, frame.arrived


def rolling_mix(mix: MixSettings, sliding: Sliding, fps: float) -> RollingMix:
    """Return the mixer of a sliding window over frames at `fps`. Raises MixingError."""
    return RollingMix(
        frames=sliding.frames(fps, mix.segments),
        step=max(1, round(sliding.step * fps)),
        segments=mix.segments,
        method=mix.method,
        frames_per_segment=mix.frames_per_segment,
    )


def frame_rate(info: VideoInfo, path: Path) -> float:
    """Return the frame rate of the video at `path`. Raises VideoError when it has none."""
    if info.fps <= 0:
        raise VideoError(path, "has no frame rate")
    return info.fps
