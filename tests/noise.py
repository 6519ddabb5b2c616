"""Videos of noise: no two frames alike, and none that another video has."""

from pathlib import Path

import numpy as np

from framemix.video.writing import video_writer


def write_noise(path: Path, count: int, *, seed: int, fps: int = 30) -> Path:
    """Write `count` frames of 64x48."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with video_writer(path, width=64, height=48, fps=fps, codec="xvid") as write:
        for _ in range(count):
            write(generator.integers(0, 256, (48, 64, 3), np.uint8))
    return path
