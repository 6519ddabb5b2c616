"""Frame mix-up: a whole video in a few frames (paper B, section 3).

The arithmetic of frames belongs here (`frames`), of windows that slide (`rolling`) and of
video files (`files`). Finding the videos does not (`datasets`), nor keeping what comes out
(`store`).
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
