"""Opens a video and decodes it with PyAV, whose ffmpeg is the truth about every file.

A folder of jpg files 00001.jpg, 00002.jpg ... is a video too. What pixels become is not decided
here (fitting, planes), nor what a file is worth (reading).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from framemix.errors import VideoError
from framemix.video.containers import ONLY_ITSELF, require_video_file

JPG_PATTERN = "%05d.jpg"  # of the frames in a folder, as Something-Something V1 names them

av.logging.set_level(av.logging.FATAL)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the stream of a video that ffmpeg and decord take too, where there are several.

    Raises VideoError for PyAV's errors.
    """
    try:
        with _container(path) as container:
            stream = video_stream(container, path)
            # More threads do not help: videos are read side by side in several processes.
            stream.thread_count = 1
            if path.is_dir():
                # Without it, the half of a picture that a cut file lacks is just grey.
                stream.codec_context.options = {"err_detect": "explode"}
            yield container, stream
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded: {error.strerror}") from None


def video_stream(container: InputContainer, source: object) -> VideoStream:
    """Return the stream that a player shows. Raises VideoError, which names `source`."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise VideoError(f"{source}: has no video stream")
    return stream


def decoded(container: InputContainer, stream: VideoStream, source: object) -> Iterator[VideoFrame]:
    """Yield a stream's frames.

    Raises VideoError where metadata mirror a frame, or turn it by other than 0, 90, 180, 270:
    decord, PyAV and ffmpeg then show different pictures.
    """
    rotation = None
    for frame in container.decode(stream):
        # Not each time: PyAV's side data keep their frame in memory until Python collects cycles.
        if frame.rotation != rotation:
            _require_quarter_turns(frame, source)
            rotation = frame.rotation
        yield frame


def frame_rate(stream: VideoStream) -> float:
    """Return the frames a second that the stream's header has, 0 where it has none."""
    return float(stream.average_rate or stream.guessed_rate or 0)


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return how wide a stored pixel is shown, as a multiple of its height."""
    return stream.sample_aspect_ratio or Fraction(1)


def displayed_size(frame: VideoFrame, aspect: Fraction) -> tuple[int, int]:
    """Return (height, width) of a frame as displayed, of the pixel aspect that it is stored in.

    Turned; then the height stays, and the width is scaled until pixels are square.
    """
    height, width = frame.height, frame.width
    if frame.rotation % 180:
        height, width, aspect = width, height, 1 / aspect
    return height, max(1, round(width * aspect))


def _container(path: Path) -> InputContainer:
    if path.is_dir():
        # image2 takes a per cent sign for a number's place.
        return av.open(f"{path}".replace("%", "%%") + f"/{JPG_PATTERN}", format="image2")
    require_video_file(path)
    return av.open(f"file:{path}", options=ONLY_ITSELF)


def _require_quarter_turns(frame: VideoFrame, source: object) -> None:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored, slanted = a * d < b * c, (a or d) and (b or c)
    if mirrored or slanted:
        how = "mirrored" if mirrored else f"turned by {frame.rotation} degrees"
        raise VideoError(f"{source}: is {how} by its metadata; allowed: 0, 90, 180 or 270 degrees")
