"""The parts of all sample videos: sprites with soft edges, and textured backdrops.

Shapes: h, w = height and width in pixels; a grid (h, w) spans -1..1 on its longer side.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Frame = NDArray[np.uint8]

# Pixels stay this far from 0 and 255, because grain is added modulo 256 and must not wrap around.
HEADROOM = 16


@dataclass(frozen=True)
class Sprite:
    """A small picture that is drawn over a frame; `sprite` makes it."""

    paint: NDArray[np.uint16]  # (h, w, 3), colour times opacity
    keep: NDArray[np.uint16]  # (h, w, 3), 256 minus opacity


def sprite(colour: Floats, opacity: Floats) -> Sprite:
    """Return the sprite of a colour, 0-255 (h, w, 3) or (3,), and an opacity, 0-1 (h, w)."""
    alpha = np.rint(opacity * 256)[..., None].repeat(3, axis=2)
    paint = np.clip(colour, HEADROOM, 255 - HEADROOM) * alpha
    return Sprite(paint.astype(np.uint16), (256 - alpha).astype(np.uint16))


def paste(frame: Frame, item: Sprite, x: float, y: float) -> None:
    """Draw a sprite over `frame` (h, w, 3), centred at (x, y) pixels; parts outside are cut."""
    height, width = item.keep.shape[:2]
    top, left = round(y - height / 2), round(x - width / 2)
    rows = slice(max(-top, 0), max(min(height, frame.shape[0] - top), 0))
    columns = slice(max(-left, 0), max(min(width, frame.shape[1] - left), 0))
    below = frame[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    mixed = below * item.keep[rows, columns]
    mixed += item.paint[rows, columns]
    mixed >>= 8
    below[...] = mixed


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Return x and y (h, w) of pixel centres, -1..1 on both sides."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    return 2 * x / width - 1, 2 * y / height - 1


def soft(distance: Floats, radius: float) -> Floats:
    """Return the opacity (h, w) of a shape: `distance` is 1 on its edge, less inside.

    The edge is one pixel wide when `radius` is that of the shape in pixels.
    """
    return np.clip((1 - distance) * radius + 0.5, 0, 1)


SHAPES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "disc": np.hypot,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) / 0.85,
    "diamond": lambda x, y: abs(x) + abs(y),
    "triangle": lambda x, y: np.maximum(y / 0.8, 1 + abs(x) - 0.51 * (y + 0.95)),
    "ring": lambda x, y: abs(np.hypot(x, y) - 0.65) / 0.35,
    "plus": lambda x, y: np.minimum(
        np.maximum(abs(x) / 0.4, abs(y)), np.maximum(abs(x), abs(y) / 0.4)
    ),
}


def random_colour(
    rng: np.random.Generator, *, value: tuple[float, float], saturation: tuple[float, float]
) -> Floats:
    """Return an RGB colour, 0-255 (3,), of any hue."""
    hsv = rng.uniform(), rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.array(colorsys.hsv_to_rgb(*hsv))


def backdrop(rng: np.random.Generator, width: int, height: int, colour: Floats) -> Floats:
    """Return a background (h, w, 3) around `colour`: uneven light and some plain boxes."""
    picture = colour + _clouds(rng, width, height, 18)
    for _ in range(rng.integers(3, 7)):
        x, y = rng.uniform(-0.2, 0.9, 2) * (width, height)
        w, h = rng.uniform(0.1, 0.4, 2) * height
        box = picture[max(int(y), 0) : int(y + h), max(int(x), 0) : int(x + w)]
        box += rng.uniform(-22, 22) + rng.uniform(-8, 8, 3)
    return picture


def _clouds(rng: np.random.Generator, width: int, height: int, strength: float) -> Floats:
    """Return smooth noise (h, w, 3) of the given standard deviation at its knots."""
    knots = rng.normal(0, strength, (4, 5, 1)) + rng.normal(0, strength / 3, (4, 5, 3))
    rows, columns = _between(height, 4), _between(width, 5)
    clouds: Floats = np.einsum("yi,ijc,xj->yxc", rows, knots, columns, optimize=True)
    return clouds


def _between(length: int, knots: int) -> Floats:
    """Return the weights (length, knots) of linear interpolation between even knots."""
    place = np.linspace(0, knots - 1, length)
    return np.clip(1 - abs(place[:, None] - np.arange(knots)), 0, 1)


def to_frame(picture: Floats) -> Frame:
    """Return float (h, w, 3) as uint8, with headroom for grain."""
    # In C order: einsum may return another, in which all later steps are ten times slower.
    return np.clip(np.rint(picture), HEADROOM, 255 - HEADROOM).astype(np.uint8, order="C")


def grain(rng: np.random.Generator, width: int, height: int, strength: float) -> Frame:
    """Return sensor noise (h, w, 3), to be added to a frame modulo 256."""
    noise = np.clip(np.rint(rng.normal(0, strength, (height, width, 1))), -HEADROOM, HEADROOM)
    return np.repeat(noise.astype(np.int8).view(np.uint8), 3, axis=2)
