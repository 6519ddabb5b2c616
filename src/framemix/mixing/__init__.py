"""Frame mix-up: a whole video in a few frames (paper B, section 3).

The arithmetic on frames (`frames`), on sliding windows (`rolling`) and on video files (`files`)
belongs here. Finding the videos does not (`datasets`), nor storing the mixed clips (`store`).
"""

from framemix.mixing.frames import (
    Method,
    MixSettings,
    Pixels,
    Window,
    mix_frames,
    mix_ranges,
    mix_stream,
    mix_windows,
    segment_weights,
)

__all__ = [
    "Method",
    "MixSettings",
    "Pixels",
    "Window",
    "mix_frames",
    "mix_ranges",
    "mix_stream",
    "mix_windows",
    "segment_weights",
]
