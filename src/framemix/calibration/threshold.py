"""The alarm's threshold: the most drowsy clips at a number of false alarms per hour."""

# W windows

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framemix.inference.alarm import HALF_LIFE, HELD, Alarm
from framemix.inference.baseline import log_odds_of, probability_of
from framemix.metrics.intervals import poisson
from framemix.metrics.measures import Floats

HALVINGS = 40  # of the range of thresholds: beyond float32's precision


@dataclass(frozen=True)
class FalseAlarms:
    """How often an alarm started in `hours` in which none should, and none was on already.

    While an alarm is on, no other can start. Time with an alarm therefore counts for nothing: else
    an alarm that never ends would be a single false one in any number of hours.
    """

    alarms: int
    hours: float

    def __add__(self, other: "FalseAlarms") -> "FalseAlarms":
        return FalseAlarms(self.alarms + other.alarms, self.hours + other.hours)

    @property
    def per_hour(self) -> float:
        """The rate."""
        return self.alarms / self.hours

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the rate; too narrow where a few people have most alarms."""
        low, high = poisson(self.alarms)
        return low / self.hours, high / self.hours


def smoothed(probabilities: Floats, ends: Floats) -> Floats:
    """Return the levels (W,) that an alarm compares with its threshold, of windows (W,)."""
    bell = Alarm(on=1.0, off=1.0, half_life=HALF_LIFE)
    pairs = zip(probabilities.tolist(), ends.tolist(), strict=True)
    return np.array([bell.update(p, seconds) for p, seconds in pairs])


def false_alarms(clips: Sequence[Floats], on: float, step: float) -> FalseAlarms:
    """Return those in clips, each given by its levels (W,), which are `step` seconds apart."""
    alarms = quiet = 0
    for levels in clips:
        if levels.max() < on:  # most, at the thresholds that matter
            quiet += len(levels)
            continue
        bell = Alarm(on, HELD * on, half_life=0.0)  # the levels are smoothed already
        for second, level in enumerate(levels.tolist()):
            quiet += not bell.active
            bell.update(level, second)
            alarms += bell.changed and bell.active
    return FalseAlarms(alarms, quiet * step / 3600)


def best_threshold(
    positive: Sequence[Floats], negative: Sequence[Floats], most: float, step: float
) -> float:
    """Return the threshold that finds most `positive` clips at `most` false alarms per hour.

    Those are counted in the `negative` clips; clips are given by their levels (W,). Between the
    lowest such threshold and the highest that finds the same clips, it is halfway in log odds: new
    people may be found less easily than these, or seem drowsy more often.
    """

    def keeps(log_odds: float) -> bool:
        return false_alarms(negative, probability_of(log_odds), step).per_hour <= most

    low, lowest = log_odds_of(0.0), log_odds_of(1.0)
    for _ in range(HALVINGS):
        middle = (low + lowest) / 2
        low, lowest = (low, middle) if keeps(middle) else (middle, lowest)
    reached = [log_odds_of(float(levels.max())) for levels in positive]
    found = [reach for reach in reached if reach >= lowest]
    halfway = (lowest + min(found, default=lowest)) / 2
    # Alarms that merge at the lowest threshold may be several at a higher one.
    return probability_of(halfway if keeps(halfway) else lowest)
