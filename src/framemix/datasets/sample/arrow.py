"""Time's arrow: small videos whose classes come in pairs that are each other's time reversal.

A clip played backward is an equally likely clip of its partner class: shape, colours, background,
size, period, start and grain have the same random distribution in all classes. So a still, or a set
of stills without their order, shows nothing of the direction. Nor does the file: FFV1 codes each
frame on its own and without loss, whereas a key frame that is always first would reveal the
direction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import Field

from framemix.datasets.origin import mark_drawn
from framemix.datasets.sample.sprites import (
    SHAPES,
    Frame,
    Sprite,
    backdrop,
    grain,
    grid,
    paste,
    random_colour,
    soft,
    sprite,
    to_frame,
)
from framemix.jobs.cluster import Cluster, map_tasks
from framemix.validation import Settings
from framemix.video.writing import video_writer

SIDE, FPS = 64, 25
# A motion is centred at most this far from the picture's centre, pixels.
HOME = 14
# How far a sprite goes before it enters again on the other side, pixels.
SPAN = SIDE + 14
# Thickness of the rings that grow and the bars that open, pixels.
LINE = 4
SMALLEST = 8
# Every other clip has some more frames, so that no number of segments divides all lengths.
SPREAD = 7

# Sprites and their centres, in pixels.
Scene = list[tuple[Sprite, float, float]]


class ArrowSettings(Settings):
    """The number of clips per class and subset; half of the clips have `frames` frames."""

    seed: int = Field(ge=0, lt=2**32, description="another one draws other videos")
    train: int = Field(ge=1, description="train videos of each class")
    val: int = Field(ge=1, description="val videos of each class")
    test: int = Field(ge=1, description="test videos of each class")
    frames: int = Field(ge=1, description="of half of the videos; the others have some more")


@dataclass(frozen=True)
class Look:
    """The sprites of a clip, for all motions."""

    item: Sprite
    ring: Callable[[int], Sprite]  # of a diameter in pixels
    bar: Sprite
    home: tuple[float, float]  # of the motion, pixels


def _across(look: Look, phase: float) -> Scene:
    place = (look.home[0] + phase * SPAN) % SPAN + (SIDE - SPAN) / 2
    return [(look.item, place, look.home[1])]


def _down(look: Look, phase: float) -> Scene:
    place = (look.home[1] + phase * SPAN) % SPAN + (SIDE - SPAN) / 2
    return [(look.item, look.home[0], place)]


def _grow(look: Look, phase: float) -> Scene:
    return [(look.ring(round(SMALLEST + phase * SIDE)), *look.home)]


def _open(look: Look, phase: float) -> Scene:
    middle, gap = look.home[0], phase * SIDE / 2
    return [(look.bar, middle - gap, SIDE / 2), (look.bar, middle + gap, SIDE / 2)]


# The direction of time: -1 plays the motion backward.
CLASSES: dict[str, tuple[Callable[[Look, float], Scene], int]] = {
    "MoveRight": (_across, +1),
    "MoveLeft": (_across, -1),
    "MoveDown": (_down, +1),
    "MoveUp": (_down, -1),
    "Grow": (_grow, +1),
    "Shrink": (_grow, -1),
    "Open": (_open, +1),
    "Close": (_open, -1),
}


@dataclass(frozen=True)
class ArrowClip:
    """One clip of a class: the `number`-th of its subset."""

    settings: ArrowSettings
    subset: str
    class_name: str
    number: int

    def write(self, path: Path) -> None:
        """Write the clip as an FFV1 AVI file. Raises VideoError."""
        with video_writer(path, width=SIDE, height=SIDE, fps=FPS, codec="ffv1") as write:
            for frame in self.frames():
                write(frame)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames, uint8 (SIDE, SIDE, 3), all in the same array."""
        names = f"{self.subset}/{self.class_name}".encode()
        rng = np.random.default_rng([self.settings.seed, self.number, *names])
        motion, direction = CLASSES[self.class_name]
        look, still = _draw_look(rng)
        start, speed = rng.uniform(), direction / rng.uniform(16, 26)  # periods a frame
        noise = grain(rng, 2 * SIDE, 2 * SIDE, rng.uniform(0.5, 3))
        frame = np.empty_like(still)
        for time in range(self._length()):
            frame[...] = still
            for item, x, y in motion(look, (start + time * speed) % 1.0):
                paste(frame, item, x, y)
            top, left = rng.integers(SIDE, size=2)
            frame += noise[top : top + SIDE, left : left + SIDE]
            yield frame

    def _length(self) -> int:
        half, odd = divmod(self.number, 2)
        return self.settings.frames + odd * (1 + half % SPREAD)


def render_arrow(root: Path, settings: ArrowSettings, cluster: Cluster) -> None:
    """Write `<root>/<train|val|test>/<Class>/<number>.avi`, SIDE x SIDE pixels.

    The same settings give the same bytes. Raises VideoError when a file cannot be written.
    """
    counts = {"train": settings.train, "val": settings.val, "test": settings.test}
    tasks = []
    for subset, clips in counts.items():
        for class_name in CLASSES:
            # Absolute: workers elsewhere have another working folder.
            folder = root.absolute() / subset / class_name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(clips):
                clip = ArrowClip(settings, subset, class_name, number)
                tasks.append((folder / f"{number:04}.avi", clip))
    mark_drawn(root)
    for _ in map_tasks(_write, tasks, cluster=cluster, label=f"clips of {root.name}"):
        pass


def _write(task: tuple[Path, ArrowClip]) -> None:
    path, clip = task
    clip.write(path)


def _draw_look(rng: np.random.Generator) -> tuple[Look, Frame]:
    """Return the sprites that move, and the background."""
    colour = random_colour(rng, value=(0.8, 0.95), saturation=(0.1, 0.5))
    behind = random_colour(rng, value=(0.2, 0.4), saturation=(0.0, 0.5))
    # Faint, so that nothing but the mixing makes the direction hard to see.
    still = to_frame((backdrop(rng, SIDE, SIDE, behind) + 2 * behind) / 3)

    @cache
    def ring(size: int) -> Sprite:
        from_line = abs(np.hypot(*grid(size, size)) * size / 2 - (size - LINE) / 2)
        return sprite(colour, soft(from_line / (LINE / 2), LINE / 2))

    size = int(rng.integers(8, 13))
    shape = SHAPES[str(rng.choice(list(SHAPES)))](*grid(size, size))
    home_x, home_y = rng.uniform(SIDE / 2 - HOME, SIDE / 2 + HOME, 2)
    look = Look(
        item=sprite(colour, soft(shape, size / 2)),
        ring=ring,
        bar=sprite(colour, np.ones((SIDE, LINE))),
        home=(home_x, home_y),
    )
    return look, still
