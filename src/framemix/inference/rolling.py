"""Frame mix-up over a window that slides: each frame is added once, whatever the overlap."""

# F frames of a window, S segments, P frames from one window to the next

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from framemix.mixing import Method, Pixels, mix_windows

Sums = tuple[NDArray[Any], NDArray[Any]]


class RollingMix:
    """Mixes the last `frames` frames of a stream every `step` frames.

    Exact: every window equals `mix_frames` of its frames, bit for bit, however long the stream.
    Two running sums are kept, of v_t and of t * v_t. A segment from s to e is a difference of
    them at its ends: sum (t - s + 1) v_t = [sum t v_t] - (s - 1) [sum v_t]. The sums wrap around
    in unsigned arithmetic, where differences stay right as long as a segment's own sum fits. So a
    window costs its `step` new frames and S differences. Raises MixingError when there are more
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
        self.frames, self.step, self.method = frames, step, method
        self.ranges = mix_windows(
            frames, segments=segments, method=method, frames_per_segment=frames_per_segment
        )
        # Room for half a divisor, which rounding adds.
        largest = 256 * max(self._divisor(len(segment)) for segment in self.ranges)
        self.dtype = np.result_type(np.uint32, np.min_scalar_type(largest))
        self.ends = {end for segment in self.ranges for end in (segment.start, segment.stop)}
        # A window starts at each multiple of the step, and has ends at the same places in it.
        self.phases = {end % step for end in self.ends}
        self.seen = 0
        self._sums: Sums | None = None
        self._kept: dict[int, Sums] = {}

    def push(self, frame: Pixels) -> Pixels | None:
        """Take the next frame; return a mixed clip uint8 (S, *frame.shape) when a window is full.

        Windows are full after F frames, F + P, F + 2P and so on.
        """
        plain, risen = self._sums or (np.zeros(frame.shape, self.dtype),) * 2
        if not self.seen:
            self._keep((plain, risen))
        plain = plain + frame
        if self.method == "linear":
            risen = risen + np.multiply(frame, self._wrapped(self.seen), dtype=self.dtype)
        self._sums, self.seen = (plain, risen), self.seen + 1
        self._keep(self._sums)
        start = self.seen - self.frames
        return None if start < 0 or start % self.step else self._window(start)

    def _keep(self, sums: Sums) -> None:
        if self.seen % self.step in self.phases:
            self._kept[self.seen] = sums

    def _window(self, start: int) -> Pixels:
        clip = np.stack([self._segment(start + r.start, start + r.stop) for r in self.ranges])
        for old in [place for place in self._kept if place < start + self.step]:
            del self._kept[old]
        return clip

    def _segment(self, start: int, stop: int) -> Pixels:
        (plain, risen), (plain_before, risen_before) = self._kept[stop], self._kept[start]
        total = plain - plain_before
        if self.method == "linear":
            # Frame t is the (t - start + 1)-th of its segment.
            total = risen - risen_before - self._wrapped(start - 1) * total
        divisor = self._divisor(stop - start)
        rounded: Pixels = ((total + divisor // 2) // divisor).astype(np.uint8)
        return rounded

    def _divisor(self, frames: int) -> int:
        """Return the sum of the weights 1, 1, ... or 1, 2, ... of a segment's frames."""
        return frames * (frames + 1) // 2 if self.method == "linear" else frames

    def _wrapped(self, number: int) -> Any:
        return self.dtype.type(number % (np.iinfo(self.dtype).max + 1))
