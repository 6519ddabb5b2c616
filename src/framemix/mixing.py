"""Frame mix-up: a whole video in a few frames, each a weighted mean of its segment (paper B, 3).

The arithmetic is exact integers rounded half up, so the same video gives the same bytes
anywhere. `mix_stream` is the primitive and holds one segment's sum; `mix_frames` wraps it.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from framemix.errors import MixingError

# Shapes: F frames in the window, S segments, a frames of a segment that are mixed,
# H height, W width, C channels.

Method = Literal["none", "average", "linear"]
Pixels = NDArray[np.uint8]


class Window(BaseModel):
    """A stretch of `frames` frames at the start or in the centre of the video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int = Field(ge=1)
    at: Literal["start", "centre"]


class MixSettings(BaseModel):
    """How a video becomes a mixed clip (params.yaml: mix)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method
    segments: int = Field(ge=1)
    frames_per_segment: Literal["all"] | Annotated[int, Field(ge=1)]
    window: Literal["all"] | Window
    size: tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2)]]
    fit: Literal["squeeze", "crop", "pad"]
    pixel_format: Literal["rgb24", "yuv420p"]

    @model_validator(mode="after")
    def _colour_planes_fit(self) -> "MixSettings":
        if self.pixel_format == "yuv420p" and any(side % 2 for side in self.size):
            raise ValueError(
                f"mix.size = {list(self.size)}: allowed: even numbers, "
                f"or mix.pixel_format = rgb24 (yuv420p has one colour for 2x2 pixels)"
            )
        return self

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of a mixed frame: (H, W, 3) for rgb24, (3H/2, W) for yuv420p."""
        height, width = self.size
        return (height, width, 3) if self.pixel_format == "rgb24" else (3 * height // 2, width)

    def span(self, frames: int) -> tuple[int, int]:
        """Return first frame and length of the window in a video of `frames` frames."""
        if self.window == "all":
            return 0, frames
        length = self.window.frames
        if length > frames:
            raise MixingError(
                f"mix.window.frames = {length}: more than the video's {frames} frames; "
                f"allowed: at most the video's frames, or mix.window = all"
            )
        return (0 if self.window.at == "start" else (frames - length) // 2), length


def segment_weights(frames: int, method: Method) -> NDArray[np.float64]:
    """Return the weights of a segment's frames, float64 (frames,), sum 1.

    average: 1/a. linear: 2j / (a(a+1)), j = 1..a, which gives the steps that paper B quotes
    (0.0667 at a = 5, 0.00085 at a = 48); its formula as printed, 2j / (a(a-1)), does not.
    """
    if method == "linear":
        return 2.0 * np.arange(1, frames + 1) / (frames * (frames + 1))
    return np.full(frames, 1.0 / frames)


def mix_windows(
    total: int, *, segments: int, method: Method, frames_per_segment: Literal["all"] | int
) -> list[range]:
    """Return the frames that each segment mixes, as a range of frame numbers a segment.

    The windows of a few frames sit in the middle of their segment and are mirrored in the
    second half, so a reversed video gives reversed windows wherever S is even and divides F.
    (Where S is odd, the middle segment has no counterpart: its window may be half a frame off.)
    """
    if segments > total:
        raise MixingError(
            f"mix.segments = {segments}: more than the {total} frames to mix; "
            f"allowed: at most one segment a frame"
        )
    windows = []
    for segment in range(segments):
        start, stop = segment * total // segments, (segment + 1) * total // segments
        length = stop - start
        wanted = 1 if method == "none" else frames_per_segment
        kept = length if wanted == "all" else min(wanted, length)
        spare = length - kept
        start += spare // 2 if 2 * segment < segments else (spare + 1) // 2
        windows.append(range(start, start + kept))
    return windows


def mix_stream(
    frames: Iterable[Pixels],
    *,
    total: int,
    segments: int,
    method: Method,
    frames_per_segment: Literal["all"] | int,
) -> Iterator[Pixels]:
    """Yield `segments` mixed frames from `total` frames of one shape, uint8 in and out.

    Takes frames one at a time and none behind the last that it needs. Raises MixingError when
    there are more segments than frames, or fewer frames than `total` promised.
    """
    stream, taken = iter(frames), 0
    for window in mix_windows(
        total, segments=segments, method=method, frames_per_segment=frames_per_segment
    ):
        segment = islice(stream, window.start - taken, window.stop - taken)
        mixed, count = _mix_segment(segment, len(window), method)
        if count < len(window):
            raise MixingError(f"the frames end before frame {window.stop} of {total}")
        taken = window.stop
        yield mixed


def mix_frames(
    video: Pixels, *, segments: int, method: Method, frames_per_segment: Literal["all"] | int
) -> Pixels:
    """Mix a video uint8 (F, H, W, C) into uint8 (S, H, W, C)."""
    mixed = mix_stream(
        video,
        total=len(video),
        segments=segments,
        method=method,
        frames_per_segment=frames_per_segment,
    )
    return np.stack(list(mixed))


def _mix_segment(frames: Iterable[Pixels], count: int, method: Method) -> tuple[Pixels, int]:
    """Return the rounded weighted mean of up to `count` frames, and how many there were."""
    # Average: sum(v) / a. Linear: 2 sum(j v_j) / (a(a+1)) = sum(j v_j) / (1 + 2 + ... + a).
    divisor = count * (count + 1) // 2 if method == "linear" else count
    # The narrowest type that holds the sum is the fastest: 16 bits for 257 frames averaged.
    narrow, wide = np.min_scalar_type(255 * divisor), np.min_scalar_type(511 * divisor)
    total, scaled, seen = np.zeros(0, narrow), np.zeros(0, narrow), 0
    for seen, frame in enumerate(frames, 1):
        if seen == 1:
            total, scaled = np.zeros(frame.shape, narrow), np.empty(frame.shape, narrow)
        if method == "linear":
            np.multiply(frame, narrow.type(seen), out=scaled, dtype=narrow)
            np.add(total, scaled, out=total)
        else:
            np.add(total, frame, out=total)
    rounded = (2 * total.astype(wide) + wide.type(divisor)) // wide.type(2 * divisor)
    return rounded.astype(np.uint8), seen
