"""Reads videos: decord for RGB frames, PyAV to count and describe.

decord's frames are turned as the file's metadata says. They equal PyAV's, but for XviD: there some
values differ by up to 2 of 255, as the ffmpeg in each rounds differently. Frames come one at a
time, so a video's length does not matter for memory. A folder of jpg files 00001.jpg, 00002.jpg ...
is a video too, which PyAV reads.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import av.logging
import decord
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from framemix.errors import VideoError, one_line
from framemix.video.containers import ONLY_ITSELF, require_video_file

Fit = Literal["squeeze", "crop", "pad"]

# decord's messages begin with the time of day and a line of its source.
DECORDS = re.compile(r"^\[[\d:]+\] \S+: (Error: )?")
JPG_PATTERN = "%05d.jpg"  # of the frames in a folder, as Something-Something V1 names them

decord.logging.set_level(decord.logging.QUIET)
av.logging.set_level(av.logging.FATAL)


@dataclass(frozen=True)
class VideoInfo:
    """A video as displayed: width and height in pixels, frames a second, seconds.

    `stream` is the number, in its file, of the stream that is read.
    """

    width: int
    height: int
    fps: float
    seconds: float
    stream: int = 0


def describe(path: Path) -> VideoInfo:
    """Return what the header says, and the first frame's rotation. Raises VideoError."""
    with opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise VideoError(f"{path}: has no frame that can be decoded")
        _require_quarter_turns(first, path)
        width, height = stream.width, stream.height
        if first.rotation % 180:
            width, height = height, width
        seconds = (container.duration or 0) / av.time_base
        return VideoInfo(width, height, float(stream.average_rate or 0), seconds, stream.index)


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


def _require_quarter_turns(frame: VideoFrame, source: object) -> None:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored, slanted = a * d < b * c, (a or d) and (b or c)
    if mirrored or slanted:
        how = "mirrored" if mirrored else f"turned by {frame.rotation} degrees"
        raise VideoError(f"{source}: is {how} by its metadata; allowed: 0, 90, 180 or 270 degrees")


def video_files(path: Path) -> list[Path]:
    """Return the files that a video is: itself, or the frames in its folder."""
    return sorted(path.glob("*.jpg")) if path.is_dir() else [path]


def count_frames(path: Path) -> int:
    """Return how many frames `frame_times` finds. Raises VideoError as it does."""
    return len(frame_times(path))


def frame_times(path: Path) -> list[float]:
    """Return when each frame is shown, in seconds, of all that can be decoded.

    What is mixed must not depend on who reads it: raises VideoError where the decoder marks a frame
    as damaged, and where decord decodes more or fewer frames. Frames that are lost as a whole, as
    at the end of a file that was cut short, are not noticed. Times rise: frames come in the right
    order, but in AVI files with B-frames, as UCF101 has some, their times may not.
    """
    with opened(path) as (container, stream):
        stream.thread_count = 1
        rate, times, damaged = float(stream.average_rate or 1), [], 0
        for number, frame in enumerate(container.decode(stream)):
            times.append(number / rate if frame.time is None else float(frame.time))
            damaged += frame.is_corrupt
        as_declared = path.is_dir() or len(times) == stream.frames
    if not times:
        raise VideoError(f"{path}: has no frame that can be decoded")
    if damaged:
        raise VideoError(
            f"{path}: damaged: {damaged} of {len(times)} frames cannot be decoded whole"
        )
    # Decoding again costs more than the first time: only where the header has another frame count,
    # or none.
    if not as_declared:
        others = sum(1 for _ in stream_frames(path, size=(8, 8), fit="squeeze"))
        if others != len(times):
            raise VideoError(f"{path}: damaged: PyAV decodes {len(times)} frames, decord {others}")
    return sorted(times)


def stream_frames(path: Path, *, size: tuple[int, int], fit: Fit) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames as uint8 (H, W, 3) RGB of `size` = (H, W), scaled bilinearly.

    squeeze: each side on its own. crop: the centre that fills the size. pad: the whole
    picture on black. Raises VideoError.
    """
    height, width = size
    scaled = size if fit == "squeeze" else scaled_size(describe(path), size, fit)
    for frame in _jpg_frames(path, scaled) if path.is_dir() else _file_frames(path, scaled):
        yield frame if scaled == size else centred(frame, height, width)


def _jpg_frames(folder: Path, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    convert = VideoReformatter()
    with opened(folder) as (container, stream):
        stream.thread_count = 1
        for frame in container.decode(stream):
            scaled = convert.reformat(
                frame,
                width=size[1],
                height=size[0],
                format="rgb24",
                interpolation=Interpolation.BILINEAR,
                threads=1,
            )
            yield np.asarray(scaled.to_ndarray(), np.uint8)


def _file_frames(path: Path, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    require_video_file(path)
    try:
        # More threads do not help: videos are read side by side in several processes.
        reader = decord.VideoReader(f"file:{path}", width=size[1], height=size[0], num_threads=1)
        while True:
            yield _pixels(reader.next())
    except StopIteration:
        return
    except (RuntimeError, decord.DECORDError) as error:
        said = DECORDS.sub("", one_line(error))
        raise VideoError(f"{path}: cannot be decoded: {said}") from None


def scaled_size(info: VideoInfo, size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the (height, width) in the video's proportions that fills `size` or fits into it."""
    choose = max if fit == "crop" else min
    scale = choose(size[0] / info.height, size[1] / info.width)
    return max(1, round(info.height * scale)), max(1, round(info.width * scale))


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


def centred(
    frame: NDArray[np.uint8], height: int, width: int, *, step: int = 1, fill: int = 0
) -> NDArray[np.uint8]:
    """Centre `frame` (h, w, ...) in (height, width): cut what sticks out, fill what is missing.

    It moves by multiples of `step` pixels.
    """
    for axis, wanted in ((0, height), (1, width)):
        spare = frame.shape[axis] - wanted
        before = step * (abs(spare) // (2 * step))
        if spare >= 0:
            frame = frame.take(range(before, before + wanted), axis=axis)
        else:
            margins = [(0, 0)] * frame.ndim
            margins[axis] = (before, -spare - before)
            frame = np.pad(frame, margins, constant_values=fill)
    return frame


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the stream of a video that decord takes too, where there are several.

    Raises VideoError for PyAV's errors.
    """
    try:
        with _container(path) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError(f"{path}: has no video stream")
            if path.is_dir():
                # Without it, the half of a picture that a cut file lacks is just grey.
                stream.codec_context.options = {"err_detect": "explode"}
            yield container, stream
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: cannot be decoded: {error.strerror}") from None


def _container(path: Path) -> InputContainer:
    if path.is_dir():
        # image2 takes a per cent sign for a number's place.
        return av.open(f"{path}".replace("%", "%%") + f"/{JPG_PATTERN}", format="image2")
    require_video_file(path)
    return av.open(f"file:{path}", options=ONLY_ITSELF)
