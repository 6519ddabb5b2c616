"""From a video file to what a network sees of it: mixed as a whole, or window by window.

Without torch: decoding is done in a subprocess that shall start fast.
"""

# S segments

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from framemix.errors import MixingError, VideoError
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.progress import track
from framemix.mixing import MixSettings, Pixels
from framemix.mixing.files import mix_video
from framemix.mixing.rolling import RollingMix
from framemix.video.clock import steady
from framemix.video.live import opened_live
from framemix.video.reading import describe, frame_times

# Of a file that nobody knows: enough for hours of video.
USUAL_LIMITS = Limits(seconds=600, memory_mb=4096, names=(None, None))
# Clips that come from the subprocess, and go to the network, at a time.
BATCH = 16


@dataclass(frozen=True)
class Sliding:
    """A window that slides over a video: its length and its step, in seconds."""

    window: float
    step: float


@dataclass(frozen=True)
class Clip:
    """What a network sees of a stretch of video: its ends in seconds, mixed (S, *frame_shape)."""

    start: float
    end: float
    mixed: Pixels


def clips_of(path: Path, mix: MixSettings, sliding: Sliding | None) -> tuple[int, Iterator[Clip]]:
    """Return how many clips a video has, and them: one, as the pipeline mixes it, or one a window.

    A video that is no longer than the window is one clip. Windows are of seconds, so they slide
    over frames at a constant rate; a whole video is mixed of its frames as they are. Raises
    VideoError, and MixingError for a window of fewer frames than segments.
    """
    times, fps = frame_times(path), frame_rate(path)
    length = sum(1 for _ in steady(times, times, fps, path))
    if sliding is None or round(sliding.window * fps) >= length:
        return 1, _whole(path, mix, times, fps)
    rolling = rolling_mix(mix, sliding, fps)
    clips = (clip for clip, _ in windows_of(str(path), mix, sliding, paced=False))
    return 1 + (length - rolling.frames) // rolling.step, clips


def isolated_clips(
    path: Path, mix: MixSettings, sliding: Sliding | None, limits: Limits
) -> Iterator[Clip]:
    """Yield what `clips_of` does, decoded in a subprocess: a bad file ends only that.

    `limits` are for a batch of clips each time.
    """

    def batch(first: int) -> tuple[int, list[Clip]]:
        return isolated(partial(_batch, mix=mix, sliding=sliding, first=first), path, limits)

    def every() -> Iterator[Clip]:
        done, clips = 0, first
        while clips:
            yield from clips
            done += len(clips)
            clips = batch(done)[1] if done < total else []

    total, first = batch(0)
    # The first batch is here already: a bar for it alone would show no rate that means anything.
    label = f"windows of {path.name}"
    yield from track(every(), total=total, label=label) if total > BATCH else every()


# In the subprocess: the clips that the last batch left.
_left: dict[object, tuple[int, Iterator[Clip]]] = {}


def _batch(
    path: Path, *, mix: MixSettings, sliding: Sliding | None, first: int
) -> tuple[int, list[Clip]]:
    """Return how many clips there are, and up to BATCH of them from number `first` on."""
    total, clips = _left.pop((path, mix, sliding, first), (0, None))
    _left.clear()
    if clips is None:  # a new video, or a new subprocess, which has to catch up
        total, clips = clips_of(path, mix, sliding)
        clips = islice(clips, first, None)
    batch = list(islice(clips, BATCH))
    _left[path, mix, sliding, first + len(batch)] = total, clips
    return total, batch


def _whole(path: Path, mix: MixSettings, times: Sequence[float], fps: float) -> Iterator[Clip]:
    mixed = np.stack(list(mix_video(path, len(times), mix)))
    first, length = mix.span(len(times))
    start, last = (times[frame] - times[0] for frame in (first, first + length - 1))
    yield Clip(start, last + 1 / fps, mixed)


def windows_of(
    source: str, mix: MixSettings, sliding: Sliding, *, paced: bool
) -> Iterator[tuple[Clip, float]]:
    """Yield each window of a camera, a stream or a file, and when its last frame arrived.

    Frames are taken one by one, of files too: decord reads ahead, of a long one all of it.
    `paced` is as for `opened_live`. Raises VideoError and MixingError.
    """
    how = mix.model_dump(include={"size", "fit", "pixel_format"})
    with opened_live(source, **how, paced=paced) as live:
        rolling = rolling_mix(mix, sliding, live.fps)
        for seen, frame in enumerate(live.frames, 1):
            mixed = rolling.push(frame.pixels)
            if mixed is not None:
                clip = Clip((seen - rolling.frames) / live.fps, seen / live.fps, mixed)
                yield clip, frame.arrived


def rolling_mix(mix: MixSettings, sliding: Sliding, fps: float) -> RollingMix:
    """Return the mixer of a sliding window over frames at `fps`. Raises MixingError."""
    frames = round(sliding.window * fps)
    if frames < mix.segments:
        raise MixingError(
            f"window = {sliding.window:g} s: {frames} frames at {fps:g} frames a second; "
            f"allowed: at least the model's {mix.segments} segments"
        )
    return RollingMix(
        frames=frames,
        step=max(1, round(sliding.step * fps)),
        segments=mix.segments,
        method=mix.method,
        frames_per_segment=mix.frames_per_segment,
    )


def frame_rate(path: Path) -> float:
    """Return the frames a second that the header tells. Raises VideoError when it tells none."""
    fps = describe(path).fps
    if fps <= 0:
        raise VideoError(f"{path}: does not tell its frame rate")
    return fps
