"""Faces of the sample's UTA-RLDD: a person before a camera, alert, low vigilant or drowsy.

Only the behaviour depends on the state (see `behaviour`): the person, the room, the light, the
camera and the length of a video do not.

Shapes: T = frames. Lengths in the face are in head heights, from the head's centre.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from framemix.datasets.sample.behaviour import Behaviour, draw_behaviour
from framemix.datasets.sample.sprites import (
    Floats,
    Frame,
    Sprite,
    backdrop,
    grid,
    paste,
    random_colour,
    soft,
    sprite,
    to_frame,
)
from framemix.video.writing import video_writer

LONG_SIDE, SHORT_SIDE, FPS = 480, 360, 30

# Skin from fair to dark; a person's is between two neighbours.
SKIN = np.array(
    [(236, 196, 172), (214, 168, 136), (186, 136, 102), (142, 98, 70), (104, 70, 52)], dtype=float
)
HAIR = np.array([(34, 28, 26), (70, 46, 30), (120, 80, 44), (186, 150, 96), (150, 148, 146)], float)
IRIS = np.array([(70, 44, 26), (96, 120, 60), (80, 120, 160), (50, 36, 28)], dtype=float)

# The number of drawings of a lid, a gaze and a mouth; neighbours differ by less than a pixel.
STEPS = 12
# Light is a factor n / 256, so that it is the same in most neighbouring frames of a slow drift.
FULL_LIGHT = 256


@dataclass(frozen=True)
class Person:
    """The looks that a subject's videos share."""

    head: float  # height, share of the picture's short side
    aspect: float  # width over height
    skin: Floats  # (3,), as the other colours
    hair: Floats
    iris: Floats
    seat: Floats
    wall: Floats
    place: Floats  # x, y of the head, share of the short side from the picture's centre
    hairline: float  # head heights
    beard: bool


def draw_person(rng: np.random.Generator) -> Person:
    """Return a random person in a seat."""
    tone = rng.uniform(0, len(SKIN) - 1)
    return Person(
        head=rng.uniform(0.6, 0.68),
        aspect=rng.uniform(0.7, 0.8),
        skin=SKIN[int(tone)] + (tone % 1) * (SKIN[int(tone) + 1] - SKIN[int(tone)]),
        hair=rng.choice(HAIR) * rng.uniform(0.85, 1.15),
        iris=rng.choice(IRIS),
        seat=random_colour(rng, value=(0.15, 0.4), saturation=(0.0, 0.5)),
        wall=random_colour(rng, value=(0.4, 0.75), saturation=(0.05, 0.4)),
        place=rng.uniform((-0.1, -0.03), (0.1, 0.03)),
        hairline=rng.uniform(-0.34, -0.26),
        beard=bool(rng.uniform() < 0.3),
    )


class Face:
    """The sprites of one person's face for a head of `size` pixels height."""

    def __init__(self, person: Person, size: int) -> None:
        self.person, self.size = person, size
        self.head, self.nose = self._head(), self._nose()
        self.eye, self.mouth = cache(self._eye), cache(self._mouth)

    def _head(self) -> Sprite:
        """Skin, ears, hair and beard, which do not move within the head."""
        person = self.person
        x, y = self._grid(1.1, 1.1 * person.aspect + 0.1)
        half = person.aspect / 2
        skull = _ellipse(x, y, half, 0.5)
        ears = np.minimum(_ellipse(x - half, y, 0.05, 0.1), _ellipse(x + half, y, 0.05, 0.1))
        # Lit from above and in front: darker to the sides and the chin.
        shade = 1.04 - 0.22 * (x / half) ** 2 - 0.1 * y
        colour = person.skin * shade[..., None]
        # A curved hairline: lower at the temples.
        hair = y < person.hairline + 0.9 * x**2
        beard = (y > 0.2 + 0.12 * np.cos(7 * x)) & (_ellipse(x, y - 0.27, 0.13, 0.09) > 1)
        colour[hair | (beard & person.beard)] = person.hair
        return sprite(colour, soft(np.minimum(skull, ears), half * self.size))

    def _nose(self) -> Sprite:
        """The nose, and the brows above it."""
        x, y = self._grid(0.5, 0.6)
        nose = _ellipse(x, y - 0.09, 0.045, 0.11)
        brows = _ellipse(abs(x) - 0.17, y + 0.17 - 0.6 * (abs(x) - 0.17) ** 2, 0.085, 0.016)
        colour = np.where((brows < 1.5)[..., None], self.person.hair * 0.8, self.person.skin * 0.82)
        return sprite(colour, np.maximum(0.7 * soft(nose, 6), soft(brows, 3)))

    def _eye(self, lids: int, gaze: int) -> Sprite:
        """One eye, with lids and gaze in STEPS."""
        x, y = self._grid(0.15, 0.2)
        lid = -0.06 + 0.12 * lids / STEPS - 0.35 * x**2 * (1 - lids / STEPS)
        iris = np.hypot(x - 0.04 * gaze / STEPS, y)
        colour = np.full((*x.shape, 3), 228.0)
        colour[iris < 0.042] = self.person.iris
        colour[iris < 0.02] = 20.0
        colour[y < lid] = self.person.skin * 0.86
        # The lashes, a dark line along the lid's edge: all that is visible of a closed eye.
        colour[abs(y - lid + 0.006) < 0.011] = self.person.hair * 0.4
        return sprite(colour, soft(_ellipse(x, y, 0.088, 0.06), 0.06 * self.size))

    def _mouth(self, opened: int) -> Sprite:
        """The mouth, opened 0 to STEPS."""
        x, y = self._grid(0.34, 0.34)
        wide, high = 0.12 - 0.03 * opened / STEPS, 0.02 + 0.11 * opened / STEPS
        lips = _ellipse(x, y, wide, high)
        colour = np.broadcast_to(self.person.skin * (0.8, 0.55, 0.55), (*x.shape, 3)).copy()
        colour[_ellipse(x, y, wide - 0.015, max(high - 0.018, 0.003)) < 1] = (50, 18, 20)
        return sprite(colour, soft(lips, high * self.size))

    def _grid(self, high: float, wide: float) -> tuple[Floats, Floats]:
        """Return x and y (h, w) in head heights over a box of that size."""
        x, y = grid(round(high * self.size), round(wide * self.size))
        return x * wide / 2, y * high / 2


def _ellipse(x: Floats, y: Floats, half_width: float, half_height: float) -> Floats:
    """Return the distance (h, w) that is 1 on an ellipse's edge."""
    return np.hypot(x / half_width, y / half_height)


@dataclass(frozen=True)
class FaceVideo:
    """One video of a subject in a state: 0 alert, 5 low vigilant, 10 drowsy.

    `rotation` is display metadata in degrees counter-clockwise: the coded frames are rotated the
    other way, so that a player that applies it shows them upright. The long side is 4/3 of the
    `short_side`, in pixels; another size is another video of the same person.
    """

    seed: int
    subject: int
    state: int
    seconds: float
    portrait: bool = False
    rotation: int = 0
    short_side: int = SHORT_SIDE

    def write(self, path: Path) -> None:
        """Write the video as H.264 in an MP4 or MOV file."""
        width, height = self._size
        turns = self.rotation // 90
        if turns % 2:
            width, height = height, width
        with video_writer(
            path, width=width, height=height, fps=FPS, codec="h264", rotation=self.rotation
        ) as write:
            for frame in self.frames():
                write(np.rot90(frame, -turns))

    def frames(self) -> Iterator[Frame]:
        """Yield the frames as displayed, uint8 (height, width, 3), all in the same array."""
        person = draw_person(np.random.default_rng([self.seed, 3, self.subject]))
        rng = np.random.default_rng([self.seed, 4, self.subject, self.state + 1])
        seconds = np.arange(round(self.seconds * FPS)) / FPS
        scene = _draw_scene(person, rng, *self._size)
        light = _draw_light(seconds, rng)
        sway = _draw_sway(seconds, rng)
        yield from _render(scene, draw_behaviour(self.state, seconds, rng), sway, light)

    @property
    def _size(self) -> tuple[int, int]:
        """Width and height as displayed."""
        short, long = self.short_side, self.short_side * LONG_SIDE // SHORT_SIDE
        return (short, long) if self.portrait else (long, short)


@dataclass(frozen=True)
class Scene:
    """The still background of a video, and the face in front of it."""

    behind: Frame  # (height, width, 3)
    face: Face
    home: Floats  # x, y of the head's centre, pixels


def _draw_scene(person: Person, rng: np.random.Generator, width: int, height: int) -> Scene:
    """Return the room of one video: the person's wall, seat and shoulders, slightly varied."""
    short = min(width, height)
    size = round(person.head * short * rng.uniform(0.95, 1.05))
    middle = np.array((width / 2, height / 2))
    home = middle + (person.place + rng.uniform(-0.03, 0.03, 2)) * short
    picture = backdrop(rng, width, height, person.wall * rng.uniform(0.85, 1.15))
    clothes = random_colour(rng, value=(0.2, 0.8), saturation=(0.1, 0.6))
    y, x = np.mgrid[0:height, 0:width] + 0.5
    x, y = (x - home[0]) / size, (y - home[1]) / size
    half = person.aspect / 2
    for colour, distance in (
        (person.seat, _box(x, y - 0.25, half + 0.12, 0.75)),
        (clothes, _ellipse(x, y - 1.15, 1.0, 0.6)),
        (person.skin * 0.75, _box(x, y - 0.5, 0.17, 0.2)),
    ):
        opacity = soft(distance, size / 2)[..., None]
        picture += opacity * (colour - picture)
    # The same grain in all frames: new grain in each would double the encoder's time.
    picture += rng.normal(0, rng.uniform(0.5, 2), (height, width, 1))
    return Scene(to_frame(picture), Face(person, size), home)


def _box(x: Floats, y: Floats, half_width: float, half_height: float) -> Floats:
    """Return the distance (h, w) that is 1 on the edge of a box with round corners."""
    x, y = (x / half_width) ** 2, (y / half_height) ** 2
    return (x * x * x + y * y * y) ** (1 / 6)


def _draw_light(seconds: Floats, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the light of each frame (T,), in FULL_LIGHT: a level, and a slow drift."""
    drift = rng.uniform(0.02, 0.08) * np.sin(
        2 * np.pi * (seconds / rng.uniform(6, 20) + rng.uniform())
    )
    return np.rint(FULL_LIGHT * (rng.uniform(0.75, 0.98) + drift)).astype(np.uint16)


def _draw_sway(seconds: Floats, rng: np.random.Generator) -> Floats:
    """Return the small head movements that everybody makes, head heights (T, 2)."""
    periods, starts = rng.uniform(3, 7, 2), rng.uniform(size=2)
    return rng.uniform(0.005, 0.02, 2) * np.sin(2 * np.pi * (seconds[:, None] / periods + starts))


def _render(
    scene: Scene, does: Behaviour, sway: Floats, light: NDArray[np.uint16]
) -> Iterator[Frame]:
    # New memory for each frame would take more time than the drawing.
    frame, wide = np.empty_like(scene.behind), np.empty(scene.behind.shape, np.uint16)
    for at in range(len(does.lids)):
        frame[...] = scene.behind
        x, y = scene.home + scene.face.size * (sway[at] + (0.02 * does.gaze[at], does.nod[at]))
        _paste_face(frame, scene.face, x, y, does, at)
        np.multiply(frame, light[at], out=wide)
        np.right_shift(wide, 8, out=frame, casting="unsafe")
        yield frame


def _paste_face(frame: Frame, face: Face, x: float, y: float, does: Behaviour, at: int) -> None:
    """Draw the face of frame number `at` over `frame`, centred at (x, y) pixels."""
    lids, mouth = round(STEPS * does.lids[at]), round(STEPS * does.mouth[at])
    gaze = round(STEPS * does.gaze[at])
    paste(frame, face.head, x, y)
    # The features turn with a glance, and sink with a nod, as the head tips forward.
    x += 0.04 * face.size * does.gaze[at]
    y += 0.35 * face.size * does.nod[at]
    paste(frame, face.nose, x, y + 0.02 * face.size)
    for side in (-1, 1):
        paste(frame, face.eye(lids, gaze), x + side * 0.17 * face.size, y - 0.04 * face.size)
    paste(frame, face.mouth(mouth), x, y + 0.27 * face.size)
