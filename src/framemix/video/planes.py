"""Reads video files as planes of brightness and colour (yuv420p), as the decoder yields them.

Planes have a quarter of the colour samples and need no conversion to RGB, which saves half the
bytes and most of the time. All files are converted to one encoding, BT.601 in limited range, which
nearly all have already, so that planes can be read without knowing their file.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from framemix.video.decoding import (
    Stretch,
    decoded_within,
    displayed_size,
    opened,
    pixel_aspect,
)
from framemix.video.fitting import Fit, centred, scaled_size

# BT.709, FCC, SMPTE 240M, BT.2020. Any other value means BT.601 or is unspecified, and ffmpeg (and
# so decord) reads unspecified files as BT.601.
OTHER_MATRICES = (1, 4, 7, 9)
BLACK = (16, 128, 128)  # of Y, U and V

Planes = list[NDArray[np.uint8]]


def stream_planes(
    path: Path, *, size: tuple[int, int], fit: Fit, stretch: Stretch | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames as uint8 (3H/2, W) of `size` = (H, W), both even, as `stream_frames` does.

    A frame holds its planes one after another: Y (H, W), then U and V (H/2, W/2). Raises
    VideoError.
    """
    with opened(path) as (container, stream):
        fitted = PlaneFitter(size, fit, pixel_aspect(stream))
        for frame in decoded_within(container, stream, path, stretch):
            yield fitted(frame)


class PlaneFitter:
    """Turns decoded frames into planes, uint8 (3H/2, W) of one even size (H, W)."""

    def __init__(self, size: tuple[int, int], fit: Fit, aspect: Fraction) -> None:
        self.size, self.fit, self.aspect = size, fit, aspect
        self.convert = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame upright, scaled and centred."""
        scaled = scaled_size(displayed_size(frame, self.aspect), self.size, self.fit)
        if self.fit != "squeeze":
            scaled = _even(scaled)
        planes = _planes(frame, scaled, self.convert)
        return _packed(planes if scaled == self.size else _fitted(planes, self.size), self.size)


def _even(size: tuple[int, int]) -> tuple[int, int]:
    """Return the nearest size whose colour planes have half as many rows and columns."""
    height, width = size
    return max(2, 2 * round(height / 2)), max(2, 2 * round(width / 2))


def _planes(frame: VideoFrame, size: tuple[int, int], convert: VideoReformatter) -> Planes:
    """Return Y, U and V of a frame, turned as its metadata states and scaled to `size`."""
    height, width = size if frame.rotation % 180 == 0 else size[::-1]
    if not _is_canonical(frame) or (frame.height, frame.width) != (height, width):
        frame = convert.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p",
            # None: the encoding that the frame declares.
            src_colorspace=None if frame.colorspace in OTHER_MATRICES else Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
    # Counter-clockwise, like the metadata.
    return [np.rot90(_array(plane), frame.rotation // 90) for plane in frame.planes]


def _is_canonical(frame: VideoFrame) -> bool:
    return (
        frame.format.name == "yuv420p"
        and frame.color_range != ColorRange.JPEG
        and frame.colorspace not in OTHER_MATRICES
    )


def _array(plane: VideoPlane) -> NDArray[np.uint8]:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)  # with padding
    return rows[: plane.height, : plane.width]


def _fitted(planes: Planes, size: tuple[int, int]) -> Planes:
    """Centre the planes in `size`; Y is shifted by even numbers, so that colours stay in place."""
    (height, width), (y, u, v) = size, planes
    return [
        centred(y, height, width, step=2, fill=BLACK[0]),
        centred(u, height // 2, width // 2, fill=BLACK[1]),
        centred(v, height // 2, width // 2, fill=BLACK[2]),
    ]


def _packed(planes: Planes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return Y (H, W), U and V (H/2, W/2) as one array (3H/2, W)."""
    height, width = size
    packed = np.empty((3 * height // 2, width), np.uint8)
    samples, start = packed.reshape(-1), 0
    for plane in planes:
        samples[start : start + plane.size].reshape(plane.shape)[:] = plane
        start += plane.size
    return packed
