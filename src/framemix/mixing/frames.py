"""Frame mix-up: a whole video in a few frames, each a weighted mean of its segment (paper B, 3).

The arithmetic is in exact integers, rounded half up, so that the same video gives the same bytes
everywhere. `mix_stream` holds one segment's sum in memory; `mix_frames` wraps it. `mix_ranges` is
the same for ranges that overlap, and holds one sum for each open range.

How visible the order of two frames is depends on the ratio of their weights. With linear weights
the ratio fades as segments grow: the frames t and 2t before the end of a long segment weigh nearly
the same. With harmonic weights, 1 / (1 + frames to the end), it is about 2 for any t and any
length: a sharp latest frame with a trail that is as clear at 51 frames per segment as at 7.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from framemix.errors import MixingError
from framemix.validation import Settings, misfit, require_at_most

# Shapes: F frames in the window, S segments, a frames of a segment that are mixed,
# H height, W width, C channels.

Method = Literal["none", "random", "average", "linear", "harmonic", "last", "rank_pool"]
Pixels = NDArray[np.uint8]

# lcm(1, ..., 16): harmonic weights are exact up to 16 frames, and 32 bits hold all sums.
HARMONIC_UNIT = 720720
# Rank pooling's weights are whole multiples of 1 / RANK_UNIT.
RANK_UNIT = 2**16
# Rank pooling's values lie within RANK_SPREAD of RANK_MIDDLE, which is in the range of yuv420p.
RANK_MIDDLE, RANK_SPREAD = 128, 107


# A model file may hold any number. These bounds are far above useful values, and prevent overflows.
MOST_FRAMES, MOST_PIXELS, MOST_VARIANTS = 10**7, 2**13, 10**4
MOST_VALUES = 2**31  # of a mixed clip; paper A's has 35 million

Frames = Annotated[int, Field(ge=1, le=MOST_FRAMES)]
Side = Annotated[int, Field(ge=2, le=MOST_PIXELS)]


class Window(Settings):
    """A window of `frames` frames at the start or in the centre of the video."""

    frames: Frames = Field(description="length in frames")
    at: Literal["start", "centre"] = Field(description="where in the video it lies")


Segments = Annotated[Frames, Field(description="mixed frames of a clip")]
MixWindow = Annotated[
    Literal["all"] | Window, Field(description="the part of a video that is mixed")
]
Variants = Annotated[
    int, Field(ge=1, le=MOST_VARIANTS, description="ways to mix a clip that are stored")
]
Size = Annotated[tuple[Side, Side], Field(description="height and width, pixels")]
Fit = Annotated[Literal["squeeze", "crop", "pad"], Field(description="how frames get that size")]
PixelFormat = Annotated[Literal["rgb24", "yuv420p"], Field(description="what a store holds")]


def frame_shape(size: tuple[int, int], pixel_format: PixelFormat) -> tuple[int, ...]:
    """Return the shape of a mixed frame: (H, W, 3) for rgb24, (3H/2, W) for yuv420p."""
    height, width = size
    return (height, width, 3) if pixel_format == "rgb24" else (3 * height // 2, width)


def check_clip(segments: int, size: tuple[int, int], pixel_format: PixelFormat) -> None:
    """Raise a `misfit` where such a mixed clip is impossible, or too large for memory."""
    if pixel_format == "yuv420p" and any(side % 2 for side in size):
        raise misfit(
            f"{{size}} = {list(size)}: allowed: even numbers, "
            f"or {{pixel_format}} = rgb24 (yuv420p has one colour for 2x2 pixels)"
        )
    if (values := segments * math.prod(frame_shape(size, pixel_format))) > MOST_VALUES:
        raise misfit(
            f"{{segments}} = {segments}, {{size}} = {list(size)}: clips of {values} "
            f"values; allowed: at most {MOST_VALUES}"
        )


def check_lengths(
    section: str, segments: int, window: MixWindow, fewest: Mapping[str, int]
) -> None:
    """Raise a `misfit` where mixing takes more frames than the shortest video has.

    `segments` and `window` are settings of `section`. `fewest` has the frames of the shortest
    video, by the name of the setting that requires them.
    """
    taken, key = segments, f"{section}.segments"
    if window != "all":
        length = f"{section}.window.frames"
        require_at_most(key, taken, length, window.frames)
        taken, key = window.frames, length
    for limit, frames in fewest.items():
        require_at_most(key, taken, limit, frames)


class MixSettings(Settings):
    """How a video becomes a mixed clip (params.yaml: mix)."""

    method: Method = Field(description="how the frames of a segment become one")
    segments: Segments
    frames_per_segment: Literal["all"] | Frames = Field(
        description="frames mixed of each segment, from its middle"
    )
    window: MixWindow
    variants: Variants
    size: Size
    fit: Fit
    pixel_format: PixelFormat

    @model_validator(mode="after")
    def _is_a_clip(self) -> "MixSettings":
        check_clip(self.segments, self.size, self.pixel_format)
        return self

    @model_validator(mode="after")
    def _windows_can_differ(self) -> "MixSettings":
        if self.window == "all" and self.method != "random" and self.variants > 1:
            raise misfit(
                f"{{variants}} = {self.variants}: allowed with {{window}} = all: 1; "
                f"more take a {{window}} of frames and at, or {{method}} = random"
            )
        return self

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of a mixed frame (see the function `frame_shape`)."""
        return frame_shape(self.size, self.pixel_format)

    def span(self, frames: int) -> tuple[int, int]:
        """Return first frame and length of the window in a video of `frames` frames."""
        if self.window == "all":
            return 0, frames
        length = self.window.frames
        if length > frames:
            raise MixingError(
                f"window.frames = {length}: more than the video's {frames} frames; "
                f"allowed: at most the video's frames, or window = all"
            )
        return (0 if self.window.at == "start" else (frames - length) // 2), length

    def starts(self, frames: int) -> list[int]:
        """Return the first frames of all variants' windows in a video of `frames` frames.

        They are spread evenly, from the first frame to the last one at which a window fits, except
        that the start nearest to the one of `at` is moved there. That start comes first, then
        always the one farthest from all before it, so that the first few variants are spread too.
        Where a video has fewer possible starts than there are variants, some coincide.
        """
        first, length = self.span(frames)
        gaps = max(self.variants - 1, 1)
        others = [number * (frames - length) // gaps for number in range(self.variants)]
        others.remove(min(others, key=lambda start: abs(start - first)))
        starts = [first]
        while others:
            farthest = max(others, key=lambda start: min(abs(start - one) for one in starts))
            others.remove(farthest)
            starts.append(farthest)
        return starts


def segment_weights(frames: int, method: Method) -> NDArray[np.float64]:
    """Return the weights of a segment's frames, float64 (frames,), sum 1; of rank_pool sum 0.

    average (and none and random, for their one frame): 1/a. linear: 2j / (a(a+1)), j = 1..a, which
    gives the steps that paper B quotes (0.0667 at a = 5, 0.00085 at a = 48); the formula that it
    prints, 2j / (a(a-1)), does not. harmonic: proportional to 1 / (a + 1 - j). last: the latest
    frame only. rank_pool: 2(a - j + 1) - (a + 1)(H_a - H_(j-1)) with H_j = 1 + 1/2 + ... + 1/j,
    approximate rank pooling (Bilen et al., "Dynamic Image Networks for Action Recognition", CVPR
    2016, equation 2).
    """
    weights = _whole_weights(frames, method).astype(np.float64)
    return weights / (RANK_UNIT if method == "rank_pool" else weights.sum())


def mix_windows(
    total: int, *, segments: int, method: Method, frames_per_segment: Literal["all"] | int
) -> list[range]:
    """Return the frames that each segment mixes, as one range of frame numbers per segment.

    Where only some frames of a segment are mixed, they are those in its middle. The windows of the
    second half mirror those of the first, so that a reversed video gives reversed windows wherever
    S is even and divides F. (Where S is odd, the middle segment has no counterpart: its window may
    be half a frame off.) `last` takes the latest frame of each window, which has no mirror image.
    `random` is `none` here: `drawn_windows` is for its other variants.
    """
    windows = []
    for number, segment in enumerate(_segments(total, segments)):
        wanted = 1 if method in ("none", "random") else frames_per_segment
        kept = len(segment) if wanted == "all" else min(wanted, len(segment))
        spare = len(segment) - kept
        first = spare // 2 if 2 * number < segments else (spare + 1) // 2
        window = segment[first : first + kept]
        windows.append(window[-1:] if method == "last" else window)
    return windows


def drawn_windows(total: int, *, segments: int, key: str) -> list[range]:
    """Return a frame of each segment, drawn at random; equal keys draw the same anywhere."""
    drawn = []
    for number, segment in enumerate(_segments(total, segments)):
        # A hash, because numpy's generators may draw otherwise in another version.
        digest = hashlib.blake2b(f"{key} {number}".encode(), digest_size=8).hexdigest()
        place = int(digest, 16) % len(segment)
        drawn.append(segment[place : place + 1])
    return drawn


def mix_stream(
    frames: Iterable[Pixels],
    *,
    total: int,
    segments: int,
    method: Method,
    frames_per_segment: Literal["all"] | int,
) -> Iterator[Pixels]:
    """Yield `segments` mixed frames from `total` frames of one shape, uint8 in and out.

    Takes frames one at a time, and none after the last that it needs. Raises MixingError when
    there are more segments than frames, or fewer frames than `total`.

    rank_pool's weights are signed. Its values are 128 where nothing changes; the largest change in
    a segment is 107 away from that, and all others are in proportion, in all channels or planes.
    """
    windows = mix_windows(
        total, segments=segments, method=method, frames_per_segment=frames_per_segment
    )
    for _, mixed in mix_ranges(frames, windows, total=total, method=method):
        yield mixed


def mix_ranges(
    frames: Iterable[Pixels], ranges: Sequence[range], *, total: int, method: Method
) -> Iterator[tuple[int, Pixels]]:
    """Yield each range's place in `ranges` and the mix of its frames, as soon as the range ends.

    Ranges may overlap: each of the `total` frames is taken once, and none after the last that is
    needed. Raises MixingError when there are fewer frames.
    """
    kind = _Weighted if method in ("harmonic", "rank_pool") else _Mean
    waiting = sorted(range(len(ranges)), key=lambda place: -ranges[place].start)
    mixes: dict[int, _Mean | _Weighted] = {}
    idle: defaultdict[int, list[_Mean | _Weighted]] = defaultdict(list)  # by number of frames
    for number, frame in enumerate(islice(frames, max(one.stop for one in ranges))):
        while waiting and ranges[waiting[-1]].start == number:
            place = waiting.pop()
            length = len(ranges[place])
            mixes[place] = idle[length].pop() if idle[length] else kind(frame.shape, method, length)
        for mix in mixes.values():
            mix.add(frame)
        for place in [place for place in mixes if ranges[place].stop == number + 1]:
            mix = mixes.pop(place)
            idle[len(ranges[place])].append(mix)
            yield place, mix.take()
    if missing := [ranges[place].stop for place in (*mixes, *waiting)]:
        raise MixingError(f"the frames end before frame {min(missing)} of {total}")


def _segments(total: int, segments: int) -> list[range]:
    """Return the frames of each segment. Raises MixingError where one would have none."""
    if segments > total:
        raise MixingError(
            f"segments = {segments}: more than the {total} frames to mix; "
            f"allowed: at most one segment a frame"
        )
    ends = [number * total // segments for number in range(segments + 1)]
    return [range(start, stop) for start, stop in pairwise(ends)]


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


class _Mean:
    """The rounded mean of `length` frames at a time, average or linear.

    Sums of 16 bits take a third of the time of sums of 32, so a few frames are summed in 16 bits
    before they are added to a total of as many bits as it needs. All buffers are used again,
    because allocating memory takes longer than dividing.
    """

    def __init__(self, shape: tuple[int, ...], method: Method, length: int) -> None:
        self.linear = method == "linear"
        # The most frames for 16 bits: 255 (1 + 2 + ... + 22) and 255 * 257 still fit.
        self.at_once = 22 if self.linear else 257
        self.plain = np.zeros(shape, np.uint16)  # sum(v_i) of the last n frames
        self.rising = np.zeros(shape, np.uint16)  # sum((n + 1 - i) v_i), the sum of these sums
        wide = np.min_scalar_type(256 * self._divisor(length))
        self.total, self.term = np.zeros(shape, wide), np.empty(shape, wide)
        self.count = self.pending = 0

    def add(self, frame: Pixels) -> None:
        """Add one frame to the mean."""
        np.add(self.plain, frame, out=self.plain)
        if self.linear:
            np.add(self.rising, self.plain, out=self.rising)
        self.count, self.pending = self.count + 1, self.pending + 1
        if self.pending == self.at_once:
            self._carry()

    def take(self) -> Pixels:
        """Return the mean of the frames since the last call, rounded half up."""
        self._carry()
        divisor = self._divisor(self.count)
        self.total += divisor // 2
        self.total //= divisor
        mean = self.total.astype(np.uint8)
        self.total.fill(0)
        self.count = 0
        return mean

    def _divisor(self, count: int) -> int:
        """Return the sum of the weights 1, 1, ... or 1, 2, ... of `count` frames."""
        return count * (count + 1) // 2 if self.linear else count

    def _carry(self) -> None:
        """Move the 16-bit sums into the total."""
        if self.linear:
            # With b frames before: sum((b + i) v_i) = (b + n + 1) plain - rising.
            weight = self.total.dtype.type(self.count + 1)
            np.multiply(self.plain, weight, out=self.term, dtype=self.term.dtype)
            self.total += self.term
            self.total -= self.rising
            self.rising.fill(0)
        else:
            self.total += self.plain
        self.plain.fill(0)
        self.pending = 0


class _Weighted:
    """The mix of `length` frames at a time, by weights of any kind."""

    def __init__(self, shape: tuple[int, ...], method: Method, length: int) -> None:
        self.signed = method == "rank_pool"
        dtype = np.int64 if self.signed else np.uint32
        self.weights = _whole_weights(length, method).astype(dtype)
        self.total, self.term = np.zeros(shape, dtype), np.empty(shape, dtype)
        self.count = 0

    def add(self, frame: Pixels) -> None:
        """Add one frame to the mix."""
        np.multiply(frame, self.weights[self.count], out=self.term, dtype=self.term.dtype)
        self.total += self.term
        self.count += 1

    def take(self) -> Pixels:
        """Return the mix of the frames since the last call."""
        mixed = _spread(self.total) if self.signed else self._mean()
        self.total.fill(0)
        self.count = 0
        return mixed

    def _mean(self) -> Pixels:
        divisor = self.weights.sum()
        mean: Pixels = ((self.total + divisor // 2) // divisor).astype(np.uint8)
        return mean


def _whole_weights(frames: int, method: Method) -> NDArray[np.int64]:
    """Return whole numbers (frames,) in the proportions of the weights; rank_pool's sum to 0."""
    place = np.arange(1, frames + 1)
    if method == "linear":
        return place
    if method == "last":
        return place // frames
    if method == "harmonic":
        age = place[::-1]
        return (2 * HARMONIC_UNIT + age) // (2 * age)
    if method == "rank_pool":
        later = np.cumsum(1 / place[::-1])[::-1]  # H_a - H_(j-1)
        exact = 2 * (frames - place + 1) - (frames + 1) * later
        weights = np.rint(RANK_UNIT * exact).astype(np.int64)
        # The sum of the rounding errors goes to the largest: a still picture must give exactly 0.
        weights[0] -= weights.sum()
        return weights
    return np.ones(frames, np.int64)


def _spread(total: NDArray[np.int64]) -> Pixels:
    """Return signed sums as pixels around the middle, the largest RANK_SPREAD away from it."""
    largest = max(int(abs(total).max(initial=0)), 1)
    rounded: NDArray[np.int64] = (2 * RANK_SPREAD * total + largest) // (2 * largest)
    return (rounded + RANK_MIDDLE).astype(np.uint8)
