"""Examines a video file, and reads its frames as RGB.

`examine` decodes a file once with PyAV, whose ffmpeg is the reference, and chooses its reader. That
is decord where its frames equal PyAV's (for XviD, up to 2 of 255 apart, because their versions of
ffmpeg round differently). PyAV reads all other files, and all files where decord is not installed.
Frames come one at a time, so that memory does not depend on a video's length.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from framemix.errors import VideoError, one_line
from framemix.video.containers import is_for_decord, is_macos_note
from framemix.video.decoding import (
    Stretch,
    decoded,
    decoded_within,
    displayed_size,
    frame_rate,
    from_first,
    numbers_within,
    opened,
    pixel_aspect,
    time_of,
)
from framemix.video.fitting import Fit, RgbFitter, centred, scaled_size

try:
    import decord
except ImportError:  # it has no wheel for ARM
    decord = None
else:
    decord.logging.set_level(decord.logging.QUIET)

Reader = Literal["decord", "pyav"]

# decord's messages begin with the time of day and a line number of its source.
DECORDS = re.compile(r"^\[[\d:]+\] \S+: (Error: )?")
# The size at which frames are compared, small because decord decodes frames ahead; pixels.
COMPARED = (48, 64)
BEHIND = 4  # frames after another at which decord has decoded the next already
# Allowed between decord's and PyAV's values of a frame. The errors that decord makes (no colours, a
# wrong side up, full range for limited) differ by more.
ALIKE = 6


@dataclass(frozen=True)
class VideoInfo:
    """A video as displayed: width and height in pixels, frames a second, seconds.

    Width is in square pixels. Seconds are those of the video stream, not of the sound. `stream` is
    the number of the video stream in the file; it begins `start` seconds after the file begins.
    """

    width: int
    height: int
    fps: float
    seconds: float
    stream: int = 0
    start: float = 0.0


@dataclass(frozen=True)
class ExaminedVideo:
    """A video that was decoded to its end.

    `times` are the seconds at which each frame is shown, counted from the first frame.
    """

    info: VideoInfo
    times: tuple[float, ...]
    reader: Reader

    @property
    def frames(self) -> int:
        """The number of frames that ffmpeg shows."""
        return len(self.times)

    def within(self, stretch: Stretch) -> range:
        """Return the numbers of the frames of a stretch."""
        return numbers_within(self.times, stretch)


def describe(path: Path) -> VideoInfo:
    """Return the properties in the header and the first frame; measure those that are missing.

    Raises VideoError.
    """
    with opened(path) as (container, stream):
        info = _first_shown(container, stream, _first_frame(container, stream, path))
        guessed = container.format.name == "mpeg"  # no header: ffmpeg guesses from some times
    if info.fps and info.seconds and not guessed:
        return info
    seconds, fps = _measured_by_packets(path)
    return replace(info, seconds=seconds, fps=info.fps or fps)


def examine(path: Path) -> ExaminedVideo:
    """Decode a video once and return its properties, times and reader.

    The times are sorted: frames come in the right order, but in AVI files with B-frames, as in
    UCF101, their times may not. Raises VideoError where the decoder marks a frame as damaged. Whole
    frames that are missing, as at the end of a truncated file, go unnoticed.
    """
    times: list[float] = []
    damaged, witnesses = 0, _Witnesses()
    with opened(path) as (container, stream):
        rate = frame_rate(stream) or 1.0
        for number, frame in enumerate(decoded(container, stream, path)):
            if not number:
                info = _first_shown(container, stream, frame)
            times.append(time_of(frame, number, rate))
            damaged += frame.is_corrupt
            witnesses.see(number, frame)
    if not times:
        raise VideoError(path, "has no frame that can be decoded")
    if damaged:
        raise VideoError(path, f"damaged: {damaged} of {len(times)} frames cannot be decoded whole")
    times = from_first(times)
    info = _measured(info, times, frame)
    reader: Reader = "decord" if witnesses.agree_with_decord(path, len(times)) else "pyav"
    return ExaminedVideo(info, tuple(times), reader)


def video_files(path: Path) -> list[Path]:
    """Return the files of a video: itself, or the frames in its folder."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.glob("*.jpg") if not is_macos_note(file.name))


def stream_frames(
    path: Path,
    *,
    size: tuple[int, int],
    fit: Fit,
    reader: Reader = "pyav",
    stretch: Stretch | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames as uint8 (H, W, 3) RGB of `size` = (H, W), scaled bilinearly.

    squeeze: each side on its own. crop: the centre that fills the size. pad: the whole
    picture on black. `reader` is the one that `examine` chose; a `stretch` is always read by PyAV.
    Raises VideoError.
    """
    if reader == "decord" and decord is not None and stretch is None:
        yield from _decords_frames(path, size, fit)
        return
    with opened(path) as (container, stream):
        fitted = RgbFitter(size, fit, pixel_aspect(stream))
        for frame in decoded_within(container, stream, path, stretch):
            yield fitted(frame)


def _first_frame(container: InputContainer, stream: VideoStream, path: Path) -> VideoFrame:
    for frame in decoded(container, stream, path):
        return frame
    raise VideoError(path, "has no frame that can be decoded")


def _first_shown(container: InputContainer, stream: VideoStream, first: VideoFrame) -> VideoInfo:
    """Return the properties in header and first frame; seconds are 0 where the header has none."""
    height, width = displayed_size(first, pixel_aspect(stream))
    return VideoInfo(
        width,
        height,
        fps=frame_rate(stream),
        seconds=float((stream.duration or 0) * (stream.time_base or 0)),
        stream=stream.index,
        start=max(0.0, (first.time or 0.0) - (container.start_time or 0) / av.time_base),
    )


def _measured(info: VideoInfo, times: list[float], last: VideoFrame) -> VideoInfo:
    """Return `info` with the seconds to the end of the last frame, and a rate if it had none."""
    fps = info.fps or (len(times) - 1) / (times[-1] or 1.0)
    shown = float(last.duration * (last.time_base or 0)) or 1 / (fps or 1.0)
    return replace(info, fps=fps, seconds=times[-1] + shown)


def _measured_by_packets(path: Path) -> tuple[float, float]:
    """Return a video's seconds and its frame rate without decoding it, 0 for what has no times."""
    with opened(path) as (container, stream):
        spans = sorted(
            (packet.pts, packet.pts + (packet.duration or 0))
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        )
        tick = float(stream.time_base or 0)
    if not spans:
        return 0.0, 0.0
    start, last = spans[0][0], spans[-1][0]
    return (
        (max(end for _, end in spans) - start) * tick,
        (len(spans) - 1) / ((last - start) * tick or 1.0),
    )


class _Witnesses:
    """Frames in which decord is compared with PyAV: the last key frame, and one soon after it.

    decord reaches these without decoding all frames before. Whether its colours, orientation and
    order are right depends on a file's codec and container, and hardly on the place in it.
    """

    def __init__(self) -> None:
        self.sizes: set[tuple[int, int]] = set()
        self.frames: dict[int, VideoFrame] = {}
        self.key = 0

    def see(self, number: int, frame: VideoFrame) -> None:
        """Keep a frame if it is one of the two so far."""
        self.sizes.add((frame.height, frame.width))
        if frame.key_frame or not number:
            self.key, self.frames = number, {number: frame}
        elif number == self.key + BEHIND:
            self.frames[number] = frame

    def agree_with_decord(self, path: Path, frames: int) -> bool:
        """Return whether decord counts as many frames, and decodes the kept ones to the same.

        Frames must have one size. Frames of a single colour, as at the end of a fade to black,
        prove nothing.
        """
        if decord is None or path.is_dir() or len(self.sizes) > 1 or not is_for_decord(path):
            return False
        shrink = RgbFitter(COMPARED, "squeeze", Fraction(1))
        shown = [shrink(frame).astype(int) for frame in self.frames.values()]
        if max(np.ptp(picture) for picture in shown) <= ALIKE:
            return False
        theirs = _decords_pictures(path, frames, list(self.frames))
        return len(theirs) == len(shown) and all(
            np.abs(picture - other).max() <= ALIKE
            for picture, other in zip(shown, theirs, strict=True)
        )


def _decords_pictures(path: Path, frames: int, numbers: list[int]) -> list[NDArray[np.uint8]]:
    """Return decord's frames of rising `numbers`, small; none where it counts another number."""
    try:
        reader = _decord(path, COMPARED)
        if len(reader) != frames:
            return []
        reader.seek_accurate(numbers[0])
        pictures = [_pixels(reader.next()).copy()]
        for one, other in pairwise(numbers):
            reader.skip_frames(other - one - 1)
            pictures.append(_pixels(reader.next()).copy())
    # decord raises AssertionError for a file without frames.
    except (RuntimeError, decord.DECORDError, StopIteration, AssertionError):
        return []
    return pictures


def _decords_frames(path: Path, size: tuple[int, int], fit: Fit) -> Iterator[NDArray[np.uint8]]:
    if not is_for_decord(path):
        raise VideoError(path, "is no file that decord reads, as it was when it was listed")
    scaled = size if fit == "squeeze" else scaled_size(_displayed_size(path), size, fit)
    try:
        reader = _decord(path, scaled)
        while True:
            frame = _pixels(reader.next())
            yield frame if scaled == size else centred(frame, *size)
    except StopIteration:
        return
    except (RuntimeError, decord.DECORDError) as error:
        reason = DECORDS.sub("", one_line(error))
        raise VideoError(path, f"cannot be decoded: {reason}") from None


def _displayed_size(path: Path) -> tuple[int, int]:
    with opened(path) as (container, stream):
        return displayed_size(_first_frame(container, stream, path), pixel_aspect(stream))


def _decord(path: Path, size: tuple[int, int]) -> Any:
    # More threads do not help: videos are read side by side in several processes.
    return decord.VideoReader(f"file:{path}", width=size[1], height=size[0], num_threads=1)


class _Shared:
    """A picture that numpy reads in decord's memory: a copy would take as long as mixing it."""

    def __init__(self, picture: Any) -> None:
        self.picture = picture

    def __dlpack__(self, **_: Any) -> Any:
        return self.picture.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # main memory


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """Return (H, W, 3): for a few widths (48, 72) decord counts the rows' padding as channels."""
    frame: NDArray[Any] = np.from_dlpack(_Shared(picture))
    height, width, _ = frame.shape
    return frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
