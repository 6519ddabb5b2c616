"""Opens a video and decodes it with PyAV, whose ffmpeg is the reference for every file.

A folder of jpg files 00001.jpg, 00002.jpg ... is a video too. Converting pixels is done elsewhere
(fitting, planes), and so is examining a file (reading).

A stretch of a video holds the frames that are shown from its start to before its end, in seconds.
In a long video, decoding begins at a key frame before the stretch where the result is certain to
be the same.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import dropwhile, islice, takewhile
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from framemix.errors import VideoError
from framemix.video.containers import ONLY_ITSELF, require_video_file

Stretch = tuple[float, float]  # seconds of a video, from and to before

# Tolerance for sums and differences of floats; no clock ticks as fast. Seconds.
TICK = 1e-6
# Seeking aims this much before a stretch: frames that are shown before a key frame, but decoded
# after it, are then not in the stretch. Times are checked this far beyond its end. Seconds.
AHEAD = 1.0
REORDERED = 17  # frames; H.264 and HEVC show a frame at most 16 frames after it was decoded
MATROSKA_CLOCK = 1000  # ticks of a second, in WebM too
JPG_PATTERN = "%05d.jpg"  # of the frames in a folder, as Something-Something V1 names them

av.logging.set_level(av.logging.FATAL)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video; of several streams, the one that ffmpeg and decord choose too.

    Raises VideoError for PyAV's errors.
    """
    try:
        with _container(path) as container:
            stream = video_stream(container, path)
            # More threads do not help: videos are read side by side in several processes.
            stream.thread_count = 1
            if path.is_dir():
                # Without it, the missing half of a truncated picture would be decoded as grey.
                stream.codec_context.options = {"err_detect": "explode"}
            yield container, stream
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise VideoError(path, f"cannot be decoded: {error.strerror}") from None


def video_stream(container: InputContainer, source: Path | str) -> VideoStream:
    """Return the video stream that a player shows. Raises VideoError, which names `source`."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise VideoError(source, "has no video stream")
    return stream


def decoded(
    container: InputContainer, stream: VideoStream, source: Path | str
) -> Iterator[VideoFrame]:
    """Yield a stream's frames.

    Raises VideoError where metadata mirror a frame, or rotate it by other than 0, 90, 180 or 270
    degrees: decord, PyAV and ffmpeg would then show different pictures.
    """
    rotation = None
    for frame in container.decode(stream):
        # Only where it changes: reading side data keeps the frame until garbage is collected.
        if frame.rotation != rotation:
            _require_quarter_turns(frame, source)
            rotation = frame.rotation
        yield frame


def time_of(frame: VideoFrame, number: int, rate: float) -> float:
    """Return when a frame is shown, in seconds; computed from its number where it has no time."""
    return number / rate if frame.time is None else frame.time


def from_first(times: Iterable[float]) -> list[float]:
    """Return seconds from the first frame's, sorted: in AVI files, times may be out of order."""
    ordered = sorted(times)
    return [time - ordered[0] for time in ordered]


def numbers_within(times: Sequence[float], stretch: Stretch) -> range:
    """Return the numbers of the frames of a stretch; `times` rise from 0."""
    first, stop = (bisect_left(times, second - TICK) for second in stretch)
    return range(first, max(first, stop))


def decoded_within(
    container: InputContainer, stream: VideoStream, path: Path, stretch: Stretch | None
) -> Iterator[VideoFrame]:
    """Yield the frames of a stretch, or all frames, of a file that was just opened.

    A stretch has exactly the frames that slicing all frames by their times would give.
    """
    if stretch is None:
        yield from decoded(container, stream, path)
    elif landing := _landing(path, stretch):
        yield from _landed(container, stream, path, stretch, landing)
    else:
        with opened(path) as (again, same):
            rate = frame_rate(same) or 1.0
            times = [time_of(frame, n, rate) for n, frame in enumerate(decoded(again, same, path))]
        numbers = numbers_within(from_first(times), stretch)
        yield from islice(decoded(container, stream, path), numbers.start, numbers.stop)


def frame_rate(stream: VideoStream) -> float:
    """Return the frame rate in the stream's header, 0 where it has none.

    Browsers record without one. FFmpeg then takes the ticks of the file's clock for its frames.
    """
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    are_ticks = rate == MATROSKA_CLOCK and rate * (stream.time_base or 0) == 1
    return 0.0 if are_ticks else float(rate)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return the displayed width of a stored pixel, as a multiple of its height."""
    return stream.sample_aspect_ratio or Fraction(1)


def displayed_size(frame: VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Return the displayed (height, width) of a frame whose stored pixels have the aspect `aspect`.

    The frame is rotated first; then the height stays, and the width is scaled to square pixels.
    """
    height, width = frame.height, frame.width
    if frame.rotation % 180:
        height, width, aspect = width, height, 1 / aspect
    return height, max(1, round(width * aspect))


@dataclass(frozen=True)
class _Landing:
    """Where to seek for a stretch, in ticks of the stream, and the time of the first frame."""

    ticks: int
    origin: float


def _landing(path: Path, stretch: Stretch) -> _Landing | None:
    """Return where to seek if the frames from there are certain to be the same, else None.

    This decodes to find out: a key frame must come before the stretch, and all frames from there to
    its end, and the file's first, must be undamaged and in the order of their times.
    """
    if stretch[0] <= AHEAD or path.is_dir():
        return None
    # A file that cannot be sought is decoded from its start.
    with suppress(VideoError), opened(path) as (container, stream):
        first = _rising_times(islice(decoded(container, stream, path), REORDERED))
        # A palette is stored where it last changed, which may be before the key frame.
        if not first or stream.pix_fmt == "pal8":
            return None
        ticks = int((first[0] + stretch[0] - AHEAD) / (stream.time_base or 1))
        landing = _Landing(ticks, first[0])
        until = first[0] + stretch[1] + AHEAD
        frames = _from_key_frame(container, stream, path, landing)
        times = _rising_times(takewhile(lambda frame: (frame.time or 0.0) < until, frames))
        if times and times[0] - first[0] <= stretch[0]:
            return landing
    return None


def _rising_times(frames: Iterable[VideoFrame]) -> list[float]:
    """Return the times of frames; nothing where one is damaged or out of order."""
    times: list[float] = []
    for frame in frames:
        if frame.time is None or frame.is_corrupt or (times and frame.time <= times[-1]):
            return []
        times.append(frame.time)
    return times


def _landed(
    container: InputContainer, stream: VideoStream, path: Path, stretch: Stretch, landing: _Landing
) -> Iterator[VideoFrame]:
    for frame in _from_key_frame(container, stream, path, landing):
        second = (frame.time or 0.0) - landing.origin + TICK
        if second >= stretch[1]:
            return
        if second >= stretch[0]:
            yield frame


def _from_key_frame(
    container: InputContainer, stream: VideoStream, path: Path, landing: _Landing
) -> Iterator[VideoFrame]:
    """Seek and yield frames from a key frame on; earlier ones may depend on frames before them."""
    container.seek(landing.ticks, stream=stream)
    return dropwhile(
        lambda frame: not (frame.key_frame and frame.pict_type == PictureType.I),
        decoded(container, stream, path),
    )


def _container(path: Path) -> InputContainer:
    if path.is_dir():
        # image2 reads a single per cent sign as the place of a number.
        return av.open(f"{path}".replace("%", "%%") + f"/{JPG_PATTERN}", format="image2")
    require_video_file(path)
    return av.open(f"file:{path}", options=ONLY_ITSELF)


def _require_quarter_turns(frame: VideoFrame, source: Path | str) -> None:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored, slanted = a * d < b * c, (a or d) and (b or c)
    if mirrored or slanted:
        how = "mirrored" if mirrored else f"turned by {frame.rotation} degrees"
        raise VideoError(source, f"is {how} by its metadata; allowed: 0, 90, 180 or 270 degrees")
