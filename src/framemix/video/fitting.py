"""Fits pictures into the size of a network's input: squeezed, cropped or padded.

The same code serves all that PyAV decodes: files, folders of jpg files and cameras.
"""

from fractions import Fraction
from typing import Literal

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from framemix.video.decoding import displayed_size

Fit = Literal["squeeze", "crop", "pad"]


def scaled_size(displayed: tuple[int, int], size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Return the (height, width) to scale a picture to, before it is centred in `size`.

    squeeze: `size`. crop, pad: the proportions of `displayed` (height, width), so large that the
    picture covers `size` or fits into it.
    """
    if fit == "squeeze":
        return size
    choose = max if fit == "crop" else min
    scale = choose(size[0] / displayed[0], size[1] / displayed[1])
    return max(1, round(displayed[0] * scale)), max(1, round(displayed[1] * scale))


def centred(
    frame: NDArray[np.uint8], height: int, width: int, *, step: int = 1, fill: int = 0
) -> NDArray[np.uint8]:
    """Centre `frame` (h, w, ...) in (height, width): cut what is too large, fill what is missing.

    The frame is shifted by multiples of `step` pixels.
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


class RgbFitter:
    """Turns decoded frames into uint8 (H, W, 3) RGB of one size, by ffmpeg's filters.

    It scales bilinearly, because decord does: another way would give other pixels.
    """

    def __init__(self, size: tuple[int, int], fit: Fit, aspect: Fraction) -> None:
        self.size, self.fit, self.aspect = size, fit, aspect
        self.kind: object = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return the frame upright, scaled and centred."""
        kind = (
            *(frame.width, frame.height, frame.format.name, frame.rotation),
            *(frame.colorspace, frame.color_range),
        )
        if self.kind != kind:
            scaled = scaled_size(displayed_size(frame, self.aspect), self.size, self.fit)
            self.kind, self.graph = kind, _scaler(frame, scaled)
        self.graph.vpush(frame)
        pixels: NDArray[np.uint8] = np.asarray(self.graph.vpull().to_ndarray(), np.uint8)
        return pixels if self.fit == "squeeze" else centred(pixels, *self.size)


def _scaler(frame: VideoFrame, size: tuple[int, int]) -> Graph:
    """Return ffmpeg's filters from the coded frame to upright RGB of (height, width) `size`."""
    graph = Graph()
    graph.threads = 1  # for small pictures, starting more takes longer than they save
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base or Fraction(1, 25)),
        # Otherwise the filters would read every file as BT.601 in limited range.
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    graph.link_nodes(
        source,
        *(graph.add("transpose", "cclock") for _ in range(frame.rotation // 90 % 4)),
        graph.add("scale", f"{size[1]}:{size[0]}:flags=bilinear"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    return graph
