"""The behaviour of alert, low vigilant and drowsy people, as curves over time.

Shapes: T = frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from framemix.datasets.sample.sprites import Floats

Range = tuple[float, float]


@dataclass(frozen=True)
class Habit:
    """A repeated event: how long, how often, how strong and how sudden it is."""

    lasts: Range  # seconds
    pause: Range  # seconds from one end to the next start
    strength: Range
    rise: float  # seconds from nothing to full strength
    fall: float
    chance: float = 1.0  # that a person does it at all


@dataclass(frozen=True)
class Manner:
    """How a person in one state behaves. Lids: 0 open, 1 closed. Nods: shares of head height."""

    lids: Range
    closure: Habit
    nod: Habit | None
    glance: Habit | None
    talk: Habit | None
    yawn: Habit | None


# By UTA-RLDD's numbers of the states. Blinks follow its description: alert people blink fast and
# rarely; drowsy people close their eyes for a second or two, yawn, and nod off.
MANNERS = {
    0: Manner(
        lids=(0.0, 0.08),
        closure=Habit((0.18, 0.24), (1.8, 4.8), (1.0, 1.0), rise=0.07, fall=0.08),
        nod=None,
        glance=Habit((0.5, 1.1), (0.8, 2.5), (0.7, 1.0), rise=0.12, fall=0.12),
        talk=Habit((1.5, 3.0), (1.0, 4.0), (0.3, 0.45), rise=0.2, fall=0.2, chance=0.6),
        yawn=None,
    ),
    5: Manner(
        lids=(0.18, 0.28),
        closure=Habit((0.38, 0.5), (1.0, 2.2), (1.0, 1.0), rise=0.12, fall=0.15),
        nod=Habit((2.0, 3.0), (2.0, 4.0), (0.03, 0.06), rise=1.4, fall=0.8),
        glance=Habit((0.6, 1.2), (3.0, 6.0), (0.5, 0.8), rise=0.2, fall=0.2),
        talk=Habit((1.5, 2.5), (3.0, 6.0), (0.3, 0.4), rise=0.2, fall=0.2, chance=0.3),
        yawn=Habit((1.8, 2.4), (8.0, 16.0), (0.8, 1.0), rise=0.6, fall=0.5, chance=0.25),
    ),
    10: Manner(
        lids=(0.42, 0.52),
        closure=Habit((0.9, 2.0), (0.8, 1.7), (1.0, 1.0), rise=0.15, fall=0.15),
        nod=Habit((1.5, 2.0), (0.6, 1.8), (0.12, 0.2), rise=1.2, fall=0.3),
        glance=None,
        talk=None,
        yawn=Habit((1.8, 2.4), (6.0, 14.0), (0.9, 1.0), rise=0.6, fall=0.5, chance=0.8),
    ),
}


@dataclass(frozen=True)
class Behaviour:
    """The motion of a face, each (T,): lids and mouth 0-1, nod in head heights, gaze -1 to 1."""

    lids: Floats  # 0 wide open, 1 closed
    nod: Floats  # how far the head has sunk
    gaze: Floats  # eyes and head to the picture's left (-1) or right (1)
    mouth: Floats  # 0 closed, 1 a full yawn

    @property
    def closed(self) -> float:
        """The share of frames with eyes (nearly) closed."""
        return float((self.lids > 0.8).mean())


def draw_behaviour(state: int, seconds: Floats, rng: np.random.Generator) -> Behaviour:
    """Return a random behaviour at times `seconds` (T,) for a state: 0, 5 or 10, as in UTA-RLDD."""
    manner = MANNERS[state]
    lids = np.maximum(rng.uniform(*manner.lids), _curve(manner.closure, seconds, rng))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(3, 4.5) * seconds)
    talk = _curve(manner.talk, seconds, rng) * syllables
    return Behaviour(
        lids=lids,
        nod=_curve(manner.nod, seconds, rng),
        gaze=_curve(manner.glance, seconds, rng, sides=True),
        mouth=np.maximum(talk, _curve(manner.yawn, seconds, rng)),
    )


def _curve(
    habit: Habit | None, seconds: Floats, rng: np.random.Generator, *, sides: bool = False
) -> Floats:
    """Return the strength (T,) of a habit; with `sides`, each event has a random sign."""
    curve = np.zeros_like(seconds)
    if habit is None or rng.uniform() >= habit.chance:
        return curve
    for start, end in _events(habit, float(seconds[-1]), rng):
        slopes = np.minimum((seconds - start) / habit.rise, (end - seconds) / habit.fall)
        side = rng.choice((-1, 1)) if sides else 1
        curve += side * rng.uniform(*habit.strength) * np.clip(slopes, 0, 1)
    return curve


def _events(habit: Habit, until: float, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Yield start and end of each event, in seconds; a video begins at a random time."""
    start = -rng.uniform(0, habit.lasts[1] + habit.pause[1])
    while start < until:
        end = start + rng.uniform(*habit.lasts)
        yield start, end
        start = end + rng.uniform(*habit.pause)
