"""Frames of a webcam, a network stream, or a file played at its own speed."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from framemix.errors import VideoError
from framemix.video.clock import constant_rate
from framemix.video.containers import ONLY_ITSELF, require_video_file
from framemix.video.planes import even_size, frame_planes
from framemix.video.reading import (
    Fit,
    VideoInfo,
    centred,
    decoded,
    scaled_size,
)

Pixels = NDArray[np.uint8]

# A stream that is silent for so long has ended; seconds.
PATIENCE = 10.0
# Of cameras that do not tell.
USUAL_RATE = 30.0
# As far as H.264 and HEVC, which reorder most, let a frame's time stray; frames.
REORDERED = 16


@dataclass(frozen=True)
class LiveFrame:
    """A frame, fitted: when in the stream, and when it got here, in seconds.

    `pixels` are uint8 (H, W, 3) RGB or yuv420p's planes (3H/2, W); `arrived` is of
    `time.monotonic`.
    """

    pixels: Pixels
    seconds: float
    arrived: float


@dataclass(frozen=True)
class LiveSource:
    """An open source: its frames a second, and its frames at just that rate."""

    fps: float
    frames: Iterator[LiveFrame]


@contextmanager
def opened_live(
    source: str,
    *,
    size: tuple[int, int],
    fit: Fit,
    pixel_format: Literal["rgb24", "yuv420p"],
    paced: bool,
) -> Iterator[LiveSource]:
    """Open a camera (/dev/video0), a URL or a file; frames are fitted just as those of files are.

    With `paced`, a file's frames come when they are due. Raises VideoError.
    """
    is_file = Path(source).is_file()
    how: dict[str, Any] = {"timeout": PATIENCE}
    if is_file:
        require_video_file(Path(source))
        how = {"options": ONLY_ITSELF}
    elif source.startswith("/dev/"):
        how["format"] = "v4l2"
    try:
        with av.open(f"file:{source}" if is_file else source, **how) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError(f"{source}: has no video stream")
            stream.thread_count = 1  # threads hold frames back
            fps = float(stream.average_rate or stream.guessed_rate or USUAL_RATE)
            fitted = (_Planes if pixel_format == "yuv420p" else _Rgb)(size, fit)
            frames = _clocked(source, container, stream, fitted)
            at_rate = _at_rate(_in_order(frames) if is_file else frames, fps)
            yield LiveSource(fps, _paced(at_rate) if paced and is_file else at_rate)
    except av.error.FFmpegError as error:
        raise VideoError(f"{source}: cannot be watched: {error.strerror}") from None


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

    Frames come in the right order. In AVI files with B-frames their times may not: UCF101 has such.
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


def _at_rate(frames: Iterable[LiveFrame], fps: float) -> Iterator[LiveFrame]:
    """Yield a frame for each 1 / fps seconds, from 0 on; one that is shown again arrives again."""
    timed = ((frame.seconds, frame) for frame in frames)
    for number, (shown, latest) in enumerate(constant_rate(timed, fps)):
        yield replace(shown, seconds=number / fps, arrived=latest.arrived)


class _Planes:
    """Fits frames as `stream_planes` does."""

    def __init__(self, size: tuple[int, int], fit: Fit) -> None:
        self.size, self.fit, self.convert = size, fit, VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        scaled = _scaled(frame, self.size, self.fit)
        scaled = self.size if self.fit == "squeeze" else even_size(scaled)
        return frame_planes(frame, scaled, self.size, self.convert)


class _Rgb:
    """Fits frames as `stream_frames` does, by ffmpeg's filters, as decord: other ways differ."""

    def __init__(self, size: tuple[int, int], fit: Fit) -> None:
        self.size, self.fit = size, fit
        self.shape: tuple[int, int, str] | None = None

    def __call__(self, frame: VideoFrame) -> Pixels:
        shape = (frame.width, frame.height, frame.format.name)
        if self.shape != shape:
            self.shape, self.graph = shape, _scaler(frame, _scaled(frame, self.size, self.fit))
        self.graph.vpush(frame)
        pixels: Pixels = np.asarray(self.graph.vpull().to_ndarray(), np.uint8)
        return pixels if self.fit == "squeeze" else centred(pixels, *self.size)


def _scaled(frame: VideoFrame, size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the (height, width) of the frame as displayed, before it is centred in `size`."""
    upright = frame.rotation % 180 == 0
    width, height = (frame.width, frame.height) if upright else (frame.height, frame.width)
    return size if fit == "squeeze" else scaled_size(VideoInfo(width, height, 0, 0), size, fit)


def _scaler(frame: VideoFrame, size: tuple[int, int]) -> Graph:
    """Return ffmpeg's filters from the coded frame to upright RGB of (height, width) `size`."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(
        source,
        *(graph.add("transpose", "cclock") for _ in range(frame.rotation // 90 % 4)),
        graph.add("scale", f"{size[1]}:{size[0]}:flags=bilinear"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _paced(frames: Iterable[LiveFrame]) -> Iterator[LiveFrame]:
    """Yield each frame when it is due, which is when it arrives."""
    start = None
    for frame in frames:
        # Not before: of a file, frames are decoded ahead of the first.
        start = time.monotonic() - frame.seconds if start is None else start
        time.sleep(max(0.0, start + frame.seconds - time.monotonic()))
        yield replace(frame, arrived=start + frame.seconds)
