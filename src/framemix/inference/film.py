"""The film of an explanation: the whole video, under the relevance of its segments."""

from functools import partial
from pathlib import Path

from framemix.explain.explanation import Explanation
from framemix.explain.pictures import under_heat
from framemix.inference.clips import FRAMES, USUAL_LIMITS, MixedClip, frame_rate, shown_frames
from framemix.inference.overlay import write_lines
from framemix.jobs.isolation import isolated, isolated_items
from framemix.mixing import MixSettings, mix_windows
from framemix.video.reading import examine
from framemix.video.writing import video_writer

SMALLEST_HEIGHT = 240  # pixels


def write_film(
    path: Path,
    target: Path,
    explanation: Explanation,
    mix: MixSettings,
    window: MixedClip | None = None,
) -> None:
    """Write the video, fitted like the network's input but larger, under its segments' relevance.

    The segments are those of `window`, or of the whole video. The video is decoded in a subprocess.
    Raises VideoError.
    """
    scale = -(-SMALLEST_HEIGHT // mix.size[0])
    height, width = (2 * (side * scale // 2) for side in mix.size)
    video = isolated(examine, path, USUAL_LIMITS)
    fps = frame_rate(video.info, path)
    caption = [f"{explanation.probability:4.0%}  {explanation.class_name}"]
    if window is None:
        first, length = mix.span(video.frames)
    else:  # windows and the film have the same frames, at a constant rate
        first, end = round(window.start * fps), round(window.end * fps)
        length = end - first
    windows = mix_windows(
        length, segments=len(explanation.clip), method="average", frames_per_segment="all"
    )
    segment_of = [segment for segment, window in enumerate(windows) for _ in window]
    shown = partial(shown_frames, video=video, size=(height, width), fit=mix.fit)
    frames = isolated_items(shown, path, USUAL_LIMITS, batch=FRAMES)
    with video_writer(target, width=width, height=height, fps=fps, codec="h264") as write:
        for place, (number, frame) in enumerate(frames):
            number = number if window is None else place
            if first <= number < first + length:
                heated = under_heat(explanation, frame, segment_of[number - first])
                write(write_lines(heated, caption))
            else:
                write(frame)
