"""A video's frames at a constant rate: phones, for one, record fewer frames in the dark."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from math import inf
from pathlib import Path
from typing import TypeVar

from framemix.errors import VideoError

T = TypeVar("T")


def steady(frames: Iterable[T], times: Iterable[float], fps: float, path: Path) -> Iterator[T]:
    """Yield the frame that is shown at each multiple of 1 / fps seconds; `times` are the frames'.

    Raises VideoError, which names the video at `path`, unless there are as many frames as times.
    """
    return (shown for shown, _ in constant_rate(_timed(frames, times, path), fps))


def _timed(frames: Iterable[T], times: Iterable[float], path: Path) -> Iterator[tuple[float, T]]:
    for seconds, frame in zip_longest(times, frames):
        if seconds is None or frame is None:
            raise VideoError(path, "another number of frames than when it was examined")
        yield seconds, frame


def constant_rate(
    timed: Iterable[tuple[float, T]], fps: float, longest_gap: float = inf
) -> Iterator[tuple[T, T]]:
    """Yield two frames for each 1 / fps seconds: the frame to show, and the latest that arrived.

    Frames come with their seconds, counted from the first. Where one is late, the frame before it
    is repeated; of frames that come too soon, the last counts. A jump of the clock by more than
    `longest_gap` seconds, forward or back, counts as no time.
    """
    due, offset, start, last = 0, 0, None, None
    for seconds, frame in timed:
        start = seconds if start is None else start
        tick = round((seconds - start) * fps) + offset
        if abs(tick - due) > longest_gap * fps:
            offset, tick = offset + due - tick, due
        while last is not None and due < tick:
            yield last, frame
            due += 1
        if due <= tick:
            yield frame, frame
            due += 1
        last = frame
