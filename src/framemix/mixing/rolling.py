"""Frame mix-up over a sliding window: each frame is added once, however much windows overlap."""

# F frames of a window, S segments, P frames from one window to the next

from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from framemix.mixing.frames import Method, Pixels, mix_ranges, mix_windows


class RollingMix:
    """Mixes the last `frames` frames of a stream every `step` frames.

    Every window equals `mix_frames` of its frames, bit for bit, however long the stream is. With
    average or linear weights, a window costs its `step` new frames and S differences of sums; with
    other weights, all its frames are kept and mixed again. Raises MixingError when there are more
    segments than frames.
    """

    def __init__(
        self,
        *,
        frames: int,
        step: int,
        segments: int,
        method: Method,
        frames_per_segment: Literal["all"] | int,
    ) -> None:
        self.frames, self.step, self.seen = frames, step, 0
        ranges = mix_windows(
            frames, segments=segments, method=method, frames_per_segment=frames_per_segment
        )
        self.mixer: RunningSums | KeptFrames
        if method in ("harmonic", "rank_pool"):
            self.mixer = KeptFrames(ranges, frames, method)
        else:
            self.mixer = RunningSums(ranges, step, linear=method == "linear")

    def push(self, frame: Pixels) -> Pixels | None:
        """Take the next frame; return a mixed clip uint8 (S, *frame.shape) when a window is full.

        Windows are full after F frames, F + P, F + 2P and so on.
        """
        self.mixer.add(frame)
        self.seen += 1
        start = self.seen - self.frames
        return None if start < 0 or start % self.step else self.mixer.window(start)


class RunningSums:
    """Means of segments, as differences of running sums at the two ends of each segment.

    There are two running sums, of v_t and of t * v_t. For a segment from s to e, their differences
    give sum (t - s + 1) v_t = [sum t v_t] - (s - 1) [sum v_t]. The sums wrap around in unsigned
    arithmetic, but their differences are right as long as a segment's own sum fits.
    """

    def __init__(self, ranges: Sequence[range], step: int, *, linear: bool) -> None:
        self.ranges, self.step, self.linear = ranges, step, linear
        # Room for half a divisor, which rounding adds.
        largest = 256 * max(self._divisor(len(segment)) for segment in ranges)
        self.dtype = np.result_type(np.uint32, np.min_scalar_type(largest))
        ends = {end for segment in ranges for end in (segment.start, segment.stop)}
        # A window starts at each multiple of the step; all windows have the same segments.
        self.phases = {end % step for end in ends}
        self.seen = 0
        self.kept: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}

    def add(self, frame: Pixels) -> None:
        """Take the next frame into the sums."""
        if not self.seen:
            self.plain, self.risen = (np.zeros(frame.shape, self.dtype),) * 2
            self._keep()
        self.plain = self.plain + frame
        if self.linear:
            self.risen = self.risen + np.multiply(frame, self._wrapped(self.seen), dtype=self.dtype)
        self.seen += 1
        self._keep()

    def window(self, start: int) -> Pixels:
        """Return the mix of the window that starts at frame `start` and ends with the newest."""
        clip = np.stack([self._segment(start + r.start, start + r.stop) for r in self.ranges])
        for old in [place for place in self.kept if place < start + self.step]:
            del self.kept[old]
        return clip

    def _keep(self) -> None:
        if self.seen % self.step in self.phases:
            self.kept[self.seen] = (self.plain, self.risen)

    def _segment(self, start: int, stop: int) -> Pixels:
        (plain, risen), (plain_before, risen_before) = self.kept[stop], self.kept[start]
        total = plain - plain_before
        if self.linear:
            # Frame t is the (t - start + 1)-th of its segment.
            total = risen - risen_before - self._wrapped(start - 1) * total
        divisor = self._divisor(stop - start)
        rounded: Pixels = ((total + divisor // 2) // divisor).astype(np.uint8)
        return rounded

    def _divisor(self, frames: int) -> int:
        """Return the sum of the weights 1, 1, ... or 1, 2, ... of a segment's frames."""
        return frames * (frames + 1) // 2 if self.linear else frames

    def _wrapped(self, number: int) -> Any:
        return self.dtype.type(number % (np.iinfo(self.dtype).max + 1))


class KeptFrames:
    """Any kind of weights: the window's F frames are kept and mixed again each time."""

    def __init__(self, ranges: Sequence[range], frames: int, method: Method) -> None:
        self.ranges, self.method = ranges, method
        self.recent: deque[Pixels] = deque(maxlen=frames)

    def add(self, frame: Pixels) -> None:
        """Take the next frame, and drop the oldest."""
        self.recent.append(frame)

    def window(self, start: int) -> Pixels:
        """Return the mix of the last F frames, which begin with frame `start`."""
        mixed = mix_ranges(self.recent, self.ranges, total=len(self.recent), method=self.method)
        return np.stack([segment for _, segment in mixed])
