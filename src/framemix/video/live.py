"""Frames of a webcam, a network stream, or a file played at its own speed."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import inf
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from framemix.errors import VideoError
from framemix.video.clock import constant_rate
from framemix.video.containers import ONLY_ITSELF, require_video_file
from framemix.video.decoding import decoded, frame_rate, pixel_aspect, video_stream
from framemix.video.fitting import Fit, RgbFitter
from framemix.video.planes import PlaneFitter
from framemix.video.reading import describe

Pixels = NDArray[np.uint8]

# A stream that sends nothing for this long has ended; seconds.
PATIENCE = 10.0
# For cameras that do not state a rate.
USUAL_RATE = 30.0
# `file:` and `pipe:` are no addresses.
ADDRESS = re.compile(r"(?!file:|pipe:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# A longer jump of a camera's clock is an error of the clock: no time has passed; seconds.
LONGEST_GAP = 5.0
# H.264 and HEVC, which reorder most, move a frame by at most this many frames.
REORDERED = 16


@dataclass(frozen=True)
class LiveFrame:
    """A fitted frame, with its time in the stream and its time of arrival, in seconds.

    `pixels` are uint8 (H, W, 3) RGB or yuv420p's planes (3H/2, W); `arrived` is of
    `time.monotonic`.
    """

    pixels: Pixels
    seconds: float
    arrived: float


@dataclass(frozen=True)
class LiveSource:
    """An open source: its frame rate, and its frames at exactly that rate."""

    fps: float
    frames: Iterator[LiveFrame]


def source_of(name: str) -> str:
    """Return what a source's name stands for: /dev/video0 for 0, where no file is called 0."""
    is_number = name.isascii() and name.isdigit() and not Path(name).exists()
    return f"/dev/video{name}" if is_number else name


def is_endless(source: str) -> bool:
    """Return whether a source is a camera or an address in a network; files and pipes have ends."""
    return source.startswith("/dev/") or bool(ADDRESS.match(source))


@contextmanager
def opened_live(
    source: str,
    *,
    size: tuple[int, int],
    fit: Fit,
    pixel_format: Literal["rgb24", "yuv420p"],
    paced: bool,
) -> Iterator[LiveSource]:
    """Open a camera (/dev/video0), a URL or a file; all frames are fitted like those of files.

    With `paced`, a file's frames come at the file's speed. Raises VideoError.
    """
    is_file = Path(source).is_file()
    how: dict[str, Any] = {"timeout": PATIENCE}
    if is_file:
        require_video_file(Path(source))
        how = {"options": ONLY_ITSELF}
    elif source.startswith("/dev/"):
        how["format"] = "v4l2"
    try:
        with _opened(f"file:{source}" if is_file else source, how) as container:
            stream = video_stream(container, source)
            stream.thread_count = 1  # more threads would delay frames
            fps = frame_rate(stream) or (is_file and describe(Path(source)).fps) or USUAL_RATE
            fitter = PlaneFitter if pixel_format == "yuv420p" else RgbFitter
            frames = _clocked(source, container, stream, fitter(size, fit, pixel_aspect(stream)))
            # A file may show one picture for long; in a camera, a jump is an error of its clock.
            at_rate = (
                _at_rate(_in_order(frames), fps)
                if is_file
                else _at_rate(frames, fps, longest_gap=LONGEST_GAP)
            )
            yield LiveSource(fps, _paced(at_rate) if paced and is_file else at_rate)
    except (TimeoutError, av.error.ExitError):  # PyAV raises the latter after its own time limit
        raise VideoError(source, f"sent nothing for {PATIENCE:g} s") from None
    except av.error.FFmpegError as error:
        raise VideoError(source, f"cannot be watched: {error.strerror}") from None


def live_frames(path: Path, *, size: tuple[int, int]) -> Iterator[LiveFrame]:
    """Yield a file's frames at its rate, as RGB squeezed to `size`. Raises VideoError."""
    how: dict[str, Any] = {"size": size, "fit": "squeeze", "pixel_format": "rgb24"}
    # Not with decord, which would decode all frames ahead, at full size.
    with opened_live(str(path), **how, paced=False) as live:
        yield from live.frames


def _opened(source: str, how: dict[str, Any]) -> InputContainer:
    """Open a source. Raises TimeoutError for a missing header, which ffmpeg calls invalid data."""
    begun = time.monotonic()
    try:
        container: InputContainer = av.open(source, **how)
    except av.error.FFmpegError as error:
        if "timeout" in how and time.monotonic() - begun >= PATIENCE:
            raise TimeoutError from error
        raise
    return container


def _clocked(
    source: str,
    container: InputContainer,
    stream: VideoStream,
    fitted: Callable[[VideoFrame], Pixels],
) -> Iterator[LiveFrame]:
    """Yield the fitted frames with their seconds on the stream's clock."""
    for frame in decoded(container, stream, source):
        arrived = time.monotonic()
        seconds = arrived if frame.time is None else float(frame.time)
        yield LiveFrame(fitted(frame), seconds, arrived)


def _in_order(frames: Iterable[LiveFrame]) -> Iterator[LiveFrame]:
    """Yield a file's frames with its times in rising order.

    Frames come in the right order, but in AVI files with B-frames, as in UCF101, their times may
    not.
    """
    held: deque[LiveFrame] = deque()
    times: list[float] = []
    for frame in frames:
        held.append(frame)
        heappush(times, frame.seconds)
        if len(held) > REORDERED:
            yield replace(held.popleft(), seconds=heappop(times))
    while held:
        yield replace(held.popleft(), seconds=heappop(times))


def _at_rate(
    frames: Iterable[LiveFrame], fps: float, longest_gap: float = inf
) -> Iterator[LiveFrame]:
    """Yield a frame for each 1 / fps seconds; a repeated frame has a new time of arrival."""
    timed = ((frame.seconds, frame) for frame in frames)
    for number, (shown, latest) in enumerate(constant_rate(timed, fps, longest_gap)):
        yield replace(shown, seconds=number / fps, arrived=latest.arrived)


def _paced(frames: Iterable[LiveFrame]) -> Iterator[LiveFrame]:
    """Yield each frame when it is due, which is when it arrives."""
    start = None
    for frame in frames:
        # Not earlier, because some of a file's frames are decoded before the first is yielded.
        start = time.monotonic() - frame.seconds if start is None else start
        time.sleep(max(0.0, start + frame.seconds - time.monotonic()))
        yield replace(frame, arrived=start + frame.seconds)
