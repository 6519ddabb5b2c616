"""Writes predictions on the frames of a video."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from framemix.inference.clips import FRAMES, USUAL_LIMITS, frame_rate
from framemix.inference.output import best
from framemix.inference.prediction import ClipPrediction
from framemix.jobs.isolation import Limits, isolated, isolated_items
from framemix.mixing import Pixels
from framemix.pictures.lettering import lettered
from framemix.video.live import live_frames
from framemix.video.reading import describe
from framemix.video.writing import video_writer

TEXT, SHADE = (255, 255, 255), (0, 0, 0, 150)
SMALLEST_LETTERS = 12  # pixels


def annotate(
    path: Path,
    target: Path,
    predictions: Sequence[ClipPrediction],
    classes: Sequence[str],
    top: int,
    limits: Limits = USUAL_LIMITS,
    most_rows: int | None = None,
) -> None:
    """Write the video with the likeliest classes of the nearest window on each frame.

    `predictions` are in the order of time; `target` is an MP4 file with the video's displayed size
    and average frame rate, made smaller where it would have more than `most_rows` rows. The video
    is decoded in a subprocess; `limits` apply to a few frames at a time. Raises VideoError.
    """
    info = isolated(describe, path, limits)
    scale = min(1, most_rows / info.height) if most_rows else 1
    # Even numbers, because H.264 has one colour for 2x2 pixels.
    height, width = (max(2, int(side * scale) // 2 * 2) for side in (info.height, info.width))
    begin = partial(live_frames, size=(height, width))
    middles = [(prediction.start + prediction.end) / 2 for prediction in predictions]
    borders = [(one + other) / 2 for one, other in pairwise(middles)]
    with video_writer(
        target, width=width, height=height, fps=frame_rate(info, path), codec="h264"
    ) as write:
        for frame in isolated_items(begin, path, limits, batch=FRAMES):
            prediction = predictions[bisect_left(borders, frame.seconds)]
            likely = best(classes, prediction.probabilities, top)
            write(write_lines(frame.pixels, [f"{p:4.0%}  {name}" for name, p in likely]))


def write_lines(frame: Pixels, lines: Sequence[str]) -> Pixels:
    """Return the frame uint8 (H, W, 3) with lines of text on a dark band in its upper left."""
    picture = Image.fromarray(frame)
    letters = max(SMALLEST_LETTERS, frame.shape[0] // 20)
    draw = ImageDraw.Draw(picture, "RGBA")
    (text, font), margin = lettered(lines, letters), letters // 2
    left, upper, right, lower = draw.multiline_textbbox((margin, margin), text, font=font)
    draw.rectangle((left - margin, upper - margin, right + margin, lower + margin), fill=SHADE)
    draw.multiline_text((margin, margin), text, font=font, fill=TEXT)
    return np.asarray(picture)
