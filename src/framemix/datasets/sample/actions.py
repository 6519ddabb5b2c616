"""Actions of the sample's UCF101: one moving sprite, whose motion alone shows the class.

The classes come in pairs that are each other's time reversal: a still, or a set of stills
without their order, fits both. Everything else (shape, colours, background, size, period, light,
grain, camera drift, starting point) has the same random distribution in all classes.

Shapes: T = frames; a cycle is one period of the motion.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from framemix.datasets.sample.sprites import (
    SHAPES,
    Floats,
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
from framemix.video.writing import video_writer

WIDTH, HEIGHT, FPS = 320, 240, 25  # those of UCF101

# Far enough beyond the border that the largest sprite has left before it enters again.
OUTSIDE = 44
ORBIT = 66
# A clip's motion is centred at most this far from the picture's centre, pixels.
HOME_X, HOME_Y = 60, 30
# Margin around the picture for the drift of the camera, pixels.
MARGIN = 8
# UCF101's clips have many lengths; these are longer than the shortest by up to this share.
LENGTH_SPREAD = 0.15
SHORT = 0.6


@dataclass(frozen=True)
class Track:
    """Where a sprite is: x and y in pixels from its home, (T,), and its scale, (T,)."""

    x: Floats
    y: Floats
    scale: Floats


Motion = Callable[[Floats], Track]


def _across(cycle: Floats) -> Track:
    return Track((cycle - 0.5) * (WIDTH + 2 * OUTSIDE), 0 * cycle, 0 * cycle + 1)


def _down(cycle: Floats) -> Track:
    return Track(0 * cycle, (cycle - 0.5) * (HEIGHT + 2 * OUTSIDE), 0 * cycle + 1)


def _clockwise(cycle: Floats) -> Track:
    angle = 2 * np.pi * cycle
    return Track(ORBIT * np.cos(angle), ORBIT * np.sin(angle), 0 * cycle + 1)


def _grow(cycle: Floats) -> Track:
    return Track(0 * cycle, 0 * cycle, 0.5 * 3.8**cycle)


def _hop(cycle: Floats) -> Track:
    return Track(0 * cycle, 50 - 100 * np.sin(np.pi * cycle), 0 * cycle + 1)


# The direction of time: -1 plays the motion backward.
ACTIONS: dict[str, tuple[Motion, int]] = {
    "SlideLeft": (_across, -1),
    "SlideRight": (_across, +1),
    "SlideUp": (_down, -1),
    "SlideDown": (_down, +1),
    "SpinClockwise": (_clockwise, +1),
    "SpinAnticlockwise": (_clockwise, -1),
    "Grow": (_grow, +1),
    "Shrink": (_grow, -1),
    "Hop": (_hop, +1),
}


def track(action: str, cycles: Floats) -> Track:
    """Return the track of an action at times `cycles` (T,), in periods from any start."""
    motion, direction = ACTIONS[action]
    return motion((direction * cycles) % 1.0)


@dataclass(frozen=True)
class Look:
    """The look that all clips of a group share, like clips that were cut from one source video."""

    shape: str
    diameter: float  # pixels, at scale 1
    colour: Floats  # (3,)
    backdrop: Floats  # (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN, 3)
    period: float  # seconds
    grain: float  # standard deviation, grey levels


def draw_look(rng: np.random.Generator) -> Look:
    """Return a random look: a bright sprite on a dark background, or the reverse."""
    bright, dark = (0.85, 0.95), (0.05, 0.22)
    if rng.uniform() < 0.5:
        # Pale, because a saturated blue or red would be as dark as the background.
        colour = random_colour(rng, value=bright, saturation=(0.1, 0.5))
        behind = random_colour(rng, value=(0.25, 0.4), saturation=(0.0, 0.5))
    else:
        colour = random_colour(rng, value=dark, saturation=(0.0, 1.0))
        behind = random_colour(rng, value=(0.65, 0.8), saturation=(0.0, 0.4))
    return Look(
        shape=str(rng.choice(list(SHAPES))),
        diameter=rng.uniform(54, 68),
        colour=colour,
        backdrop=backdrop(rng, WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN, behind),
        # Two seconds or more: eight mixed segments must still show the direction.
        period=rng.uniform(2.0, 3.0),
        grain=rng.uniform(0.5, 2.5),
    )


@dataclass(frozen=True)
class ActionVideo:
    """One clip: a sprite with the group's look that follows the action's track.

    It has `shortest` frames or up to 15 % more; a `short` one has 60 % of that. A `truncated`
    one lacks the second half of its bytes.
    """

    seed: int
    action: str
    group: int
    clip: int
    shortest: int
    short: bool = False
    truncated: bool = False

    def write(self, path: Path) -> None:
        """Write the clip as an XviD AVI file."""
        with video_writer(path, width=WIDTH, height=HEIGHT, fps=FPS, codec="xvid") as write:
            for frame in self.frames():
                write(frame)
        if self.truncated:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def frames(self) -> Iterator[Frame]:
        """Yield the clip's frames, uint8 (HEIGHT, WIDTH, 3), all in the same array."""
        # Seeded by the class's place in the list, so that a new name leaves the videos as they are.
        number = list(ACTIONS).index(self.action) + 1
        look = draw_look(np.random.default_rng([self.seed, 1, self.group]))
        rng = np.random.default_rng([self.seed, 2, number, self.group, self.clip])
        count = self._length(rng)
        cycles = _cycles(rng, look.period, count)
        yield from _render(look, track(self.action, cycles), rng)

    def _length(self, rng: np.random.Generator) -> int:
        frames = self.shortest + int(rng.integers(int(self.shortest * LENGTH_SPREAD) + 1))
        return int(frames * SHORT) if self.short else frames


def _cycles(rng: np.random.Generator, period: float, count: int) -> Floats:
    """Return the time of each frame, in periods (T,), with a random start and speed."""
    return rng.uniform() + np.arange(count) / FPS / (period * rng.uniform(0.9, 1.1))


def _drift(rng: np.random.Generator, count: int) -> Floats:
    """Return a slow swing of the camera, pixels (T,), at most MARGIN."""
    turns = np.arange(count) / FPS / rng.uniform(5, 12) + rng.uniform()
    return rng.uniform(1, MARGIN - 1) * np.sin(2 * np.pi * turns)


def _render(look: Look, path: Track, rng: np.random.Generator) -> Iterator[Frame]:
    count = len(path.x)
    light = rng.uniform(0.8, 1.1)
    behind = to_frame(look.backdrop * light)
    noise = grain(rng, WIDTH * 2, HEIGHT * 2, look.grain)
    camera = np.rint(np.stack([_drift(rng, count), _drift(rng, count)], axis=1))
    places = _places(rng.uniform((-HOME_X, -HOME_Y), (HOME_X, HOME_Y)), path)
    sizes = np.rint(look.diameter * path.scale).astype(int)

    @cache
    def sized(size: int) -> Sprite:
        return _draw_sprite(look, size, light)

    # New memory for each frame would take more time than the drawing.
    frame = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for (x, y), (dx, dy), size in zip(places, camera.astype(int), sizes, strict=True):
        frame[...] = _window(behind, MARGIN + dx, MARGIN + dy)
        paste(frame, sized(int(size)), x - dx, y - dy)
        frame += _window(noise, *rng.integers((WIDTH, HEIGHT)))
        yield frame


def _places(home: Floats, path: Track) -> Floats:
    """Return x, y in the picture (T, 2); a sprite that leaves on one side enters on the other."""
    span = np.array((WIDTH, HEIGHT)) + 2 * OUTSIDE
    unbounded = home + np.stack([path.x, path.y], axis=1)
    places: Floats = (unbounded + span / 2) % span - OUTSIDE
    return places


def _window(picture: Frame, left: int, top: int) -> Frame:
    return picture[top : top + HEIGHT, left : left + WIDTH]


def _draw_sprite(look: Look, size: int, light: float) -> Sprite:
    """Return the look's sprite of `size` pixels, lit from above."""
    x, y = grid(size, size)
    shade = light * (1 - 0.15 * y)[..., None]
    return sprite(look.colour * shade, soft(SHAPES[look.shape](x, y), size / 2))
