"""Writes video files with ffmpeg: frame by frame, or a clip cut out of a longer video.

The same input gives the same bytes: one encoder thread, and ffmpeg's bitexact flags, which
leave out dates and version strings.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from framemix.errors import VideoError
from framemix.jobs.atomic import FULL, replacing
from framemix.jobs.lifeline import die_with
from framemix.video.containers import ONLY_ITSELF, require_video_file

Codec = Literal["xvid", "h264", "ffv1"]
WriteFrame = Callable[[NDArray[np.uint8]], None]

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", "-nostdin"]
BITEXACT = {"fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1, "threads": 1}
ENCODERS: dict[Codec, dict[str, Any]] = {
    # UCF101's AVI files hold mpeg4 with the tag XVID; q 4 is close to their bit rate.
    "xvid": {"vcodec": "mpeg4", "vtag": "XVID", "q:v": 4, "format": "avi"},
    # Lossless; every frame is a key frame.
    "ffv1": {"vcodec": "ffv1", "level": 3, "g": 1, "format": "avi"},
    "h264": {"vcodec": "libx264", "preset": "veryfast", "crf": 20, "format": "mp4"},
}


@contextmanager
def video_writer(
    path: Path, *, width: int, height: int, fps: float, codec: Codec, rotation: int = 0
) -> Iterator[WriteFrame]:
    """Yield a function that appends one frame, uint8 (height, width, 3) RGB, to a new video.

    `rotation` is stored as display metadata (degrees counter-clockwise, MP4 and MOV only): a player
    rotates the picture, the coded frames stay unchanged. The file appears under its name only when
    complete. Raises VideoError when ffmpeg fails.
    """
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=fps)
    with replacing(path) as partial, tempfile.TemporaryFile() as log:
        encode = _encode(source, partial, codec)
        process = subprocess.Popen(
            encode.compile(cmd=FFMPEG, overwrite_output=True),
            stdin=subprocess.PIPE,
            stderr=log,
            preexec_fn=_tied(),
        )
        try:
            with process:
                yield _frame_sink(process.stdin, path, log)
        except BrokenPipeError:  # frames were still buffered when ffmpeg ended
            if process.returncode == 0:
                raise
        _check(process.returncode, path, log)
        if rotation:
            _store_rotation(partial, rotation, path)


def cut_clip(
    source: Path,
    target: Path,
    *,
    stream: int,
    start: float,
    frames: int,
    fps: float,
    width: int,
    height: int,
) -> None:
    """Write `frames` frames of `source` from `start` seconds on as H.264 of the given size.

    Stream number `stream` of the source is read. The picture is rotated as its metadata states and
    squeezed to `width` x `height` (bilinear). Decoding begins at the key frame before `start`. The
    clip has fewer frames when the source ends early. Damage within the stretch goes unnoticed:
    ffmpeg repeats the frame before. Raises VideoError when ffmpeg fails, DatasetError when the disk
    is full.
    """
    require_video_file(source)
    # Seeking to 0 fails in an MKV without an index, such as a recording that was interrupted.
    stretch = {"t": frames / fps + 1.0} | ({"ss": start} if start else {})
    video = ffmpeg.input(f"file:{source}", threads=1, **stretch, **ONLY_ITSELF)[str(stream)]
    video = video.filter("fps", fps=fps).filter("scale", width, height, flags="bilinear")
    with replacing(target) as partial, tempfile.TemporaryFile() as log:
        encode = _encode(video.filter("setsar", 1), partial, "h264", **{"frames:v": frames})
        _run(encode, source, log)


def _encode(source: Any, target: Path, codec: Codec, **options: Any) -> Any:
    """Return the ffmpeg-python node that encodes `source` into the file `target`."""
    return source.output(
        f"file:{target}", pix_fmt="yuv420p", **ENCODERS[codec], **BITEXACT, **options
    )


def _frame_sink(stdin: IO[bytes] | None, path: Path, log: IO[bytes]) -> WriteFrame:
    assert stdin is not None

    def write(frame: NDArray[np.uint8]) -> None:
        try:
            stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            _check_disk(log)
            raise VideoError(path, f"cannot be written: {_first_line(log)}") from None

    return write


def _store_rotation(partial: Path, rotation: int, path: Path) -> None:
    """Add the display rotation by copying the stream: encoding with it would rotate the frames."""
    with replacing(partial) as turned, tempfile.TemporaryFile() as log:
        copy = ffmpeg.input(f"file:{partial}", display_rotation=rotation).output(
            f"file:{turned}", c="copy", format="mp4", fflags="+bitexact", map_metadata=-1
        )
        _run(copy, path, log)


def _run(node: Any, path: Path, log: IO[bytes]) -> None:
    """Run an ffmpeg-python node to its end. Raises the errors of `_check`, about `path`."""
    command = node.compile(cmd=FFMPEG, overwrite_output=True)
    done = subprocess.run(command, stderr=log, check=False, preexec_fn=_tied())
    _check(done.returncode, path, log)


def _tied() -> Callable[[], None]:
    """Return the function that ffmpeg's process calls first, so that it dies with this process.

    The ffmpeg of a killed stage would otherwise keep writing files that the next run writes too.
    """
    return partial(die_with, os.getpid())


def _check(returncode: int, path: Path, log: IO[bytes]) -> None:
    if returncode == 0:
        return
    _check_disk(log)
    raise VideoError(path, f"ffmpeg failed ({returncode}): {_first_line(log)}")


def _check_disk(log: IO[bytes]) -> None:
    """Raise OSError where ffmpeg reports a full disk, for which no video must be rejected."""
    log.seek(0)
    message = log.read()
    for number in FULL:
        if os.strerror(number).encode() in message:
            raise OSError(number, os.strerror(number))


def _first_line(log: IO[bytes]) -> str:
    """Return the first line of ffmpeg's errors, without addresses, which change from run to run."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return re.sub(r"^(\[[^]]*\] )+", "", lines[0]) if lines else "no message"
