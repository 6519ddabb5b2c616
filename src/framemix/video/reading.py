"""Says what ffmpeg shows of a video file, and reads its frames as RGB.

`examine` decodes a file once with PyAV, whose ffmpeg is the truth, and decides who reads it. decord
does where it gives the same: its frames then equal PyAV's, but for XviD, where some values differ
by up to 2 of 255, as the ffmpeg in each rounds differently. PyAV reads all else, and everything
where decord is not installed. Frames come one at a time, so a video's length does not matter for
memory.
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

# decord's messages begin with the time of day and a line of its source.
DECORDS = re.compile(r"^\[[\d:]+\] \S+: (Error: )?")
# Frames are compared at this size, which also keeps those small that decord decodes ahead; pixels.
COMPARED = (48, 64)
BEHIND = 4  # so many frames behind another, decord has decoded the next already
# Between decord's values and PyAV's of the same frame. What decord gets wrong (no colours, another
# side up, full range for limited) is further off.
ALIKE = 6


@dataclass(frozen=True)
class VideoInfo:
    """A video as displayed: width and height in pixels, frames a second, seconds.

    Width is in square pixels. Seconds are the picture's, whatever the sound's. `stream` is the
    number, in its file, of the stream that is read; it starts `start` seconds behind the file's
    start.
    """

    width: int
    height: int
    fps: float
    seconds: float
    stream: int = 0
    start: float = 0.0


@dataclass(frozen=True)
class ExaminedVideo:
    """What decoding a video to its end tells.

    `times` are the seconds at which each frame is shown, from the first frame's on.
    """

    info: VideoInfo
    times: tuple[float, ...]
    reader: Reader

    @property
    def frames(self) -> int:
        """How many frames ffmpeg shows."""
        return len(self.times)

    def within(self, stretch: Stretch) -> range:
        """Return the numbers of the frames of a stretch."""
        return numbers_within(self.times, stretch)


def describe(path: Path) -> VideoInfo:
    """Return what the header and the first frame tell; only what they lack is measured.

    Raises VideoError.
    """
    with opened(path) as (container, stream):
        info = _first_shown(container, stream, _first_frame(container, stream, path))
        guessed = container.format.name == "mpeg"  # it has no header: ffmpeg looks at some times
    known = info.seconds and not guessed
    return info if known else replace(info, seconds=_seconds_of_packets(path))


def examine(path: Path) -> ExaminedVideo:
    """Decode a video once and return what ffmpeg shows of it, and who reads that.

    Times rise: frames come in the right order, but in AVI files with B-frames, as UCF101 has some,
    their times may not. Raises VideoError where the decoder marks a frame as damaged. Frames that
    are lost as a whole, as at the end of a file that was cut short, are not noticed.
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
    """Return the files that a video is: itself, or the frames in its folder."""
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
    picture on black. `reader` is who reads the file, as `examine` decided; a `stretch` of it is
    always PyAV's. Raises VideoError.
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
    """Return what header and first frame tell; seconds are 0 where the header has none."""
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
    """Return `info` with the seconds until the last frame is gone, and a rate if it has none."""
    fps = info.fps or (len(times) - 1) / (times[-1] or 1.0)
    shown = float(last.duration * (last.time_base or 0)) or 1 / (fps or 1.0)
    return replace(info, fps=fps, seconds=times[-1] + shown)


def _seconds_of_packets(path: Path) -> float:
    """Return from when to when a video is shown, without decoding it."""
    with opened(path) as (container, stream):
        spans = [
            (packet.pts, packet.pts + (packet.duration or 0))
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        ]
        ticks = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0
        return float(ticks * (stream.time_base or 0))


class _Witnesses:
    """Frames by which decord is compared with PyAV: the last key frame, and one soon behind it.

    To these decord gets without decoding all before. Whether its colours, sides and order are right
    is a matter of a file's codec and container, and hardly of a place in it.
    """

    def __init__(self) -> None:
        self.sizes: set[tuple[int, int]] = set()
        self.frames: dict[int, VideoFrame] = {}
        self.key = 0

    def see(self, number: int, frame: VideoFrame) -> None:
        """Keep a frame where it is one of the two so far."""
        self.sizes.add((frame.height, frame.width))
        if frame.key_frame or not number:
            self.key, self.frames = number, {number: frame}
        elif number == self.key + BEHIND:
            self.frames[number] = frame

    def agree_with_decord(self, path: Path, frames: int) -> bool:
        """Return whether decord gives as many frames, and shows the same on those that were kept.

        Frames have to be of one size. Those that show nothing, as at the end of a fade to black,
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
    """Return decord's frames of rising `numbers`, small; none where it counts other frames."""
    try:
        reader = _decord(path, COMPARED)
        if len(reader) != frames:
            return []
        reader.seek_accurate(numbers[0])
        pictures = [_pixels(reader.next()).copy()]
        for one, other in pairwise(numbers):
            reader.skip_frames(other - one - 1)
            pictures.append(_pixels(reader.next()).copy())
    # An assertion is how decord tells of a file without frames.
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
        said = DECORDS.sub("", one_line(error))
        raise VideoError(path, f"cannot be decoded: {said}") from None


def _displayed_size(path: Path) -> tuple[int, int]:
    with opened(path) as (container, stream):
        return displayed_size(_first_frame(container, stream, path), pixel_aspect(stream))


def _decord(path: Path, size: tuple[int, int]) -> Any:
    # More threads do not help: videos are read side by side in several processes.
    return decord.VideoReader(f"file:{path}", width=size[1], height=size[0], num_threads=1)


class _Shared:
    """A picture of decord that numpy looks at where it is: a copy takes as long as mixing it."""

    def __init__(self, picture: Any) -> None:
        self.picture = picture

    def __dlpack__(self, **_: Any) -> Any:
        return self.picture.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # main memory


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """Return (H, W, 3): of a few widths (48, 72) decord takes the rows' padding for channels."""
    frame: NDArray[Any] = np.from_dlpack(_Shared(picture))
    height, width, _ = frame.shape
    return frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)
