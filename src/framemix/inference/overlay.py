"""Writes on video frames: what a model says, and where it looks."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from framemix.inference.output import best
from framemix.inference.prediction import Prediction
from framemix.mixing import Pixels
from framemix.video.live import opened_live
from framemix.video.reading import describe
from framemix.video.writing import video_writer

TEXT, SHADE = (255, 255, 255), (0, 0, 0, 150)
SMALLEST_LETTERS = 12  # pixels


def annotate(
    path: Path, target: Path, predictions: Sequence[Prediction], classes: Sequence[str], top: int
) -> None:
    """Write the video with the likeliest classes on it: at each time, of the nearest window.

    `predictions` are in the order of time, `target` is an MP4 file of the video's size, at its
    average frame rate. Raises VideoError.
    """
    info = describe(path)
    # H.264 has one colour for 2x2 pixels.
    height, width = info.height // 2 * 2, info.width // 2 * 2
    how: dict[str, Any] = {"size": (height, width), "fit": "squeeze", "pixel_format": "rgb24"}
    middles = [(said.start + said.end) / 2 for said in predictions]
    borders = [(one + other) / 2 for one, other in pairwise(middles)]
    # As if live, one by one: decord would decode frames of full size ahead, to the last.
    with (
        opened_live(str(path), **how, paced=False) as live,
        video_writer(target, width=width, height=height, fps=live.fps, codec="h264") as write,
    ):
        for frame in live.frames:
            said = predictions[bisect_left(borders, frame.seconds)]
            likely = best(classes, said.probabilities, top)
            write(write_lines(frame.pixels, [f"{p:4.0%}  {name}" for name, p in likely]))


def write_lines(frame: Pixels, lines: Sequence[str]) -> Pixels:
    """Return the frame uint8 (H, W, 3) with lines of text on a dark band in its upper left."""
    picture = Image.fromarray(frame)
    letters = max(SMALLEST_LETTERS, frame.shape[0] // 20)
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.load_default(letters)
    text, margin = "\n".join(lines), letters // 2
    left, upper, right, lower = draw.multiline_textbbox((margin, margin), text, font=font)
    draw.rectangle((left - margin, upper - margin, right + margin, lower + margin), fill=SHADE)
    draw.multiline_text((margin, margin), text, font=font, fill=TEXT)
    return np.asarray(picture)
