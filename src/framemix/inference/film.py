"""The film of an explanation: the whole video, under what its answer draws on."""

from pathlib import Path

from framemix.explain.explanation import Explanation
from framemix.explain.pictures import under_heat
from framemix.inference.clips import frame_rate
from framemix.inference.overlay import write_lines
from framemix.mixing import MixSettings, mix_windows
from framemix.video.clock import steady
from framemix.video.reading import frame_times, stream_frames
from framemix.video.writing import video_writer

SMALLEST_HEIGHT = 240  # pixels


def write_film(path: Path, target: Path, explanation: Explanation, mix: MixSettings) -> None:
    """Write the video, fitted as the network sees it but larger, under its segments' relevance.

    Raises VideoError.
    """
    scale = -(-SMALLEST_HEIGHT // mix.size[0])
    height, width = (2 * (side * scale // 2) for side in mix.size)
    fps, times = frame_rate(path), frame_times(path)
    caption = [f"{explanation.probability:4.0%}  {explanation.class_name}"]
    first, length = mix.span(len(times))
    windows = mix_windows(
        length, segments=len(explanation.clip), method="average", frames_per_segment="all"
    )
    segment_of = [segment for segment, window in enumerate(windows) for _ in window]
    frames = enumerate(stream_frames(path, size=(height, width), fit=mix.fit))
    with video_writer(target, width=width, height=height, fps=fps, codec="h264") as write:
        for number, frame in steady(frames, times, fps, path):
            if first <= number < first + length:
                heated = under_heat(explanation, frame, segment_of[number - first])
                write(write_lines(heated, caption))
            else:
                write(frame)
